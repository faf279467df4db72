"""Producers that this process feeds, and sinks that take plain packets out of a router."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from sfu.producer import RENEW_SECONDS, LocalProducer
from sfu.protocol import rtcp, rtp
from sfu.protocol.errors import MalformedPacket
from sfu.protocol.ortc import UnsupportedParameters
from sfu.protocol.parameters import RtpCodecCapability
from sfu.quick_start import MAX_GROUP, MAX_SHORT_GROUP, PACKETS_PER_TICK
from sfu.taps import Tap
from tests.sfu.linked_world import Peer, World, encoding, packet, video, vp8

H264 = RtpCodecCapability(
    kind="video",
    mime_type="video/H264",
    clock_rate=90_000,
    parameters={"packetization-mode": 1, "profile-level-id": "42e01f", "level-asymmetry-allowed": 1},
)
OPUS = RtpCodecCapability(kind="audio", mime_type="audio/opus", clock_rate=48_000, channels=2)
NTP = 3_900_000_000 << 32
IDR, SLICE = b"\x65", b"\x41"


class Source:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.keyframes = 0
        self.counts: list[int] = []

    def on_keyframe_requested(self) -> None:
        self.keyframes += 1

    def on_consumers(self, count: int) -> None:
        self.counts.append(count)


class Bridge:
    """A local producer of H.264 with one picture per packet."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.source = Source()
        self.producer: LocalProducer = world.router.produce_local("video", H264, self.source)

    def send(self, *numbers: int, keyframe_at: int = 0) -> None:
        for number in numbers:
            payload = (IDR if number == keyframe_at else SLICE) + number.to_bytes(4, "big")
            made = packet(
                number, ssrc=self.producer.ssrc, payload_type=self.producer.payload_type, payload=payload
            )
            self.producer.send([made], received_at=self.world.clock.now)

    def viewer(self, peer: Peer) -> Viewer:
        return Viewer(self, peer)


class Viewer:
    """Who gets the bridge's pictures."""

    def __init__(self, bridge: Bridge, peer: Peer) -> None:
        self.peer = peer
        self.consumer = peer.transport.consume(
            bridge.producer.id, bridge.world.router.rtp_capabilities, paused=False
        )

    @property
    def packets(self) -> list[bytes]:
        return self.peer.of_ssrc(self.consumer.ssrc)

    @property
    def pictures(self) -> list[int]:
        return [int.from_bytes(data[rtp.parse(data).payload_offset + 1 :], "big") for data in self.packets]

    @property
    def timestamps(self) -> list[int]:
        return [rtp.parse(data).timestamp for data in self.packets]

    @property
    def numbers(self) -> list[int]:
        return [rtp.parse(data).sequence_number for data in self.packets]


async def test_what_is_fed_reaches_consumers_at_once() -> None:
    world = World()
    bridge = Bridge(world)
    viewer = bridge.viewer(await world.connected())
    assert bridge.source.keyframes == 1
    assert bridge.source.counts == [1]
    bridge.send(0, 1, 2)
    assert viewer.pictures == [0, 1, 2]
    viewer.consumer.close()
    assert bridge.source.counts == [1, 0]
    bridge.producer.close()
    bridge.send(3)
    assert viewer.pictures == [0, 1, 2]


async def test_a_late_viewer_begins_at_the_last_keyframe_in_fast_motion() -> None:
    world = World()
    bridge = Bridge(world)
    first = bridge.viewer(await world.connected())
    bridge.send(*range(60))
    late = bridge.viewer(await world.connected("192.0.2.2"))
    assert late.pictures == []
    world.run(0.01)
    assert len(late.pictures) <= PACKETS_PER_TICK + 1
    bridge.send(60)
    assert 60 not in late.pictures
    world.run(0.05)
    bridge.send(61, 62)
    assert late.pictures == list(range(63))
    assert first.pictures == list(range(63))
    assert late.timestamps[-4:] == first.timestamps[-4:]
    assert late.timestamps == sorted(late.timestamps)
    assert late.timestamps[59] - late.timestamps[0] < 90_000
    assert late.numbers == [(late.numbers[0] + index) & 0xFFFF for index in range(63)]


async def test_what_was_sent_in_fast_motion_can_be_repeated() -> None:
    world = World()
    bridge = Bridge(world)
    bridge.send(*range(20))
    late = bridge.viewer(await world.connected())
    world.run(0.1)
    late.peer.send_rtcp(rtcp.Nack(1, late.consumer.ssrc, (late.numbers[3],)))
    rtx = late.consumer.rtp_parameters.encodings[0].rtx
    assert rtx is not None
    (again,) = late.peer.of_ssrc(rtx.ssrc)
    assert rtp.parse(again).timestamp == late.timestamps[3]


