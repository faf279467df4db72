"""Simulcast and scalable streams: which layer each viewer gets, by choice and by what its path carries."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import pytest

from sfu.bandwidth import MIN_ALLOCATION_SECONDS, Bandwidth
from sfu.consumer import Consumer, Layers
from sfu.producer import Producer
from sfu.protocol import rtcp, rtp
from sfu.protocol.codecs import TRANSPORT_SEQUENCE
from sfu.protocol.parameters import RtpEncodingParameters
from sfu.protocol.simulcast import NONE
from tests.sfu.linked_world import (
    MID_ID,
    REPAIRED_ID,
    RID_ID,
    Peer,
    World,
    encoding,
    packet,
    video,
    vp8,
)

LAYERS = 3
FRAME = 1 / 30
RATES = (150_000, 500_000, 1_500_000)
MAX_PAYLOAD = 1100


class Camera:
    """Sends three layers of 30 pictures a second, and a keyframe of a layer when asked."""

    def __init__(self, world: World, peer: Peer) -> None:
        self.producer: Producer = peer.transport.produce(
            "video", video(*(encoding(1000 + 10 * layer) for layer in range(LAYERS)))
        )
        self.active = [True] * LAYERS
        self.keyframes = 0
        self._peer = peer
        self._numbers = [100, 200, 300]
        self._pictures = [0, 0, 0]
        self._next = world.clock.now
        self._seen = 0

    def frame(self, now: float) -> None:
        """Send what is due at `now`."""
        while self._next <= now:
            wanted = self._wanted()
            for layer in range(LAYERS):
                if self.active[layer]:
                    self._send(layer, 1000 + 10 * layer in wanted or self._pictures[layer] == 0)
            self._next += FRAME
        self._peer.world.server.plane.flush()

    def _wanted(self) -> set[int]:
        events, self._seen = self._peer.events[self._seen :], len(self._peer.events)
        return {event.media for event in events if isinstance(event, rtcp.PictureLossIndication)}

    def _send(self, layer: int, keyframe: bool) -> None:
        self.keyframes += keyframe
        self._pictures[layer] += 1
        left = int(RATES[layer] * FRAME / 8) * (3 if keyframe else 1)
        timestamp = int(90_000 * self._next) + layer * 1_000_000 & 0xFFFF_FFFF
        is_first = True
        while left > 0:
            size = min(left, MAX_PAYLOAD)
            left -= size
            payload = vp8(keyframe, self._pictures[layer], size)
            if not is_first:
                payload = bytes((payload[0] & 0xEF,)) + payload[1:]
            self._peer.send(
                self._peer.srtp.protect(
                    packet(
                        self._numbers[layer],
                        ssrc=1000 + 10 * layer,
                        timestamp=timestamp,
                        payload=payload,
                        marker=left <= 0,
                    )
                )
            )
            self._numbers[layer] += 1
            is_first = False


class Feedback:
    """Answers transport-wide numbers as a browser does."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._arrivals: dict[int, int] = {}
        self._next: int | None = None
        self._count = 0
        self._due = 0.0
        self._seen = 0

    def _news(self) -> list[tuple[bytes, float]]:
        peer, seen = self._peer, self._seen
        return list(zip(peer.packets[seen:], peer.arrivals[seen:], strict=True))

    def tick(self, now: float, consumer: Consumer) -> None:
        """Send what is due."""
        identifier = next(
            entry.id for entry in consumer.rtp_parameters.header_extensions if entry.uri == TRANSPORT_SEQUENCE
        )
        for data, at in self._news():
            self._seen += 1
            place = rtp.extensions(data, rtp.parse(data)).get(identifier)
            if place is not None:
                number = rtp.read_transport_sequence(data, *place)
                self._arrivals[number] = int(at * 1e6)
        if now < self._due or not self._arrivals:
            return
        self._due = now + 0.1
        first = min(self._arrivals) if self._next is None else self._next
        last = max(self._arrivals)
        statuses = [(number, self._arrivals.get(number)) for number in range(first, last + 1)]
        if not statuses:
            return
        self._next = last + 1
        self._arrivals.clear()
        self._count += 1
        self._peer.send_rtcp(rtcp.TransportFeedback(1, 0, self._count, statuses))


class Watch:
    """A camera and one viewer."""

    def __init__(self, world: World, sender: Peer, viewer: Peer) -> None:
        self.world = world
        self.camera = Camera(world, sender)
        self.viewer = viewer
        self.consumer = viewer.transport.consume(
            self.camera.producer.id, world.router.rtp_capabilities, paused=False
        )
        self.feedback: Feedback | None = Feedback(viewer)

    def run(self, seconds: float) -> None:
        def each(now: float) -> None:
            self.camera.frame(now)
            if self.feedback is not None:
                self.feedback.tick(now, self.consumer)

        self.world.run(seconds, each)

    @property
    def layer(self) -> int:
        layers = self.consumer.current_layers
        return -1 if layers is None else layers.spatial


async def _watch() -> Watch:
    world = World()
    return Watch(world, await world.connected(), await world.connected("192.0.2.2"))


async def test_a_viewer_climbs_to_the_highest_layer_that_its_path_carries() -> None:
    watch = await _watch()
    watch.run(12)
    assert watch.layer == 2
    assert watch.viewer.listener.layers[-1] == Layers(2, watch.consumer.selection.current_temporal)
    assert watch.viewer.transport.statistics()[0]["availableOutgoingBitrate"] > RATES[2]  # type: ignore[operator]


