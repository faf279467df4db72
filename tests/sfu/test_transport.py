"""A transport's life: addresses, restarts, ends, and peers that do what they must not."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from sfu.consumer import Consumer
from sfu.mux import MAX_DATAGRAM_SIZE
from sfu.producer import Producer
from sfu.protocol import rtcp, rtp
from sfu.protocol.active_speaker import Volume
from sfu.protocol.ice_lite import CONSENT_TIMEOUT
from sfu.protocol.parameters import DtlsFingerprint, DtlsParameters, RtpEncodingParameters, RtpParameters
from sfu.rtcp_limit import MAX_RTCP_PER_CONSUMER, MAX_RTCP_PER_SECOND
from sfu.transport import TransportLimits, TransportState
from sfu.webrtc_server import WebRtcOptions, WebRtcServer
from tests.helpers.waiting import eventually
from tests.sfu.linked_world import LEVEL_ID, MID_ID, Peer, World, audio, encoding, packet, video, vp8

PACKET_SIZE = 135
"""Of a packet of video, protected."""


def _has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1", 0))
        return True
    return False


class Watch:
    """One sender of video and one viewer."""

    def __init__(self, world: World, sender: Peer, viewer: Peer) -> None:
        self.world = world
        self.sender = sender
        self.viewer = viewer
        self.producer: Producer = sender.transport.produce("video", video())
        self.consumer: Consumer = viewer.transport.consume(
            self.producer.id, world.router.rtp_capabilities, paused=False
        )

    def send(self, number: int, *, keyframe: bool = False) -> None:
        self.sender.send_rtp(packet(number, payload=vp8(keyframe, number)))

    @property
    def got(self) -> int:
        return len(self.viewer.of_ssrc(self.consumer.ssrc))


async def _watch() -> Watch:
    world = World()
    return Watch(world, await world.connected(), await world.connected("192.0.2.2"))


async def test_states_are_told_in_their_order() -> None:
    world = World()
    peer = await world.connected()
    assert peer.listener.states == [TransportState.CONNECTING, TransportState.CONNECTED]
    peer.transport.close()
    assert peer.listener.states[-1] is TransportState.CLOSED
    assert peer.listener.closed == 1


async def test_media_follows_the_peer_to_another_address() -> None:
    watch = await _watch()
    watch.send(0, keyframe=True)
    watch.viewer.move(50_000)
    watch.send(1)
    assert watch.got == 1
    watch.viewer.check()
    watch.send(2)
    assert watch.got == 2
    watch.sender.move(50_001)
    watch.send(3)
    assert watch.got == 2
    watch.sender.check()
    watch.send(4)
    assert watch.got == 3


async def test_an_ice_restart_keeps_media_flowing() -> None:
    watch = await _watch()
    watch.send(0, keyframe=True)
    before = watch.viewer.transport.ice_parameters
    after = watch.viewer.transport.restart_ice()
    assert after.username_fragment != before.username_fragment
    assert watch.viewer.transport.ice_parameters == after
    watch.send(1)
    watch.viewer.check()
    watch.send(2)
    assert watch.got == 3
    assert watch.viewer.transport.state is TransportState.CONNECTED


@pytest.mark.parametrize(
    "limits", [TransportLimits(ingress_packets=20), TransportLimits(ingress_bitrate=8 * 20 * PACKET_SIZE)]
)
async def test_what_a_peer_sends_beyond_its_limit_is_dropped(limits: TransportLimits) -> None:
    world = World(WebRtcOptions(transport_limits=limits))
    watch = Watch(world, await world.connected(), await world.connected("192.0.2.2"))
    world.run(1.1)  # the handshake counted, too
    with capture_logs() as lines:
        for first in (0, 100):
            for number in range(first, first + 30):
                watch.sender.send_rtp(packet(number, payload=vp8(number == 0, number)))
            assert watch.got == 20 + first // 5
            world.run(1.1)
    assert watch.sender.transport.statistics()[0]["packetsDiscardedOnReceive"] == 20
    assert world.server.metrics()["media"]["received_limited"] == 20
    floods = [line for line in lines if line["event"] == "sfu_peer_floods"]
    assert [line["transport_id"] for line in floods] == [watch.sender.transport.id]


async def test_records_beyond_the_limit_are_dropped_too() -> None:
    world = World(WebRtcOptions(transport_limits=TransportLimits(ingress_packets=20)))
    peer = await world.connected()
    world.run(1.1)
    for _ in range(30):
        peer.send(bytes((23,)) + bytes(40))
    assert peer.transport.discarded_packets == 10
    assert peer.transport.state is TransportState.CONNECTED


async def test_without_consent_a_transport_ends() -> None:
    watch = await _watch()
    for _ in range(4):
        watch.world.run(CONSENT_TIMEOUT / 3)
        watch.viewer.check()
    assert watch.viewer.transport.state is TransportState.CONNECTED
    assert watch.sender.listener.states[-2:] == [TransportState.DISCONNECTED, TransportState.CLOSED]
    assert watch.sender.listener.closed == 1
    assert watch.viewer.listener.closed_consumers == [watch.consumer]


async def test_a_peer_that_never_comes_is_let_go() -> None:
    world = World()
    peer = world.peer()
    peer.transport.connect(peer.dtls_parameters())
    world.run(CONSENT_TIMEOUT + 2)
    assert peer.listener.states == [TransportState.FAILED, TransportState.CLOSED]
    assert world.router.is_empty
    assert len(world.server._mux) == 0


async def test_a_transport_that_is_not_used_yet_waits() -> None:
    world = World()
    peer = world.peer()
    world.run(3 * CONSENT_TIMEOUT)
    assert peer.listener.states == []
    peer.transport.connect(peer.dtls_parameters())
    world.run(CONSENT_TIMEOUT / 2)
    assert peer.listener.closed == 0


async def test_another_certificate_than_announced_fails() -> None:
    world = World()
    peer = world.peer()
    wrong = DtlsFingerprint(algorithm="sha-256", value=":".join(["AB"] * 32))
    peer.transport.connect(DtlsParameters(fingerprints=(wrong,), role="client"))
    peer.check()
    peer.dtls.start([])
    await eventually(lambda: peer.listener.closed)
    assert peer.listener.states[-2:] == [TransportState.FAILED, TransportState.CLOSED]
    assert world.server.counters.media.transports_failed == 1


async def test_a_peer_that_ends_dtls_has_left() -> None:
    watch = await _watch()
    watch.sender.dtls.close()
    assert watch.sender.listener.closed == 1
    assert watch.viewer.listener.closed_consumers == [watch.consumer]


async def test_garbage_of_a_connected_peer_harms_nobody() -> None:
    watch = await _watch()
    watch.send(0, keyframe=True)
    noise = random.Random(5)
    for size in (1, 8, 11, 12, 20, 100, 1200, 1500, MAX_DATAGRAM_SIZE, MAX_DATAGRAM_SIZE + 1, 1702):
        for first in range(0, 256, 5):
            watch.world.deliver(bytes((first,)) + noise.randbytes(size - 1), watch.viewer.address)
    for size in (8, 12, 20, 100, 1100):
        for kind in range(192, 224):
            data = bytes((0x80 | noise.randrange(32), kind)) + noise.randbytes(size - 2)
            with suppress(Exception):
                watch.viewer.send(watch.viewer.srtp.protect_rtcp(data))
    watch.send(1)
    assert watch.got == 2
    assert watch.world.server.counters.mux.endpoint_errors == 0
    assert watch.world.server.counters.media.rtcp_malformed > 0
    assert watch.viewer.transport.state is TransportState.CONNECTED


async def test_a_flood_of_rtcp_is_cut_off() -> None:
    watch = await _watch()
    for _ in range(1000):
        watch.viewer.send_rtcp(rtcp.PictureLossIndication(1, watch.consumer.ssrc))
    allowed = MAX_RTCP_PER_SECOND + MAX_RTCP_PER_CONSUMER
    assert watch.world.server.counters.media.rtcp_limited == 1000 - allowed
    watch.world.run(1.01)
    watch.viewer.send_rtcp(rtcp.PictureLossIndication(1, watch.consumer.ssrc))
    assert watch.world.server.counters.media.rtcp_limited == 1000 - allowed


async def test_a_nack_flood_costs_a_bounded_number_of_packets() -> None:
    watch = await _watch()
    for number in range(1500):
        watch.sender.send_rtp(packet(number, payload=vp8(number == 0, number), timestamp=10 * number))
    numbers = [rtp.parse(found).sequence_number for found in watch.viewer.packets]
    for _ in range(50):
        watch.viewer.send_rtcp(rtcp.Nack(1, watch.consumer.ssrc, tuple(numbers[:1000])))
        watch.world.run(0.1)
    repair = watch.consumer.repair
    assert repair is not None
    assert 0 < repair.sent <= 6000


async def test_media_of_nobody_is_counted_and_dropped() -> None:
    watch = await _watch()
    watch.sender.send_rtp(packet(1, ssrc=42, payload_type=55))
    watch.viewer.send_rtp(packet(1, ssrc=43))
    assert watch.world.server.counters.media.received_malformed == 2


async def test_a_listener_that_raises_costs_nobody_anything() -> None:
    watch = await _watch()

    def fail(*_: object) -> None:
        raise RuntimeError("a bug elsewhere")

    for name in ("on_consumer_closed", "on_consumer_paused", "on_consumer_layers", "on_transport_closed"):
        setattr(watch.viewer.listener, name, fail)
    other = await watch.world.connected("192.0.2.3")
    consumer = other.transport.consume(watch.producer.id, watch.world.router.rtp_capabilities, paused=False)
    watch.send(0, keyframe=True)
    assert len(other.of_ssrc(consumer.ssrc)) == 1
    watch.producer.close()
    assert other.listener.closed_consumers == [consumer]
    watch.viewer.transport.close()


async def test_streams_are_found_by_mid_and_by_payload_type() -> None:
    world = World()
    sender = await world.connected()
    unknown = RtpEncodingParameters()
    first = sender.transport.produce("video", video(unknown, mid="v"))
    second = sender.transport.produce("video", video(unknown, mid="w"))
    sound = sender.transport.produce(
        "audio",
        RtpParameters(mid="a", codecs=audio().codecs),
    )
    sender.send_rtp(packet(0, ssrc=77, payload=vp8(True), extensions=[(MID_ID, b"w")]))
    sender.send_rtp(packet(1, ssrc=77, payload=vp8(False)))
    sender.send_rtp(packet(0, ssrc=78, payload=vp8(True)))
    sender.send_rtp(packet(0, ssrc=79, payload_type=111))
    assert [producer.streams[0].rate.packets for producer in (first, second, sound)] == [0, 2, 1]
    assert world.server.counters.media.received_malformed == 1


async def test_a_sender_that_starts_anew_goes_on_at_its_next_keyframe() -> None:
    watch = await _watch()
    for number in range(3):
        watch.send(number, keyframe=number == 0)
    for number in range(30_000, 30_004):
        watch.send(number, keyframe=number == 30_002)
    found = [rtp.parse(data).sequence_number for data in watch.viewer.of_ssrc(watch.consumer.ssrc)]
    assert found == [found[0] + index for index in range(5)]


async def test_a_stream_whose_ssrc_changes_goes_on() -> None:
    world = World()
    sender, viewer = await world.connected(), await world.connected("192.0.2.2")
    producer = sender.transport.produce("video", video(encoding(1000)))
    consumer = viewer.transport.consume(producer.id, world.router.rtp_capabilities, paused=False)
    sender.send_rtp(packet(5, payload=vp8(True)))
    mid = [(MID_ID, b"v")]
    for number in (40_000, 40_001):
        sender.send_rtp(packet(number, ssrc=2000, payload=vp8(True, number), extensions=mid))
    found = [rtp.parse(data).sequence_number for data in viewer.of_ssrc(consumer.ssrc)]
    assert found == [found[0] + index for index in range(len(found))]
    assert len(found) >= 2


class Room:
    """Keeps what a router tells."""

    def __init__(self) -> None:
        self.producers: list[Producer] = []
        self.closed: list[Producer] = []
        self.paused: list[bool] = []
        self.speakers: list[str | None] = []
        self.volumes: list[list[Volume]] = []

    def on_producer(self, producer: Producer) -> None:
        self.producers.append(producer)

    def on_producer_closed(self, producer: Producer) -> None:
        self.closed.append(producer)

    def on_producer_paused(self, producer: Producer) -> None:
        self.paused.append(producer.paused)

    def on_active_speaker(self, producer_id: str | None) -> None:
        self.speakers.append(producer_id)

    def on_volumes(self, volumes: object) -> None:
        self.volumes.append(list(volumes))  # type: ignore[call-overload]


async def test_the_room_hears_who_speaks() -> None:
    world = World()
    room = Room()
    world.router.add_listener(room)
    one, other = await world.connected(), await world.connected("192.0.2.2")
    producers = [peer.transport.produce("audio", audio()) for peer in (one, other)]
    assert room.producers == producers
    number = 0

    def talk(speaker: int) -> None:
        nonlocal number
        for _ in range(100):
            number += 1
            for index, peer in enumerate((one, other)):
                level = 15 if index == speaker else 120
                peer.send_rtp(
                    packet(number, ssrc=5000, payload_type=111, extensions=[(LEVEL_ID, bytes((level,)))])
                )
            world.run(0.02)

    talk(0)
    talk(1)
    assert [speaker for speaker in room.speakers if speaker][-1] == producers[1].id
    assert producers[0].id in room.speakers
    assert room.volumes[-1][0] == Volume(producers[1].id, -15)
    producers[1].pause()
    assert room.speakers[-1] is None
    assert room.paused == [True]
    world.run(1)
    assert room.volumes[-1] == []
    one.transport.close()
    assert room.closed == [producers[0]]
    world.router.remove_listener(room)
    producers[1].close()
    assert room.closed == [producers[0]]


class Sockets:
    """A server on a real address."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.server = WebRtcServer()