async def test_who_lost_the_picture_begins_at_the_last_keyframe_again() -> None:
    world = World()
    bridge = Bridge(world)
    first, second = bridge.viewer(await world.connected()), bridge.viewer(await world.connected("192.0.2.2"))
    bridge.send(*range(10))
    world.run(RENEW_SECONDS)
    asked = bridge.source.keyframes
    first.peer.send_rtcp(rtcp.PictureLossIndication(1, first.consumer.ssrc))
    world.run(0.05)
    bridge.send(10, 11)
    assert first.pictures == [*range(10), *range(12)]
    assert second.pictures == list(range(12)), "the others lose nothing by it"
    assert first.numbers == [(first.numbers[0] + index) & 0xFFFF for index in range(22)]
    assert first.timestamps == sorted(set(first.timestamps)), "older pictures would not be shown"
    assert bridge.source.keyframes == asked


async def test_the_picture_is_renewed_only_now_and_then() -> None:
    world = World()
    bridge = Bridge(world)
    viewer, _ = bridge.viewer(await world.connected()), bridge.viewer(await world.connected("192.0.2.2"))
    bridge.send(*range(10))
    world.run(RENEW_SECONDS)
    for _ in range(20):
        viewer.peer.send_rtcp(rtcp.PictureLossIndication(1, viewer.consumer.ssrc))
        world.run(0.1)
    assert viewer.pictures.count(0) == 2
    world.run(RENEW_SECONDS)
    viewer.peer.send_rtcp(rtcp.PictureLossIndication(1, viewer.consumer.ssrc))
    world.run(0.1)
    assert viewer.pictures.count(0) == 3


async def test_who_began_just_now_is_sent_nothing_twice() -> None:
    world = World()
    bridge = Bridge(world)
    bridge.send(*range(100))
    late = bridge.viewer(await world.connected())
    world.run(0.02)
    late.peer.send_rtcp(rtcp.PictureLossIndication(1, late.consumer.ssrc))
    world.run(0.1)
    late.peer.send_rtcp(rtcp.PictureLossIndication(1, late.consumer.ssrc))
    world.run(0.1)
    assert late.pictures == list(range(100))


async def test_too_long_a_group_is_not_sent_to_who_watches() -> None:
    world = World()
    bridge = Bridge(world)
    viewer = bridge.viewer(await world.connected())
    bridge.send(*range(MAX_SHORT_GROUP + 1))
    world.run(RENEW_SECONDS)
    asked = bridge.source.keyframes
    viewer.peer.send_rtcp(rtcp.PictureLossIndication(1, viewer.consumer.ssrc))
    world.run(0.2)
    assert viewer.pictures == list(range(MAX_SHORT_GROUP + 1))
    assert bridge.source.keyframes == asked + 1


async def test_a_keyframe_ends_the_fast_motion() -> None:
    world = World()
    bridge = Bridge(world)
    bridge.send(*range(60))
    late = bridge.viewer(await world.connected())
    world.run(0.01)
    bridge.send(60, 61, keyframe_at=60)
    world.run(0.1)
    seen = len(late.pictures)
    assert late.pictures[-2:] == [60, 61]
    assert seen < 60
    assert late.numbers == [(late.numbers[0] + index) & 0xFFFF for index in range(seen)]


async def test_a_group_that_is_too_long_is_waited_out() -> None:
    world = World()
    bridge = Bridge(world)
    bridge.send(*range(MAX_GROUP + 5))
    late = bridge.viewer(await world.connected())
    world.run(0.1)
    assert late.pictures == []
    assert bridge.source.keyframes == 1
    bridge.send(9000, keyframe_at=9000)
    assert late.pictures == [9000]


async def test_a_consumer_that_pauses_or_leaves_while_it_starts_is_forgotten() -> None:
    world = World()
    bridge = Bridge(world)
    bridge.send(*range(60))
    viewers = [bridge.viewer(await world.connected()), bridge.viewer(await world.connected("192.0.2.2"))]
    viewers[0].consumer.pause()
    viewers[1].consumer.close()
    world.run(0.1)
    assert [viewer.pictures for viewer in viewers] == [[], []]
    viewers[0].consumer.resume()
    world.run(0.1)
    assert viewers[0].pictures == list(range(60))


async def test_reports_of_the_source_reach_viewers() -> None:
    world = World()
    bridge = Bridge(world)
    viewer = bridge.viewer(await world.connected())
    bridge.send(0)
    bridge.producer.sender_report(NTP, 0)
    world.run(1.2)
    report = next(event for event in viewer.peer.events if isinstance(event, rtcp.SenderReport))
    assert report.rtp_timestamp == pytest.approx(90_000 * ((report.ntp_time - NTP) / (1 << 32)), abs=2)