async def test_a_throttled_viewer_falls_to_a_lower_layer_and_recovers() -> None:
    watch = await _watch()
    watch.run(12)
    assert watch.layer == 2
    watch.viewer.down.bitrate = 800_000
    watch.run(6)
    assert watch.layer == 1
    lost = watch.viewer.down.lost
    watch.run(5)
    assert watch.viewer.down.lost - lost < 20
    watch.viewer.down.bitrate = 0
    watch.run(30)
    assert watch.layer == 2


async def test_whatever_a_peer_asks_for_is_allocated_once_and_not_too_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = await _watch()
    watch.run(12)
    allocations = 0
    allocate = Bandwidth.allocate

    def counting(*arguments: Any) -> None:
        nonlocal allocations
        allocations += 1
        allocate(*arguments)

    monkeypatch.setattr(Bandwidth, "allocate", counting)
    for priority in range(1, 101):
        watch.consumer.set_priority(priority)
        watch.consumer.set_preferred_layers(priority % 2)
        watch.consumer.pause()
        watch.consumer.resume()
    assert allocations == 0
    watch.run(0.1)
    assert allocations == 1
    assert watch.consumer.target == 0
    for _ in range(200):
        watch.consumer.set_preferred_layers(1)
        watch.run(0.005)
    assert 5 <= allocations <= 22
    assert watch.layer == 1


async def test_what_a_peer_asks_for_waits_for_no_other_allocation() -> None:
    watch = await _watch()
    watch.run(12)
    for count in range(1, 12):
        watch.consumer.set_preferred_layers(count % 2)
        watch.run(MIN_ALLOCATION_SECONDS + 0.01)
        assert watch.consumer.target == count % 2


async def test_a_paused_consumer_gets_nothing_at_once() -> None:
    watch = await _watch()
    watch.run(12)
    watch.consumer.pause()
    assert watch.consumer.target == NONE
    before = len(watch.viewer.packets)
    watch.camera.frame(watch.world.clock.now)
    watch.world.server.plane.flush()
    assert len(watch.viewer.packets) == before


async def test_numbers_go_on_without_a_gap_over_layer_switches() -> None:
    watch = await _watch()
    watch.run(12)
    for layer in (2, 0, 1):
        watch.consumer.set_preferred_layers(layer)
        watch.run(2.5)
    found = [rtp.parse(data) for data in watch.viewer.of_ssrc(watch.consumer.ssrc)]
    numbers = [header.sequence_number for header in found]
    assert numbers == [(numbers[0] + index) & 0xFFFF for index in range(len(numbers))]
    steps = [(after.timestamp - before.timestamp) & 0xFFFF_FFFF for before, after in pairwise(found)]
    assert max(steps) < 20_000


async def test_preferred_layers_are_an_upper_bound() -> None:
    watch = await _watch()
    watch.consumer.set_preferred_layers(1)
    watch.run(12)
    assert watch.layer == 1
    watch.consumer.set_preferred_layers(9)
    assert watch.consumer.preferred_layers == Layers(2, None)


async def test_a_layer_that_is_switched_off_is_left() -> None:
    watch = await _watch()
    watch.run(12)
    watch.camera.active[2] = False
    watch.run(4)
    assert watch.layer == 1


async def test_the_limit_of_outgoing_bitrate_chooses_the_layer() -> None:
    watch = await _watch()
    watch.viewer.transport.set_max_outgoing_bitrate(300_000)
    watch.run(10)
    assert watch.layer == 0


async def test_a_keyframe_is_paced() -> None:
    watch = await _watch()
    watch.feedback = None
    watch.run(1)
    before = len(watch.viewer.packets)
    watch.consumer.request_keyframe()
    watch.run(1.2)
    times = sorted(set(watch.viewer.arrivals[before:]))
    assert len(times) > 10


async def test_simulcast_by_rid_is_told_apart_by_header_extensions() -> None:
    world = World()
    sender, viewer = await world.connected(), await world.connected("192.0.2.2")
    producer = sender.transport.produce(
        "video", video(RtpEncodingParameters(rid="l"), RtpEncodingParameters(rid="h"))
    )
    assert producer.type == "simulcast"
    consumer = viewer.transport.consume(producer.id, world.router.rtp_capabilities, paused=False)
    for number, (rid, ssrc) in enumerate([("l", 111), ("h", 222)]):
        extensions = [(MID_ID, b"v"), (RID_ID, rid.encode())]
        sender.send_rtp(packet(number, ssrc=ssrc, payload=vp8(True, 1), extensions=extensions))
        sender.send_rtp(packet(number + 2, ssrc=ssrc, payload=vp8(False, 3)))
    assert [stream.rate.packets for stream in producer.streams] == [2, 2]
    repaired = packet(
        9,
        ssrc=333,
        payload_type=97,
        payload=struct.pack("!H", 1) + vp8(False, 2),
        extensions=[(MID_ID, b"v"), (REPAIRED_ID, b"l")],
    )
    sender.send_rtp(repaired)
    assert [stream.rate.packets for stream in producer.streams] == [3, 2]
    assert len(viewer.of_ssrc(consumer.ssrc)) >= 2


@pytest.mark.parametrize("count", [1, 2])
async def test_a_stream_without_layers_asks_for_no_feedback(count: int) -> None:
    world = World()
    sender, viewer = await world.connected(), await world.connected("192.0.2.2")
    producer = sender.transport.produce("video", video(*(encoding(1000 + 10 * i) for i in range(count))))
    consumer = viewer.transport.consume(producer.id, world.router.rtp_capabilities, paused=False)
    assert (consumer.pacer is not None) == (count > 1)
    assert (consumer.state.plan.transport_sequence > 0) == (count > 1)
    consumer.close()
    assert viewer.transport._sending.bandwidth is None
