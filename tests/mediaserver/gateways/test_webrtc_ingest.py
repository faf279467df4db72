"""A room's program on the hub."""

import asyncio
import itertools

import pytest

from mediaserver.gateways.rtp_opus import OPUS_HEAD
from mediaserver.gateways.rtp_writing import RtpWriter
from mediaserver.gateways.webrtc_audience import AUDIENCE_OUTPUT
from mediaserver.gateways.webrtc_ingest import REQUEST_SECONDS, WebRtcIngest
from mediaserver.gateways.webrtc_publication import IDLE_KEYFRAME_SECONDS, KEYFRAME_SECONDS
from mediaserver.gateways.webrtc_reading import refusal
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import StreamState
from mediaserver.media.packet import Codec, TrackKind
from sfu.protocol.parameters import RtpParameters
from tests.helpers.encoded import encode
from tests.mediaserver.gateways.rtmp_publishing import RecordingConnection, RecordingOutput
from tests.mediaserver.gateways.webrtc_room import H264, OPUS, ROOM, RTX, VP8, Browser, FakeRouter


class World:
    def __init__(self) -> None:
        self.hub = Hub(grace_seconds=60)
        self.ended: list[tuple[str, str]] = []
        self.ingest = WebRtcIngest(self.hub, lambda room, reason: self.ended.append((room, reason)))
        self.router = FakeRouter()
        self.output = RecordingOutput()
        self.ingest.watch(self.router)

    def watch(self) -> RecordingOutput:
        """Attach the output to the stream there is."""
        stream = self.hub.find(ROOM)
        assert stream is not None
        stream.attach(self.output)
        return self.output

    def now(self) -> float:
        return asyncio.get_running_loop().time()


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_program_is_live_with_both_tracks_and_every_frame(world: World) -> None:
    browser = Browser(world.router)
    browser.play()
    output = world.watch()
    [video, audio] = output.tracks[-1]
    assert (video.id, video.codec, video.clock_rate) == (0, Codec.H264, 90_000)
    assert (audio.id, audio.codec, audio.config) == (1, Codec.OPUS, OPUS_HEAD)
    stream = world.hub.find_live(ROOM)
    assert stream is not None
    assert browser.clip.packets[0].track.kind is TrackKind.AUDIO  # which is before the first picture
    assert stream.statistics.packets == len(browser.clip.packets) - 1
    cached = [packet.payload for packet in output.packets if packet.track.kind is TrackKind.AUDIO]
    sent = [packet.payload for packet in browser.clip.of(TrackKind.AUDIO)]
    assert cached == sent[-len(cached) :]
    assert output.packets[0].is_keyframe


async def test_distances_are_exactly_the_publishers(world: World) -> None:
    browser = Browser(world.router)
    browser.play()
    output = world.watch()
    for turn in (1, 2):
        browser.play(turn)
    for kind, step in ((TrackKind.VIDEO, 3600), (TrackKind.AUDIO, 960)):
        times = [packet.dts for packet in output.packets if packet.track.kind is kind]
        steps = {later - earlier for earlier, later in itertools.pairwise(times)}
        assert step in steps
        assert all(value > 0 for value in steps)
        assert len(steps) <= 3  # inside the clip, and from one turn to the next


async def test_nothing_is_taken_over_before_the_first_packet(world: World) -> None:
    Browser(world.router)
    assert world.hub.find(ROOM) is None
    assert not world.ingest.is_publishing(ROOM)


async def test_what_is_not_program_stays_in_the_room(world: World) -> None:
    producer = world.router.produce("video", H264, is_program=False)
    assert not producer.taps


async def test_a_room_that_has_producers_already_is_carried_too() -> None:
    router = FakeRouter()
    browser = Browser(router)
    hub = Hub()
    WebRtcIngest(hub).watch(router)
    browser.play()
    assert hub.find_live(ROOM) is not None


async def test_sound_alone_is_live(world: World) -> None:
    Browser(world.router, has_video=False).play()
    [audio] = world.watch().tracks[-1]
    assert audio.codec is Codec.OPUS


