import pytest

from bench.media.clip import make_clip
from bench.media.stamps import SEI_LENGTH, StampScanner
from bench.publishers.replay import cut_clip
from rtmp.protocol.chunks import ChunkReader
from tests.bench.flv_bytes import FILE_HEADER, configuration, flv, tag, video_body

STREAM_ID = 7


def read_messages(data: bytes) -> list[tuple[int, int, int, bytes]]:
    messages = []
    ChunkReader(lambda *message: messages.append(message)).receive(data)
    return messages


def replayed(clip, rounds: int, chunk_size: int) -> list[tuple[int, int, int, bytes]]:
    """What a server reads of ``rounds`` repetitions."""
    replay = cut_clip(clip, STREAM_ID, chunk_size)
    frames = [*replay.first, *(frame for _ in range(rounds - 1) for frame in replay.again)]
    data = replay.opening + b"".join(f.serialize(number, 0) for number, f in enumerate(frames))
    return read_messages(data)


@pytest.mark.parametrize("chunk_size", [128, 4096])
def test_a_server_reads_what_the_clip_holds(chunk_size):
    clip = make_clip(flv(frames=10, interval=40))
    set_chunk_size, *messages = replayed(clip, rounds=1, chunk_size=chunk_size)
    assert set_chunk_size == (1, 0, 0, chunk_size.to_bytes(4, "big"))
    opening, media = messages[:2], messages[2:]
    assert [body for _, _, _, body in opening] == [t.body for t in clip.configuration]
    assert [(kind, at) for kind, at, _, _ in media] == [(t.kind, t.timestamp) for t in clip.tags]
    assert {stream_id for _, _, stream_id, _ in messages} == {STREAM_ID}
    assert [body for kind, _, _, body in media if kind == 8] == [t.body for t in clip.tags if t.kind == 8]


def test_timestamps_go_on_from_repetition_to_repetition():
    clip = make_clip(flv(frames=10, interval=40))
    media = replayed(clip, rounds=3, chunk_size=4096)[3:]
    expected = [t.timestamp + clip.period * n for n in range(3) for t in clip.tags]
    assert [at for _, at, _, _ in media] == expected


def test_every_video_frame_carries_a_stamp_before_its_picture():
    clip = make_clip(flv(frames=4))
    replay = cut_clip(clip, STREAM_ID, 4096)
    scanner = StampScanner()
    sequence = 0
    for frame in replay.first:
        scanner.feed(memoryview(frame.serialize(sequence, 0)), now=0.0)
        sequence += bool(frame.tail)
    assert (len(scanner.latencies), scanner.lost) == (4, 0)
    video = next(body for kind, _, _, body in replayed(clip, 1, 4096)[3:] if kind == 9)
    assert video[5:10] == SEI_LENGTH.to_bytes(4, "big") + b"\x06"
    assert video[9 + SEI_LENGTH :] == clip.tags[0].body[5:]


def test_a_stamp_comes_after_the_access_unit_delimiter():
    delimiter = b"\x00\x00\x00\x02\x09\xf0"
    picture = video_body(True)
    body = picture[:5] + delimiter + picture[5:]
    clip = make_clip(FILE_HEADER + configuration() + tag(9, 0, body) + tag(9, 40, body))
    sent = next(body for kind, _, _, body in replayed(clip, 1, 4096)[3:] if kind == 9)
    assert sent[5:11] == delimiter
    assert sent[15] == 0x06


def test_a_clip_without_known_nal_lengths_is_sent_as_it_is():
    data = FILE_HEADER + tag(9, 0, video_body(True)) + tag(9, 40, video_body(False))
    clip = make_clip(data)
    media = replayed(clip, rounds=1, chunk_size=4096)[1:]
    assert [body for _, _, _, body in media] == [t.body for t in clip.tags]
