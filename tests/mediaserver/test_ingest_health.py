"""Warnings for streamers: each on its figures, and none for a good stream."""

import asyncio
from collections.abc import Iterable, Sequence
from uuid import UUID

import pytest

from mediaserver.api_ports import HubLiveRooms
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream
from mediaserver.ingest_health import (
    MIN_MEANS,
    SAMPLE_SECONDS,
    SAMPLES,
    SAMPLES_PER_MEAN,
    HubIngestMonitor,
)
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from storage.ids import new_id
from tests.helpers.media import AUDIO, VIDEO, audio, interleaved, video
from tests.mediaserver.media.codecs.vectors import H264_720P

REAL_VIDEO = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, H264_720P)
HEVC = Track(0, TrackKind.VIDEO, Codec.HEVC, 90_000, b"")


class Publisher:
    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None: ...


class World:
    def __init__(self) -> None:
        self.hub = Hub()
        self.live = HubLiveRooms(self.hub)
        self.not_carried: dict[str, str] = {}
        self.monitor = HubIngestMonitor(self.hub, self.live, self.not_carried.get)
        self.room: UUID = new_id()
        self.publisher = Publisher()

    def publish(self, packets: Iterable[MediaPacket], tracks: Sequence[Track] = (VIDEO, AUDIO)) -> Stream:
        stream = self.hub.open(str(self.room), self.publisher)
        self.hub.set_tracks(stream, tracks, {})
        now = asyncio.get_running_loop().time()
        for packet in packets:
            stream.publish(
                MediaPacket(packet.track, packet.dts, packet.pts, packet.is_keyframe, packet.payload, now)
            )
        return stream

    def warnings(self) -> dict[str, str]:
        health = self.monitor.health(self.room)
        assert health is not None
        return {warning.code: warning.message for warning in health.warnings}

    def sample_bitrates(self, stream: Stream, bitrates: Iterable[float]) -> None:
        for bitrate in bitrates:
            stream.statistics._bitrate = bitrate
            self.monitor.sample()


@pytest.fixture
async def world() -> World:
    return World()


async def test_nobody_publishes_nothing_is_told(world: World) -> None:
    assert world.monitor.health(world.room) is None
    world.hub.open(str(world.room), world.publisher)
    assert world.monitor.health(world.room) is None


async def test_a_good_stream_has_its_figures_and_no_warning(world: World) -> None:
    packets = [
        MediaPacket(REAL_VIDEO, p.dts, p.pts, p.is_keyframe, p.payload, 0) if p.track is VIDEO else p
        for p in interleaved(5, gop_frames=50)
    ]
    stream = world.publish(packets, (REAL_VIDEO, AUDIO))
    world.sample_bitrates(stream, [2_000_000] * SAMPLES)
    health = world.monitor.health(world.room)
    assert health is not None
    assert health.warnings == []
    assert health.video is not None and health.audio is not None
    assert (health.video.width, health.video.height, health.video.keyframe_interval) == (1280, 720, 2.0)
    assert (health.audio.sample_rate, health.audio.channels) == (48_000, 2)
    assert (health.bitrate, health.is_interrupted) == (2_000_000, False)
    assert health.started_at is not None


async def test_keyframes_far_apart(world: World) -> None:
    world.publish(interleaved(17, gop_frames=200))
    assert world.warnings()["keyframes_far_apart"].startswith("keyframes 8 s apart")


async def test_a_second_keyframe_that_never_comes(world: World) -> None:
    world.publish(interleaved(11, gop_frames=100_000))
    assert world.warnings()["keyframes_far_apart"].startswith("keyframes 11 s apart")


async def test_b_frames(world: World) -> None:
    order = (0, 3, 1, 2, 6, 4, 5)
    frames = [
        MediaPacket(VIDEO, n * 3600, (shown + 1) * 3600, n == 0, b"f", 0) for n, shown in enumerate(order)
    ]
    world.publish([*frames, audio(0)])
    assert world.warnings().keys() == {"b_frames"}


async def test_a_constant_delay_of_pts_is_no_b_frame(world: World) -> None:
    frames = [MediaPacket(VIDEO, n * 3600, (n + 2) * 3600, n == 0, b"f", 0) for n in range(10)]
    world.publish([*frames, audio(0)])
    assert world.warnings() == {}


async def test_no_audio_and_no_video(world: World) -> None:
    world.publish([video(n, is_keyframe=n == 0) for n in range(10)], (VIDEO,))
    assert world.warnings() == {"no_audio": "no audio"}