async def test_a_camera_that_is_slow_is_waited_for(world: World) -> None:
    browser = Browser(world.router)
    for turn in range(2):
        _sounds(browser, turn)
    assert world.hub.find_live(ROOM) is None
    browser.play(2)
    assert [track.id for track in world.watch().tracks[-1]] == [0, 1]


async def test_a_camera_that_is_late_joins_later(world: World) -> None:
    browser = Browser(world.router)
    for turn in range(4):
        _sounds(browser, turn)
    output = world.watch()
    assert [track.id for track in output.tracks[-1]] == [1]
    browser.play(4)
    assert [track.id for track in output.tracks[-1]] == [0, 1]


async def test_a_camera_that_is_off_is_not_waited_for(world: World) -> None:
    browser = Browser(world.router)
    assert browser.video is not None
    browser.video.paused = True
    _sounds(browser, 0)
    assert [track.id for track in world.watch().tracks[-1]] == [1]


def _sounds(browser: Browser, turn: int) -> None:
    for packet in browser.clip.of(TrackKind.AUDIO):
        at = packet.dts / 48_000 + turn * browser.turn_ms / 1000
        browser.deliver(TrackKind.AUDIO, browser.rtp(packet, turn), at)


async def test_sender_reports_bring_sound_and_picture_together(world: World) -> None:
    browser = Browser(world.router)
    browser.play()
    output = world.watch()
    browser.report(1.0, audio_late=0.2)
    output.packets.clear()
    browser.play(1)
    first = {kind: next(p for p in output.packets if p.track.kind is kind) for kind in TrackKind}
    times = {kind: packet.dts / packet.track.clock_rate for kind, packet in first.items()}
    encoded = {kind: browser.clip.of(kind)[0] for kind in TrackKind}
    expected = {kind: packet.dts / packet.track.clock_rate for kind, packet in encoded.items()}
    skew = times[TrackKind.AUDIO] - times[TrackKind.VIDEO]
    assert skew == pytest.approx(expected[TrackKind.AUDIO] - expected[TrackKind.VIDEO] + 0.2, abs=0.02)


async def test_after_a_loss_nothing_goes_on_before_the_keyframe_that_is_asked_for(world: World) -> None:
    browser = Browser(world.router, has_audio=False)
    browser.play()
    output = world.watch()
    output.packets.clear()
    assert browser.video is not None
    browser.video.tap.keyframe_requests = 0
    pictures = browser.clip.of(TrackKind.VIDEO)
    browser.rtp(pictures[1], 1)  # lost
    for picture in pictures[2:15]:
        browser.deliver(TrackKind.VIDEO, browser.rtp(picture, 1), 1.5 + picture.dts / 90_000)
    assert browser.video.tap.keyframe_requests == 1
    assert output.packets[0].is_keyframe


@pytest.mark.parametrize("first_sequence", [50, 20_000, 40_000])
async def test_another_layer_of_simulcast_goes_on_where_the_last_one_ended(
    world: World, first_sequence: int
) -> None:
    browser = Browser(world.router, turn_ms=1_220)
    browser.play()
    browser.report(1.0)
    output = world.watch()
    browser.play(1)
    browser.writers[TrackKind.VIDEO] = RtpWriter(108, 77, first_sequence, 0x7000_0000)
    browser.report(2.0)
    browser.play(2)
    times = [packet.dts for packet in output.packets if packet.track.kind is TrackKind.VIDEO]
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(times) > 60
    assert all(3_500 <= step <= 6_000 for step in steps)


async def test_what_is_lost_for_good_is_given_up_by_time_alone(world: World) -> None:
    browser = Browser(world.router, has_video=False)
    sounds = browser.clip.of(TrackKind.AUDIO)
    browser.deliver(TrackKind.AUDIO, browser.rtp(sounds[0]), 0.0)
    browser.rtp(sounds[1])  # lost
    browser.deliver(TrackKind.AUDIO, browser.rtp(sounds[2]), 0.0)
    world.ingest.tick(browser.start + 1.0)
    assert world.ingest.counters.packets == 2


