"""Streams of the hub in the router of their room."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest

from mediaserver.gateways import webrtc_offers
from mediaserver.gateways.rtp_h264 import H264Format, H264Packetizer
from mediaserver.gateways.webrtc_offers import ReportClock, replay_times
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from mediaserver.transcode.audio_sharing import make_executor
from sfu.protocol import rtp
from tests.helpers.encoded import encode
from tests.helpers.waiting import eventually
from tests.mediaserver.gateways.webrtc_play_world import GOP, World, pictures, turn
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


async def test_a_stream_is_offered_when_both_it_and_the_router_are_there(world: World) -> None:
    world.play.watch(world.router)
    assert not world.router.local
    world.go_live()
    assert set(world.router.local) == {"video", "audio"}
    config = world.clip.tracks[0].config
    assert world.video.codec.parameters["profile-level-id"] == config[1:4].hex()
    assert world.audio.codec.channels == 2
    assert world.play.program_kinds(ROOM) == {"video", "audio"}


async def test_the_router_may_come_after_the_stream(world: World) -> None:
    world.go_live()
    world.send_pictures(0, GOP)
    world.play.watch(world.router)
    assert set(world.router.local) == {"video", "audio"}


async def test_a_stream_whose_publisher_is_lost_is_offered_when_it_comes_back(world: World) -> None:
    stream = world.go_live()
    world.hub.release(ROOM, world.publisher, is_clean=False)
    world.play.watch(world.router)
    assert not world.router.local
    assert world.play.program_kinds(ROOM) == {"video", "audio"}
    assert world.go_live() is stream
    assert set(world.router.local) == {"video", "audio"}


async def test_a_lost_publisher_leaves_the_producers_for_the_next_one(world: World) -> None:
    world.play.watch(world.router)
    world.go_live()
    world.video.join()
    await turn()
    world.send_pictures(0, 2)
    producer = world.video
    world.hub.release(ROOM, world.publisher, is_clean=False)
    world.go_live()
    world.send_pictures(GOP, GOP + 2)
    assert world.video is producer
    assert len(producer.frames) == 4


async def test_without_consumers_nothing_is_made(world: World) -> None:
    world.play.watch(world.router)
    stream = world.go_live()
    for packet in world.clip.packets:
        world.send(packet)
    assert not world.video.frames and not world.audio.frames
    assert "audio-opus" not in stream.viewers_by_output()


async def test_the_first_consumer_gets_the_group_of_pictures_at_once(world: World) -> None:
    world.play.watch(world.router)
    stream = world.go_live()
    world.send_pictures(0, GOP - 2)
    world.video.join()
    assert stream.viewer_count == 1
    await turn()
    world.send_pictures(GOP - 2, GOP)
    sent = world.clip.of(TrackKind.VIDEO)[:GOP]
    frames = pictures(world.video)
    assert len(frames) == len(sent)
    assert [is_keyframe for _, is_keyframe in frames] == [True] + [False] * (GOP - 1)
    assert world.play.counters.replays == 1


async def test_what_is_sent_again_is_over_before_the_next_picture(world: World) -> None:
    world.play.watch(world.router)
    world.go_live()
    world.send_pictures(0, GOP - 1)
    world.video.join()
    await turn()
    world.send_pictures(GOP - 1, GOP + 2)
    times = [header.timestamp for header in world.video.headers]
    steps = [(later - earlier) % 2**32 for earlier, later in pairwise(times)]
    step = 90_000 // 25
    assert all(0 < short <= 90 for short in steps[: GOP - 2])
    assert steps[GOP - 2 :] == [step] * 3


async def test_several_that_come_together_share_one_replay(world: World) -> None:
    world.play.watch(world.router)
    world.go_live()
    world.send_pictures(0, 3)
    for _ in range(3):
        world.video.join()
    await turn()
    assert len(world.video.frames) == 3


async def test_whoever_joins_later_disturbs_nobody_and_waits_for_the_keyframe(world: World) -> None:
    world.play.watch(world.router)
    world.go_live()
    world.send_pictures(0, 3)
    world.video.join()
    await turn()
    world.send_pictures(3, 5)
    world.video.join()
    await turn()
    world.send_pictures(5, 6)
    assert len(world.video.frames) == 6
    numbers = [header.sequence_number for header in world.video.headers]
    assert numbers == sorted(numbers)


async def test_nothing_is_sent_again_to_all_for_one_that_lost_its_picture(world: World) -> None:
    """The router sends it to the one."""
    world.play.watch(world.router)
    world.go_live()
    world.video.join()
    world.send_pictures(0, 4)
    await turn()
    world.video.listener.on_keyframe_requested()
    await turn()
    assert len(world.video.frames) == 4


async def test_the_router_has_the_group_before_anybody_is_connected(world: World) -> None:
    world.play.watch(world.router)
    world.go_live()
    world.send_pictures(0, 4)
    world.video.listener.on_consumers(1)
    await turn()
    assert len(world.video.frames) == 4
    world.send_pictures(4, 6)
    world.video.listener.on_consumers(2)
    await turn()
    assert len(world.video.frames) == 6
    assert world.play.counters.replays == 1


async def test_a_group_too_large_for_a_burst_is_not_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webrtc_offers, "MAX_GROUP_BYTES", 100)
    world.play.watch(world.router)
    world.go_live()
    world.send_pictures(0, 3)
    world.video.join()
    await turn()
    world.send_pictures(3, GOP)
    assert not world.video.frames
    world.send_pictures(GOP, GOP + 1)
    assert pictures(world.video)[0][1]


async def test_after_the_last_consumer_nothing_is_made_and_the_next_begins_anew(world: World) -> None:
    world.play.watch(world.router)
    world.go_live()
    world.video.join()
    await turn()
    world.send_pictures(0, 2)
    world.video.leave()
    world.send_pictures(2, 5)
    assert len(world.video.frames) == 2
    world.video.join()
    await turn()
    assert len(world.video.frames) == 2 + 5
    times = [header.timestamp for header in world.video.headers]
    assert all(0 < (later - earlier) % 2**32 < 2**31 for earlier, later in pairwise(times))


async def test_sound_is_transcoded_once_for_whoever_listens(world: World) -> None:
    world.play.watch(world.router)
    stream = world.go_live()
    world.audio.join()
    world.audio.join()
    assert "audio-opus" in stream.viewers_by_output()
    sounds = world.clip.of(TrackKind.AUDIO)
    for sound in sounds:
        world.send(sound)
    await eventually(lambda: len(world.audio.frames) > len(sounds) // 2)
    times = [header.timestamp for header in world.audio.headers]
    assert {(later - earlier) % 2**32 for earlier, later in pairwise(times)} == {960}
    assert not any(header.marker for header in world.audio.headers)


async def test_sound_from_before_somebody_listened_is_left_out(executor: ThreadPoolExecutor) -> None:
    world = World(executor, encode(Codec.H264, Codec.OPUS))
    world.play.watch(world.router)
    stream = world.go_live()
    for packet in world.clip.packets:
        stream.publish(packet)  # received at 0, and still in the group of pictures
    world.audio.join()
    assert not world.audio.frames
    world.send(world.clip.of(TrackKind.AUDIO)[-1])
    assert len(world.audio.frames) == 1
    world.hub.close()


async def test_opus_goes_on_as_it_is(executor: ThreadPoolExecutor) -> None:
    world = World(executor, encode(Codec.H264, Codec.OPUS))
    world.play.watch(world.router)
    world.go_live()
    world.audio.join()
    sounds = world.clip.of(TrackKind.AUDIO)
    for sound in sounds:
        world.send(sound)
    payloads = [packets[0][rtp.HEADER_SIZE :] for packets in world.audio.frames]
    assert payloads == [sound.payload for sound in sounds]
    world.hub.close()


async def test_reports_put_sound_and_picture_on_one_clock(world: World) -> None:
    clip = encode(Codec.H264, Codec.OPUS)
    world.play.watch(world.router)
    world.go_live(clip)
    world.video.join()
    world.audio.join()
    await turn()
    for packet in clip.packets:
        world.send(packet)
    offsets = []
    for producer, rate in ((world.video, 90_000), (world.audio, 48_000)):
        ntp, timestamp = producer.reports[0]
        packet = clip.of(TrackKind(producer.kind))[0]
        first = producer.headers[0].timestamp
        media = packet.pts / rate + (timestamp - first) / rate
        offsets.append(ntp / 2**32 - media)
    assert offsets[0] == pytest.approx(offsets[1], abs=0.001)


async def test_new_parameter_sets_go_on_and_another_profile_begins_anew(world: World) -> None:
    world.play.watch(world.router)
    stream = world.go_live()
    world.video.join()
    await turn()
    world.send_pictures(0, 2)
    producer = world.video
    [video, audio] = world.clip.tracks
    higher_level = bytes((video.config[3] + 9,))
    same_profile = replace(video, config=video.config[:3] + higher_level + video.config[4:])
    world.hub.set_tracks(stream, [same_profile, audio], {})
    assert world.video is producer
    picture = world.clip.of(TrackKind.VIDEO)[0]
    stream.publish(MediaPacket(same_profile, 9000, 9000, True, picture.payload, 0.0))
    assert len(producer.frames) == 3
    other = _with_profile(video, 0x4D)
    world.hub.set_tracks(stream, [other, audio], {})
    assert producer.is_closed
    assert world.video.codec.parameters["profile-level-id"].startswith("4d")


def _with_profile(track: Track, profile: int) -> Track:
    return replace(track, config=track.config[:1] + bytes((profile,)) + track.config[2:])


async def test_a_frame_that_is_none_costs_the_rest_of_its_group(world: World) -> None:
    world.play.watch(world.router)
    stream = world.go_live()
    world.video.join()
    await turn()
    world.send_pictures(0, 1)
    [video, _] = world.clip.tracks
    stream.publish(MediaPacket(video, 1, 1, False, b"\x00\x00\xff\xff", 0.0))
    world.send_pictures(2, GOP)
    assert len(world.video.frames) == 1
    world.send_pictures(GOP, GOP + 1)
    assert len(world.video.frames) == 2


async def test_the_end_of_the_stream_closes_the_producers_and_the_next_is_offered(world: World) -> None:
    world.play.watch(world.router)
    world.go_live()
    world.video.join()
    world.audio.join()
    world.hub.kick(ROOM, "over")
    assert not world.router.local
    world.go_live()
    assert set(world.router.local) == {"video", "audio"}


async def test_a_forgotten_router_gets_nothing_more(world: World) -> None:
    world.play.watch(world.router)
    stream = world.go_live()
    world.video.join()
    world.play.forget(ROOM)
    assert not world.router.local
    assert stream.viewer_count == 0
    world.send_pictures(0, 2)


def test_replay_times_rise_even_where_no_room_is_left() -> None:
    track = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, b"")
    frames = [MediaPacket(track, at, at, at == 0, b"", 0.0) for at in (0, 1, 2)]
    assert replay_times(frames, 2) == [3, 4, 5]
    assert replay_times(frames[:1], -1) == [0]


def test_the_report_clock_counts_from_the_time_of_day() -> None:
    clock = ReportClock(lambda: 100.0)
    first = clock.ntp(90_000, 90_000)
    assert first == (100 + 2_208_988_800) * 2**32
    assert clock.ntp(96_000, 48_000) - first == 2**32


def test_packets_are_what_the_packetizer_makes() -> None:
    clip = encode(Codec.H264, None)
    [video] = clip.tracks
    payloads = H264Packetizer(video.config).packetize(clip.packets[0].payload)
    assert H264Format().assemble(payloads)[1]
