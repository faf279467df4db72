"""Which streams of the hub, and what of them, the router of their room is offered."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mediaserver.gateways.webrtc_codecs import B_FRAMES
from mediaserver.gateways.webrtc_play import FRAMES_LOOKED_AT
from mediaserver.media.packet import Codec, MediaPacket, TrackKind
from mediaserver.transcode.audio import AudioConverter, TranscodeError
from mediaserver.transcode.audio_sharing import make_executor
from sfu.protocol.ortc import UnsupportedParameters
from tests.helpers.encoded import Encoded, encode
from tests.helpers.waiting import eventually
from tests.mediaserver.gateways.webrtc_play_world import GOP, OtherPublisher, World, turn
from tests.mediaserver.gateways.webrtc_room import ROOM


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    executor = make_executor()
    yield executor
    executor.shutdown()


@pytest.fixture
async def world(executor: ThreadPoolExecutor) -> AsyncIterator[World]:
    world = World(executor, encode(Codec.H264, Codec.AAC))
    yield world
    world.hub.close()


async def test_b_frames_are_refused_with_a_reason_and_nothing_is_offered(
    executor: ThreadPoolExecutor,
) -> None:
    clip = encode(Codec.H264, Codec.AAC, b_frames=2)
    world = World(executor, clip)
    world.play.watch(world.router)
    world.go_live()
    assert not world.router.local
    assert world.play.program_kinds(ROOM) == {"video", "audio"}
    world.send_pictures(0, FRAMES_LOOKED_AT, clip)
    assert not world.router.local
    assert world.play.refusal(ROOM) == B_FRAMES
    assert world.play.refusals() == {ROOM: B_FRAMES}
    assert world.play.program_kinds(ROOM) is None
    stream = world.hub.find(ROOM)
    assert stream is not None
    world.hub.set_tracks(stream, clip.tracks, {"encoder": "another name"})
    assert world.play.counters.refused_streams == 1
    world.hub.close()
    assert world.play.refusals() == {}


async def test_what_may_have_b_frames_but_has_none_is_offered_after_a_while(
    executor: ThreadPoolExecutor,
) -> None:
    reordering = encode(Codec.H264, Codec.AAC, b_frames=2)
    plain = encode(Codec.H264, Codec.AAC)
    world = World(executor, reordering)
    world.play.watch(world.router)
    stream = world.go_live()
    [video, _] = reordering.tracks
    keyframes = [p for p in plain.of(TrackKind.VIDEO) if p.is_keyframe]
    for index in range(FRAMES_LOOKED_AT):
        assert not world.router.local
        stream.publish(MediaPacket(video, index, index, True, keyframes[0].payload, 0.0))
    assert set(world.router.local) == {"video", "audio"}
    world.hub.close()


async def test_b_frames_that_come_later_end_the_offer(executor: ThreadPoolExecutor) -> None:
    reordering = encode(Codec.H264, Codec.AAC, b_frames=2)
    world = World(executor, reordering)
    world.play.watch(world.router)
    stream = world.go_live()
    [video, _] = reordering.tracks
    frames = reordering.of(TrackKind.VIDEO)
    for index in range(FRAMES_LOOKED_AT):
        stream.publish(MediaPacket(video, index, index, True, frames[0].payload, 0.0))
    producer = world.video
    world.send_pictures(0, GOP)
    assert producer.is_closed
    assert world.play.refusal(ROOM) == B_FRAMES
    world.hub.close()


async def test_the_next_publisher_is_judged_anew(executor: ThreadPoolExecutor) -> None:
    bad, good = encode(Codec.H264, Codec.AAC, b_frames=2), encode(Codec.H264, Codec.AAC)
    world = World(executor, bad)
    world.play.watch(world.router)
    world.go_live()
    world.send_pictures(0, GOP)
    assert world.play.refusal(ROOM) == B_FRAMES
    world.publisher = OtherPublisher()
    world.go_live(good)
    assert world.play.refusal(ROOM) is None
    assert set(world.router.local) == {"video", "audio"}
    world.hub.close()


async def test_what_the_router_does_not_take_is_refused(world: World) -> None:
    world.router.refusal = UnsupportedParameters("video/H264 is not of this router")
    world.play.watch(world.router)
    world.go_live()
    assert not world.router.local
    assert "not of this router" in (world.play.refusal(ROOM) or "")


async def test_a_failure_here_does_not_keep_the_stream_from_starting(world: World) -> None:
    world.router.refusal = RuntimeError("a defect")
    world.play.watch(world.router)
    stream = world.go_live()
    assert world.hub.find_live(ROOM) is stream
    assert not world.router.local
    world.send_pictures(0, 2)
    assert stream.statistics.packets == 2


async def test_a_configuration_that_cannot_be_read_is_refused(world: World) -> None:
    [video, audio] = world.clip.tracks
    world.play.watch(world.router)
    world.go_live(Encoded((replace(video, config=b"\x01\x64\x00\x1f"), audio), ()))
    assert not world.router.local
    assert world.play.refusal(ROOM) is not None


@pytest.mark.parametrize("codec", [Codec.HEVC])
async def test_video_that_browsers_do_not_take_is_refused(codec: Codec, executor: ThreadPoolExecutor) -> None:
    world = World(executor, encode(codec, Codec.AAC))
    world.play.watch(world.router)
    world.go_live()
    assert not world.router.local
    assert (world.play.refusal(ROOM) or "").startswith(f"{codec.value} video")
    world.hub.close()


@pytest.mark.parametrize(
    ("codec", "name", "parameters"),
    [(Codec.VP9, "video/VP9", {"profile-id": 0}), (Codec.AV1, "video/AV1", {})],
)
async def test_vp9_and_av1_are_offered(
    codec: Codec, name: str, parameters: dict[str, int], executor: ThreadPoolExecutor
) -> None:
    clip = encode(codec, None)
    world = World(executor, clip)
    world.play.watch(world.router)
    world.go_live()
    assert (world.video.codec.mime_type, world.video.codec.parameters) == (name, parameters)
    world.video.join()
    await turn()
    world.send_pictures(0, GOP)
    assert len(world.video.frames) == GOP
    world.hub.close()


async def test_sound_alone_is_offered(executor: ThreadPoolExecutor) -> None:
    world = World(executor, encode(None, Codec.AAC))
    world.play.watch(world.router)
    world.go_live()
    assert set(world.router.local) == {"audio"}
    assert world.play.program_kinds(ROOM) == {"audio"}
    world.hub.close()


async def test_sound_that_cannot_be_decoded_leaves_the_picture(executor: ThreadPoolExecutor) -> None:
    world = World(executor, encode(Codec.H264, Codec.FLAC))
    world.play.watch(world.router)
    world.go_live()
    assert set(world.router.local) == {"video"}
    world.hub.close()


async def test_sound_whose_transcoding_fails_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(converter: AudioConverter, packets: object) -> None:
        raise TranscodeError("no such decoder")

    monkeypatch.setattr(AudioConverter, "convert", fail)
    world.play.watch(world.router)
    world.go_live()
    producer = world.audio
    producer.join()
    world.send(world.clip.of(TrackKind.AUDIO)[0])
    await eventually(lambda: producer.is_closed)
    assert set(world.router.local) == {"video"}


async def test_what_the_router_publishes_itself_is_not_offered_again(world: World) -> None:
    world.play.watch(world.router)
    stream = world.go_live()
    assert world.router.local
    world.published_by_router = True
    stream.interrupt()
    world.hub.set_tracks(stream, world.clip.tracks, {})
    assert not world.router.local
    assert world.play.program_kinds(ROOM) is None
    world.published_by_router = False
    stream.interrupt()
    world.hub.set_tracks(stream, world.clip.tracks, {})
    assert set(world.router.local) == {"video", "audio"}