async def test_audio_alone(world: World) -> None:
    world.publish([audio(n) for n in range(10)], (AUDIO,))
    assert world.warnings() == {"no_video": "no video"}


async def test_hevc_is_not_for_everybody(world: World) -> None:
    frames = [video(n, is_keyframe=n == 0, track=HEVC) for n in range(10)]
    world.publish([*frames, audio(0)], (HEVC, AUDIO))
    assert world.warnings().keys() == {"codec_support"}


async def test_what_does_not_reach_the_hub_is_told_beside_what_does(world: World) -> None:
    world.not_carried[str(world.room)] = "VP8 cannot be carried"
    world.publish([audio(n) for n in range(10)], (AUDIO,))
    assert world.warnings() == {"not_carried": "VP8 cannot be carried", "no_video": "no video"}


async def test_a_publisher_of_whom_nothing_reaches_the_hub_is_told_why(world: World) -> None:
    world.not_carried[str(world.room)] = "VP8 cannot be carried"
    assert world.warnings() == {"not_carried": "VP8 cannot be carried"}
    health = world.monitor.health(world.room)
    assert health is not None
    assert (health.started_at, health.video, health.audio, health.bitrate) == (None, None, None, 0)
    world.not_carried.clear()
    assert world.monitor.health(world.room) is None


async def test_audio_beside_the_video(world: World) -> None:
    world.publish([video(0, is_keyframe=True), audio(0), video(75, is_keyframe=True)])
    assert world.warnings() == {"audio_skew": "audio 3.0 s behind the video"}


async def test_an_audio_track_that_carries_nothing(world: World) -> None:
    world.publish([video(n, is_keyframe=n % 50 == 0) for n in range(120)])
    assert world.warnings() == {"no_audio": "no audio: the track is there, but nothing comes in"}


async def test_bitrate_swings_only_over_means(world: World) -> None:
    stream = world.publish(interleaved(3))
    steady = [1_000_000, 5_000_000] * (SAMPLES // 2)
    world.sample_bitrates(stream, steady)
    assert world.warnings() == {}
    half = SAMPLES // SAMPLES_PER_MEAN // 2 * SAMPLES_PER_MEAN
    world.sample_bitrates(stream, [500_000] * half + [4_000_000] * (SAMPLES - half))
    assert world.warnings()["bitrate_swings"].startswith("bitrate swings between 0.5 and 4.0 Mbit/s")


async def test_a_young_stream_is_given_time(world: World) -> None:
    stream = world.publish(interleaved(3))
    world.sample_bitrates(stream, [1, 10_000_000] * (SAMPLES_PER_MEAN * (MIN_MEANS - 1) // 2))
    assert world.warnings() == {}


async def test_timestamps_that_jumped_are_told_for_a_minute(world: World) -> None:
    stream = world.publish(interleaved(3))
    world.monitor.sample()
    stream.timeline.place(0, 0)
    stream.timeline.place(0, 100_000_000)
    assert world.warnings() == {"timestamps_jumped": "timestamps jumped once in the last minute"}
    for _ in range(SAMPLES):
        world.monitor.sample()
    assert world.warnings() == {}


async def test_a_stall(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.publish(interleaved(3))
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(type(world.hub.streams()[0].statistics), "last_received_at", now - 5.2)
    assert world.warnings() == {"stalled": "nothing has come in for 5 s"}


async def test_an_interrupted_stream_says_only_that(world: World) -> None:
    world.publish(interleaved(17, gop_frames=200))
    world.hub.release(str(world.room), world.publisher, is_clean=False)
    assert world.warnings().keys() == {"interrupted"}
    health = world.monitor.health(world.room)
    assert health is not None and health.is_interrupted
    world.hub.close()


async def test_streams_that_ended_are_forgotten_and_asking_leaves_no_trace(world: World) -> None:
    stream = world.publish(interleaved(3))
    world.monitor.sample()
    world.warnings()
    assert stream._outputs == []
    world.hub.close()
    world.monitor.sample()
    assert world.monitor._samples == {}


async def test_the_task_samples_and_ends_when_cancelled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SAMPLE_SECONDS > 1
    world.publish(interleaved(3))
    task = asyncio.create_task(world.monitor.run())
    await asyncio.sleep(0)
    assert len(world.monitor._samples[str(world.room)]) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
