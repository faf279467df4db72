import asyncio
import threading
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Final

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.demo import publish_test_pattern, publisher
from mediaserver.demo.encoder import (
    KEYFRAME_SECONDS,
    MAX_LATE_SECONDS,
    MediaMessage,
    MessageKind,
    PatternEncoder,
    PatternOptions,
)
from mediaserver.demo.font import Typeface
from mediaserver.demo.picture import (
    BEAT_SECONDS,
    TIME_CODE_BITS,
    TIME_CODE_CELLS,
    TestPicture,
    parse_time_code,
    time_code,
)
from rtmp.limits import RtmpLimits
from rtmp.protocol.flv_tags import AAC, AVC, PacketKind, parse_audio, parse_video
from rtmp.server import RtmpServer
from tests.rtmp.embedder import Embedder, RecordedPublication, until

WIDTH: Final = 640
HEIGHT: Final = 360
FRAME_RATE: Final = 30
SECONDS: Final = 5
STARTED_AT: Final = 1_700_000_000.41
OPTIONS: Final = PatternOptions(WIDTH, HEIGHT, FRAME_RATE, 1_000_000)


# The picture.


@given(st.integers(0, (1 << TIME_CODE_BITS) - 1))
def test_time_code_comes_back(milliseconds: int) -> None:
    assert parse_time_code(time_code(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, TIME_CODE_CELLS - 1), st.integers(0, (1 << TIME_CODE_BITS) - 1))
def test_time_code_with_a_wrong_cell_is_refused(position: int, milliseconds: int) -> None:
    cells = time_code(milliseconds / 1000)
    flipped = "0" if cells[position] == "1" else "1"
    with pytest.raises(ValueError, match="is no time code"):
        parse_time_code(cells[:position] + flipped + cells[position + 1 :])


@pytest.mark.parametrize("cells", ["", "1", time_code(1.0) + "0", time_code(1.0)[:-1]])
def test_time_code_of_another_length_is_refused(cells: str) -> None:
    with pytest.raises(ValueError, match="is no time code"):
        parse_time_code(cells)


@pytest.mark.parametrize(("width", "height"), [(641, 360), (640, 361), (318, 360), (640, 178)])
def test_sizes_that_cannot_be_drawn_are_refused(width: int, height: int) -> None:
    with pytest.raises(ValueError, match=f"{width}x{height}"):
        TestPicture(width, height, FRAME_RATE)


