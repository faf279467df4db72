"""A stream whose sound is AAC beside one whose sound is Opus."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mediaserver.containers.flv import FlvMuxer
from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.stream import Stream, StreamState
from mediaserver.media.packet import Codec, MediaPacket, TrackKind
from mediaserver.transcode.aac_stream import AAC_CONFIG, OUTPUT_NAME, aac_stream
from mediaserver.transcode.audio import AudioConverter, TranscodeError
from mediaserver.transcode.audio_sharing import make_executor
from tests.helpers.encoded import Encoded, demux, encode
from tests.helpers.waiting import eventually
from tests.mediaserver.gateways.rtmp_publishing import RecordingOutput

CLIP = encode(Codec.H264, Codec.OPUS)


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with make_executor(1) as executor:
        yield executor


def _live(clip: Encoded = CLIP) -> Stream:
    stream = Stream("room", GopCacheLimits())
    stream.set_tracks(clip.tracks, {"encoder": "a browser"})
    return stream


def _publish(stream: Stream, clip: Encoded = CLIP) -> None:
    now = asyncio.get_running_loop().time()
    for packet in clip.packets:
        received_at = now + packet.dts / packet.track.clock_rate
        stream.publish(
            MediaPacket(packet.track, packet.dts, packet.pts, packet.is_keyframe, packet.payload, received_at)
        )


def _count(output: RecordingOutput, kind: TrackKind) -> int:
    return sum(packet.track.kind is kind for packet in output.packets)


async def _everything(stream: Stream, executor: ThreadPoolExecutor) -> RecordingOutput:
    """What comes of the clip."""
    derived = aac_stream(stream, executor)
    output = RecordingOutput()
    derived.shared("test", lambda: output)
    _publish(stream)
    await eventually(lambda: _count(output, TrackKind.AUDIO) >= 45)
    stream.end()
    return output


async def test_streams_that_need_nothing_are_left_alone(executor: ThreadPoolExecutor) -> None:
    for clip in (encode(Codec.H264, Codec.AAC), encode(Codec.H264, None)):
        stream = _live(clip)
        assert aac_stream(stream, executor) is stream
        stream.end()


async def test_tracks_are_known_at_once_and_stay_what_they_were_said_to_be(
    executor: ThreadPoolExecutor,
) -> None:
    stream = _live()
    derived = aac_stream(stream, executor)
    [video, audio] = derived.tracks
    assert video == CLIP.tracks[0]
    assert (audio.id, audio.codec, audio.clock_rate, audio.config) == (1, Codec.AAC, 48_000, AAC_CONFIG)
    assert derived.metadata == {"encoder": "a browser"}
    output = await _everything(stream, executor)
    assert len(output.tracks) == 1
    assert output.states == ["ended"]


async def test_it_is_made_once(executor: ThreadPoolExecutor) -> None:
    stream = _live()
    assert aac_stream(stream, executor) is aac_stream(stream, executor)
    assert set(stream.viewers_by_output()) == {OUTPUT_NAME, "audio-aac"}
    stream.end()


async def test_everything_comes_and_sound_and_picture_are_in_step(executor: ThreadPoolExecutor) -> None:
    output = await _everything(_live(), executor)
    assert _count(output, TrackKind.VIDEO) == len(CLIP.of(TrackKind.VIDEO))
    assert {packet.track.codec for packet in output.packets} == {Codec.H264, Codec.AAC}
    newest = {TrackKind.VIDEO: 0.0, TrackKind.AUDIO: 0.0}
    pictures_left = len(CLIP.of(TrackKind.VIDEO))
    for packet in output.packets:
        newest[packet.track.kind] = packet.dts / packet.track.clock_rate
        pictures_left -= packet.track.kind is TrackKind.VIDEO
        if pictures_left > 3:  # at the end there is no more sound to wait for
            assert abs(newest[TrackKind.VIDEO] - newest[TrackKind.AUDIO]) < 0.1


async def test_a_demuxer_reads_it(executor: ThreadPoolExecutor) -> None:
    output = await _everything(_live(), executor)
    muxer = FlvMuxer()
    muxer.configure(output.tracks[0], {})
    streams = demux(muxer.header() + muxer.render(output.packets), "flv")
    assert {stream.codec for stream in streams} == {"h264", "aac"}


async def test_whoever_watches_it_watches_the_original(executor: ThreadPoolExecutor) -> None:
    stream = _live()
    derived = aac_stream(stream, executor)
    derived.shared("test", lambda: RecordingOutput(viewer_count=3))
    assert stream.viewer_count == 3
    stream.end()


async def test_newcomers_get_the_group_of_pictures(executor: ThreadPoolExecutor) -> None:
    stream = _live()
    _publish(stream)
    derived = aac_stream(stream, executor)
    output = RecordingOutput()
    derived.shared("test", lambda: output)
    await eventually(lambda: _count(output, TrackKind.AUDIO) > 3)
    assert next(p for p in output.packets if p.track.kind is TrackKind.VIDEO).is_keyframe
    stream.end()


async def test_pictures_do_not_wait_for_sound_that_does_not_come(executor: ThreadPoolExecutor) -> None:
    stream = _live()
    derived = aac_stream(stream, executor)
    output = RecordingOutput()
    derived.shared("test", lambda: output)
    for packet in CLIP.of(TrackKind.VIDEO):
        stream.publish(packet)
    assert len(output.packets) == len(CLIP.of(TrackKind.VIDEO))
    stream.end()


async def test_interruptions_and_changes_are_handed_on(executor: ThreadPoolExecutor) -> None:
    stream = _live()
    derived = aac_stream(stream, executor)
    output = RecordingOutput()
    derived.shared("test", lambda: output)
    stream.interrupt()
    assert (output.states, derived.state) == (["interrupted"], StreamState.INTERRUPTED)
    plain = encode(Codec.H264, Codec.AAC)
    stream.set_tracks(plain.tracks, {})
    assert derived.tracks == plain.tracks
    _publish(stream, plain)
    sounds = plain.of(TrackKind.AUDIO)
    assert [p.payload for p in output.packets if p.track.kind is TrackKind.AUDIO] == [
        sound.payload for sound in sounds
    ]
    stream.end()
    assert derived.state is StreamState.ENDED


async def test_sound_that_cannot_be_transcoded_leaves_the_picture(
    executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(converter: AudioConverter, packets: object) -> None:
        raise TranscodeError("no such encoder")

    monkeypatch.setattr(AudioConverter, "convert", fail)
    stream = _live()
    derived = aac_stream(stream, executor)
    output = RecordingOutput()
    derived.shared("test", lambda: output)
    _publish(stream)
    await eventually(lambda: len(derived.tracks) == 1)
    assert _count(output, TrackKind.VIDEO) == len(CLIP.of(TrackKind.VIDEO))
    stream.set_tracks(CLIP.tracks, {"encoder": "another name"})
    assert len(derived.tracks) == 1
    stream.end()


async def test_it_ends_some_time_after_its_last_output(executor: ThreadPoolExecutor) -> None:
    stream = _live()
    derived = aac_stream(stream, executor, linger_seconds=0.05)
    output = RecordingOutput()
    derived.shared("test", lambda: output)
    _publish(stream)
    await eventually(lambda: _count(output, TrackKind.AUDIO) >= 45)
    assert derived.state is StreamState.LIVE
    derived.detach(output)
    await eventually(lambda: stream.find_shared(OUTPUT_NAME) is None)
    assert aac_stream(stream, executor) is not derived
    stream.end()