@pytest.fixture(
    params=[
        "127.0.0.1",
        pytest.param("::1", marks=pytest.mark.skipif(not _has_ipv6(), reason="the machine has no IPv6")),
    ]
)
async def sockets(request: pytest.FixtureRequest) -> AsyncIterator[Sockets]:
    made = Sockets(request.param)
    yield made
    await made.server.close()


async def test_candidates_say_where_the_server_listens(sockets: Sockets) -> None:
    port = await sockets.server.start([sockets.host], 0)
    found = [(entry.address, entry.port, entry.protocol) for entry in sockets.server.candidates]
    assert found == [(sockets.host, port, "udp"), (sockets.host, port, "tcp")]
    assert sockets.server.candidates[0].priority > sockets.server.candidates[1].priority
    assert sockets.server.candidates[1].tcp_type == "passive"
    await sockets.server.close()


async def test_announced_addresses_are_what_candidates_say() -> None:
    server = WebRtcServer(["203.0.113.5", "2001:db8::5"])
    port = await server.start(["0.0.0.0"], 0)
    assert [entry.address for entry in server.candidates] == ["203.0.113.5"] * 2 + ["2001:db8::5"] * 2
    assert {entry.port for entry in server.candidates} == {port}
    await server.close()
    await asyncio.sleep(0)