async def test_keyframes_come_often_for_viewers_and_seldom_for_none(world: World) -> None:
    browser = Browser(world.router, has_audio=False)
    browser.play()
    output = world.watch()
    stream = world.hub.find(ROOM)
    assert browser.video is not None and stream is not None
    tap = browser.video.tap
    tap.keyframe_requests = 0
    last = output.packets[0].received_at
    world.ingest.tick(last + KEYFRAME_SECONDS)
    stream.shared(AUDIENCE_OUTPUT, lambda: RecordingOutput(viewer_count=5))
    world.ingest.tick(last + KEYFRAME_SECONDS)
    assert tap.keyframe_requests == 0
    world.ingest.tick(last + IDLE_KEYFRAME_SECONDS)
    assert tap.keyframe_requests == 1
    stream.shared("flv", lambda: RecordingOutput(viewer_count=1))
    again = last + IDLE_KEYFRAME_SECONDS + REQUEST_SECONDS
    world.ingest.tick(again)
    world.ingest.tick(again + REQUEST_SECONDS / 2)
    assert tap.keyframe_requests == 2


async def test_a_camera_that_is_switched_off_is_not_asked(world: World) -> None:
    browser = Browser(world.router, has_audio=False)
    browser.play()
    assert browser.video is not None
    browser.video.tap.keyframe_requests = 0
    browser.video.paused = True
    world.ingest.tick(browser.start + 2 * IDLE_KEYFRAME_SECONDS)
    assert browser.video.tap.keyframe_requests == 0


async def test_a_packager_needs_keyframes_without_any_viewer(world: World) -> None:
    browser = Browser(world.router, has_audio=False)
    browser.play()
    stream = world.hub.find(ROOM)
    assert stream is not None and browser.video is not None
    tap = browser.video.tap
    tap.keyframe_requests = 0
    stream.shared("audio-aac", RecordingOutput)
    world.ingest.tick(browser.start + 1.5 + KEYFRAME_SECONDS)
    assert tap.keyframe_requests == 0
    stream.shared("hls", RecordingOutput)
    world.ingest.tick(browser.start + 1.5 + KEYFRAME_SECONDS)
    assert tap.keyframe_requests == 1


async def test_a_lost_publisher_may_come_back_and_time_goes_on(world: World) -> None:
    browser = Browser(world.router)
    browser.play()
    output = world.watch()
    for producer in (browser.video, browser.audio):
        assert producer is not None
        producer.close()
    stream = world.hub.find(ROOM)
    assert stream is not None and stream.state is StreamState.INTERRUPTED
    last = max(packet.dts / packet.track.clock_rate for packet in output.packets)
    output.packets.clear()
    Browser(world.router).play()
    assert world.hub.find(ROOM) is stream and stream.state is StreamState.LIVE
    assert min(packet.dts / packet.track.clock_rate for packet in output.packets) > last


async def test_a_goodbye_ends_the_stream_at_once(world: World) -> None:
    browser = Browser(world.router)
    browser.play()
    world.ingest.finish(ROOM)
    assert world.hub.find(ROOM) is None
    assert not world.ingest.is_publishing(ROOM)
    assert world.ingest.publisher_count == 0
    assert world.ended == []


async def test_a_closed_router_is_forgotten(world: World) -> None:
    browser = Browser(world.router)
    browser.play()
    world.ingest.forget(ROOM)
    assert not world.router.listeners
    assert browser.video is not None and all(tap.is_closed for tap in browser.video.taps)
    stream = world.hub.find(ROOM)
    assert stream is not None and stream.state is StreamState.INTERRUPTED


async def test_who_takes_over_by_another_door_closes_the_producers(world: World) -> None:
    browser = Browser(world.router)
    browser.play()
    world.hub.open(ROOM, _OtherPublisher())
    assert browser.video is not None and browser.video.is_closed
    assert browser.audio is not None and browser.audio.is_closed
    [(room, reason)] = world.ended
    assert (room, "took over" in reason) == (ROOM, True)
    assert world.hub.find(ROOM) is not None