async def test_what_is_no_packet_or_of_no_codec_is_refused() -> None:
    world = World()
    bridge = Bridge(world)
    with pytest.raises(MalformedPacket):
        bridge.producer.send([b"no packet"], received_at=0.0)
    unknown = RtpCodecCapability(kind="video", mime_type="video/H265", clock_rate=90_000)
    with pytest.raises(UnsupportedParameters):
        world.router.produce_local("video", unknown, Source())
    sound = world.router.produce_local("audio", OPUS, Source())
    assert sound.payload_type == 100


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.numbers: list[tuple[int, int]] = []
        self.reports: list[tuple[int, int]] = []
        self.closed = 0

    def on_packet(self, packet: bytes, header: rtp.RtpHeader, received_at: float) -> None:
        assert rtp.parse(packet).sequence_number == header.sequence_number
        self.numbers.append((header.ssrc, header.sequence_number))

    def on_sender_report(self, ntp: int, rtp_timestamp: int) -> None:
        self.reports.append((ntp, rtp_timestamp))

    def on_closed(self) -> None:
        self.closed += 1


class Tapped:
    """A sender of video with a sink at it."""

    def __init__(self, world: World, sender: Peer, streams: int) -> None:
        self.sender = sender
        self.producer = sender.transport.produce(
            "video", video(*(encoding(1000 + 10 * index) for index in range(streams)))
        )
        self.sink = Sink()
        self.tap: Tap = world.router.tap(self.producer.id, self.sink)

    def send(self, number: int, *, keyframe: bool = False, ssrc: int = 1000) -> None:
        self.sender.send_rtp(packet(number, ssrc=ssrc, payload=vp8(keyframe, number)))


async def test_a_tap_gets_each_packet_once_as_it_was_sent() -> None:
    world = World()
    tapped = Tapped(world, await world.connected(), 1)
    for number in (7, 8, 10):
        tapped.send(number)
    rtx = packet(1, ssrc=1001, payload_type=97, timestamp=27_000, payload=b"\0\x09" + vp8(False, 9))
    tapped.sender.send_rtp(rtx)
    tapped.sender.send_rtp(packet(2, ssrc=1001, payload_type=97, payload=b"\0\x08" + vp8(False, 8)))
    assert tapped.sink.numbers == [(1000, 7), (1000, 8), (1000, 10), (1000, 9)]
    tapped.sender.send_rtcp(rtcp.SenderReport(1000, NTP, 123, 1, 1))
    assert tapped.sink.reports == [(NTP, 123)]
    other = Sink()
    world.router.tap(tapped.producer.id, other)
    assert len(other.reports) == 1
    tapped.tap.close()
    tapped.tap.close()
    tapped.send(11)
    assert len(tapped.sink.numbers) == 4
    tapped.producer.close()
    assert (tapped.sink.closed, other.closed) == (0, 1)


async def test_a_tap_asks_for_keyframes() -> None:
    world = World()
    tapped = Tapped(world, await world.connected(), 1)
    tapped.tap.request_keyframe()
    tapped.tap.request_keyframe()
    asked = [event for event in tapped.sender.events if isinstance(event, rtcp.PictureLossIndication)]
    assert [event.media for event in asked] == [1000]


async def test_of_simulcast_a_tap_gets_the_highest_layer_that_comes() -> None:
    world = World()
    tapped = Tapped(world, await world.connected(), 2)
    tapped.send(1, keyframe=True)
    tapped.send(2)
    tapped.send(50, ssrc=1010)
    tapped.send(51, ssrc=1010, keyframe=True)
    tapped.send(3)
    tapped.send(52, ssrc=1010)
    assert tapped.sink.numbers == [(1000, 1), (1000, 2), (1010, 51), (1010, 52)]
    world.run(2)
    tapped.send(4, keyframe=True)
    assert tapped.sink.numbers[-1] == (1000, 4)


async def test_a_sink_that_raises_costs_nobody_anything() -> None:
    world = World()
    tapped = Tapped(world, await world.connected(), 1)

    def fail(*_: object) -> None:
        raise RuntimeError("a bug elsewhere")

    tapped.sink.on_packet = fail  # type: ignore[method-assign]
    other = Sink()
    world.router.tap(tapped.producer.id, other)
    with capture_logs() as lines:
        for number in range(1, 21):
            tapped.send(number)
    assert other.numbers == [(1000, number) for number in range(1, 21)]
    assert [line["event"] for line in lines] == ["sfu_tap_failed"]