def test_clock_shows_the_wall_time_in_utc() -> None:
    frame = TestPicture(WIDTH, HEIGHT, FRAME_RATE).draw(86_399.7)
    dot = WIDTH // 96
    face = Typeface(dot, 1, 0)
    text = [
        "".join(".#"[dots[x * dot]] for x in range(len(dots) // dot)) for dots in face.rows("23:59:59.700")
    ]
    left, top = (WIDTH - len(text[0]) * dot) // 2, int(HEIGHT * 0.40)
    shown = [
        "".join(".#"[_luma(frame, left + x * dot, top + y * dot) > 128] for x in range(len(text[0])))
        for y in range(len(text))
    ]
    assert shown == text


def test_ground_lights_up_with_the_full_second() -> None:
    picture = TestPicture(WIDTH, HEIGHT, FRAME_RATE)
    # Sums of floats may come out a little below what they stand for.
    lit = [_is_lit(picture.draw(STARTED_AT // 1 + frame / FRAME_RATE)) for frame in range(2 * FRAME_RATE)]
    beat = round(BEAT_SECONDS * FRAME_RATE)
    assert lit == ([True] * beat + [False] * (FRAME_RATE - beat)) * 2


# The encoder.


def test_decoder_configurations_come_first() -> None:
    headers = PatternEncoder(OPTIONS, STARTED_AT).sequence_headers()
    assert [(message.kind, message.timestamp) for message in headers] == [
        (MessageKind.VIDEO, 0),
        (MessageKind.AUDIO, 0),
    ]
    (video,), (audio,) = parse_video(headers[0].body), parse_audio(headers[1].body)
    assert (video.codec, video.kind, video.payload[0]) == (AVC, PacketKind.SEQUENCE_START, 1)
    # AAC LC (2), 48 kHz (3), two channels (ISO/IEC 14496-3, 1.6.2.1)
    assert (audio.codec, audio.kind) == (AAC, PacketKind.SEQUENCE_START)
    assert int.from_bytes(audio.payload[:2], "big") >> 3 == 2 << 8 | 3 << 4 | 2


def test_metadata_describes_the_stream() -> None:
    metadata = PatternEncoder(OPTIONS, STARTED_AT).metadata()
    assert (metadata["width"], metadata["height"], metadata["framerate"]) == (WIDTH, HEIGHT, FRAME_RATE)
    assert (metadata["videocodecid"], metadata["audiocodecid"], metadata["audiosamplerate"]) == (
        7,
        10,
        48_000,
    )


def test_keyframes_come_at_their_interval() -> None:
    frames = [parse_video(message.body)[0] for message in _encoded().of(MessageKind.VIDEO)]
    interval = KEYFRAME_SECONDS * FRAME_RATE
    assert len(frames) == SECONDS * FRAME_RATE
    assert [frame.is_keyframe for frame in frames] == [
        number % interval == 0 for number in range(len(frames))
    ]
    assert {frame.composition_time for frame in frames} == {0}


@pytest.mark.parametrize("kind", MessageKind)
def test_timestamps_rise_and_leave_no_gap(kind: MessageKind) -> None:
    stamps = [message.timestamp for message in _encoded().of(kind)]
    longest = 34 if kind is MessageKind.VIDEO else 22
    assert stamps[0] == 0
    assert all(0 < later - earlier <= longest for earlier, later in pairwise(stamps))


def test_bit_rate_is_kept() -> None:
    size = sum(len(message.body) for message in _encoded().of(MessageKind.VIDEO))
    assert size * 8 / SECONDS < 1.2 * OPTIONS.video_bitrate


def test_every_picture_carries_its_time_through_the_encoder() -> None:
    frames = _decoded_pictures()
    origin = round(STARTED_AT * FRAME_RATE)
    shown = [parse_time_code(_time_code_cells(frame)) for frame in frames]
    assert shown == [round((origin + number) / FRAME_RATE, 3) for number in range(SECONDS * FRAME_RATE)]


def test_beep_and_flash_begin_together() -> None:
    lit = [_is_lit(frame) for frame in _decoded_pictures()]
    flashes = [n / FRAME_RATE for n in range(1, len(lit)) if lit[n] and not lit[n - 1]]
    beeps = _beeps()
    assert len(flashes) >= SECONDS - 1
    for flash, beep in zip(flashes, beeps, strict=False):
        assert abs(flash - beep) < 0.010


def test_nothing_is_left_out_by_a_small_delay() -> None:
    encoder = PatternEncoder(OPTIONS, STARTED_AT)
    stamps = [m.timestamp for m in encoder.encode_until(MAX_LATE_SECONDS) if m.kind is MessageKind.VIDEO]
    assert len(stamps) == MAX_LATE_SECONDS * FRAME_RATE + 1


def test_what_was_missed_in_a_long_sleep_is_left_out() -> None:
    encoder = PatternEncoder(OPTIONS, STARTED_AT)
    encoder.encode_until(0.0)
    messages = encoder.encode_until(3600.0)
    assert [m.timestamp for m in messages if m.kind is MessageKind.VIDEO] == [3_600_000]
    assert len(messages) <= 3
    assert 3600.0 < encoder.next_due < 3600.1


# The publisher.


@dataclass
class Running:
    """A server that records, and the publisher at its port."""

    embedder: Embedder
    server: RtmpServer
    port: int
    task: asyncio.Task[None]

    def publication(self, number: int) -> RecordedPublication:
        return self.embedder.publications[number]

    def has_frames(self, number: int) -> bool:
        """Whether publication ``number`` began, and had frames of both kinds after the configurations."""
        if len(self.embedder.publications) <= number:
            return False
        publication = self.publication(number)
        return all(len(publication.of_kind(kind)) > 3 for kind in ("video", "audio"))


def _start(port: int) -> asyncio.Task[None]:
    pattern = publish_test_pattern(
        f"rtmp://127.0.0.1:{port}/live/pattern",
        width=WIDTH,
        height=HEIGHT,
        video_bitrate=OPTIONS.video_bitrate,
        first_retry_seconds=0.01,
    )
    return asyncio.create_task(pattern)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    embedder = Embedder()
    server = RtmpServer(embedder, embedder, embedder, RtmpLimits())
    port = await server.start("127.0.0.1", 0)
    task = _start(port)
    yield Running(embedder, server, port, task)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await server.close()


async def test_publishes_headers_before_frames_in_real_time(running: Running) -> None:
    await until(lambda: running.has_frames(0))
    publication = running.publication(0)
    assert running.embedder.requests[0][:3] == ("publish", "live", "pattern")
    kinds = [kind for kind, _, _ in publication.messages[:3]]
    assert kinds == ["metadata", "video", "audio"]
    video = [parse_video(body)[0] for _, body in publication.of_kind("video") if isinstance(body, bytes)]
    assert [tag.kind for tag in video[:2]] == [PacketKind.SEQUENCE_START, PacketKind.FRAME]
    assert video[1].is_keyframe
    stamps = [timestamp for timestamp, _ in publication.of_kind("video")[1:]]
    assert stamps == sorted(set(stamps))


async def test_pictures_do_not_come_before_their_time(running: Running) -> None:
    await until(lambda: running.has_frames(0))
    now = asyncio.get_running_loop().time
    first, seen_at = running.publication(0).of_kind("video")[-1][0], now()
    await until(lambda: running.publication(0).of_kind("video")[-1][0] >= first + 500)
    slack = 0.1
    assert now() - seen_at > 0.5 - slack


async def test_publishes_again_when_the_server_closed_the_connection(running: Running) -> None:
    for number in range(2):
        await until(lambda number=number: running.has_frames(number))
        running.publication(number).connection.close("NetStream.Publish.Rejected", "for a test")
    await until(lambda: running.has_frames(2))
    assert all(publication.of_kind("video")[1][0] == 0 for publication in running.embedder.publications)


async def test_keeps_trying_while_nobody_listens(unused_tcp_port: int) -> None:
    task = _start(unused_tcp_port)
    embedder = Embedder()
    server = RtmpServer(embedder, embedder, embedder, RtmpLimits())
    try:
        await asyncio.wait([task], timeout=0.05)
        assert not task.done()
        await server.start("127.0.0.1", unused_tcp_port)
        await until(lambda: embedder.publications)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.close()


async def test_cancelling_says_goodbye_and_ends_the_thread(running: Running) -> None:
    await until(lambda: running.has_frames(0))
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task
    await until(lambda: running.publication(0).ends)
    assert running.publication(0).ends == [True]
    await until(lambda: not [thread for thread in threading.enumerate() if "test-pattern" in thread.name])


async def test_cancelling_while_waiting_for_a_retry(unused_tcp_port: int) -> None:
    task = _start(unused_tcp_port)
    await asyncio.wait([task], timeout=0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("missing", ["libx264", "aac"])
async def test_a_missing_encoder_is_one_line_in_the_log(
    running: Running, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    running.task.cancel()
    log = _Log()
    monkeypatch.setattr(publisher, "logger", log)
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {missing})
    await _start(running.port)
    ((event, error),) = log.errors
    assert event == "test_pattern_unavailable"
    assert missing in error


@dataclass
class _Log:
    errors: list[tuple[str, str]] = field(default_factory=list)

    def error(self, event: str, error: str) -> None:
        self.errors.append((event, error))

    def warning(self, event: str, **values: object) -> None:
        """Interruptions are not counted."""


# Encoding once for all tests, and reading pictures and sound back.


@dataclass(frozen=True)
class _Encoded:
    headers: list[MediaMessage]
    messages: list[MediaMessage]

    def of(self, kind: MessageKind) -> list[MediaMessage]:
        return [message for message in self.messages if message.kind is kind]


@lru_cache
def _encoded() -> _Encoded:
    encoder = PatternEncoder(OPTIONS, STARTED_AT)
    messages: list[MediaMessage] = []
    while encoder.next_due < SECONDS - 1e-6:
        messages += encoder.encode_until(encoder.next_due)
    return _Encoded(encoder.sequence_headers(), messages)


@lru_cache
def _decoded_pictures() -> list[av.VideoFrame]:
    decoder = av.VideoCodecContext.create("h264", "r")
    decoder.extradata = parse_video(_encoded().headers[0].body)[0].payload
    packets = [av.Packet(parse_video(m.body)[0].payload) for m in _encoded().of(MessageKind.VIDEO)]
    return [frame for packet in [*packets, None] for frame in decoder.decode(packet)]


def _beeps() -> list[float]:
    """When the sound gets louder than the tone: seconds by the timestamps of the messages."""
    decoder = av.AudioCodecContext.create("aac", "r")
    decoder.extradata = parse_audio(_encoded().headers[1].body)[0].payload
    samples = array("f")
    for message in _encoded().of(MessageKind.AUDIO):
        for frame in decoder.decode(av.Packet(parse_audio(message.body)[0].payload)):
            samples.frombytes(memoryview(frame.planes[0])[: frame.samples * samples.itemsize])
    blocks = [max(samples[at : at + 48]) > 0.1 for at in range(0, len(samples), 48)]  # of 1 ms
    return [n / 1000 for n in range(20, len(blocks)) if blocks[n] and not any(blocks[n - 20 : n])]


def _luma(frame: av.VideoFrame, x: int, y: int) -> int:
    plane = frame.planes[0]
    return memoryview(plane)[y * plane.line_size + x]


def _is_lit(frame: av.VideoFrame) -> bool:
    return _luma(frame, 8, int(HEIGHT * 0.91)) > 128


def _time_code_cells(frame: av.VideoFrame) -> str:
    cell = WIDTH // TIME_CODE_CELLS
    lumas = [_luma(frame, number * cell + cell // 2, int(HEIGHT * 0.98)) for number in range(TIME_CODE_CELLS)]
    return "".join("1" if luma > 128 else "0" for luma in lumas)