async def test_taking_over_from_another_door_goes_on_in_the_same_stream(world: World) -> None:
    other = _OtherPublisher()
    stream = world.hub.open(ROOM, other)
    Browser(world.router).play()
    assert other.was_replaced
    assert world.hub.find_live(ROOM) is stream


async def test_a_kicked_publisher_is_closed(world: World) -> None:
    browser = Browser(world.router)
    browser.play()
    world.hub.kick(ROOM, "the stream key was changed")
    assert browser.video is not None and browser.video.is_closed
    assert world.ended == [(ROOM, "the stream key was changed")]
    browser.play(1)
    assert world.hub.find(ROOM) is None


async def test_vp8_is_refused_with_a_reason_and_the_sound_goes_on(world: World) -> None:
    refused = world.router.produce("video", VP8, RTX)
    reason = world.ingest.refusal(ROOM)
    assert reason is not None and reason.startswith("VP8 cannot be carried")
    assert world.ingest.counters.refused_producers == 1
    Browser(world.router, has_video=False).play()
    assert [track.codec for track in world.watch().tracks[-1]] == [Codec.OPUS]
    refused.close()
    assert world.ingest.refusal(ROOM) is None


async def test_a_screen_takes_the_cameras_place_and_gives_it_back(world: World) -> None:
    camera = Browser(world.router, has_audio=False)
    camera.play()
    output = world.watch()
    screen = Browser(world.router, encode(Codec.H264, None), has_audio=False)
    assert camera.video is not None and screen.video is not None
    assert not [tap for tap in camera.video.taps if not tap.is_closed]
    screen.start += 1.5
    screen.play()
    screen.video.close()
    assert [tap for tap in camera.video.taps if not tap.is_closed]
    times = [packet.dts for packet in output.packets]
    assert times == sorted(set(times))
    stream = world.hub.find(ROOM)
    assert stream is not None and stream.state is StreamState.LIVE


async def test_payload_types_of_no_codec_are_ignored(world: World) -> None:
    browser = Browser(world.router, has_audio=False)
    browser.packetizer.packetize(browser.clip.of(TrackKind.VIDEO)[0].payload)
    browser.deliver(TrackKind.VIDEO, [b"\x80\x6d" + bytes(10) + b"repair"], 0.0)
    browser.deliver(TrackKind.VIDEO, [b"\x80\x03" + bytes(10) + b"strange"], 0.0)
    assert world.hub.find(ROOM) is None


async def test_garbage_in_a_picture_costs_that_picture(world: World) -> None:
    browser = Browser(world.router)
    browser.play()
    output = world.watch()
    output.packets.clear()
    [first, *_] = browser.clip.of(TrackKind.VIDEO)
    ticks = first.dts + 90_000
    browser.deliver(TrackKind.VIDEO, browser.writers[TrackKind.VIDEO].write([b"\x7f\x00"], ticks), 1.3)
    assert not output.packets
    browser.play(1)
    assert {packet.track.kind for packet in output.packets} == set(TrackKind)
    assert world.ingest.counters.keyframe_requests >= 1


async def test_what_fails_in_one_room_costs_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(world.router, has_audio=False)
    browser.play()
    other = FakeRouter("another room")
    world.ingest.watch(other)
    second = Browser(other, has_audio=False)
    second.play()
    assert browser.video is not None and second.video is not None
    monkeypatch.setattr(browser.video.tap, "request_keyframe", None)
    second.video.tap.keyframe_requests = 0
    world.ingest.tick(browser.start + 2 * IDLE_KEYFRAME_SECONDS)
    assert second.video.tap.keyframe_requests == 1


async def test_the_task_does_what_is_due(world: World) -> None:
    running = asyncio.create_task(world.ingest.run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


class _OtherPublisher(RecordingConnection):
    """A publisher by another door."""

    was_replaced = False

    def replaced(self) -> None:
        self.was_replaced = True

    def kicked(self, reason: str) -> None: ...


def test_the_program_of_rtx_alone_is_nothing() -> None:
    assert (refusal(RtpParameters(codecs=(RTX,))) or "").startswith("nothing cannot")
    assert refusal(RtpParameters(codecs=(OPUS,))) is None
