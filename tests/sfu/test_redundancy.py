"""Redundant audio between linked peers: to each in the shape that it knows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from sfu.consumer import Consumer
from sfu.errors import CannotConsume
from sfu.producer import Producer
from sfu.protocol import ortc, red, rtp
from sfu.protocol.active_speaker import Volume
from sfu.protocol.parameters import RtpCapabilities, RtpCodecParameters, RtpParameters
from tests.sfu.linked_world import LEVEL_ID, Peer, World, audio, packet
from tests.sfu.protocol.red_payloads import red_payload

RED_NUMBER, OPUS_NUMBER = 63, 111
ROUTER_RED, ROUTER_OPUS = 101, 100


def redundant(ssrc: int = 5000, mid: str | None = "a") -> RtpParameters:
    """What a browser sends that prefers RED, as mediasoup-client would read it."""
    plain = audio(ssrc, mid)
    wrapped = RtpCodecParameters(
        mime_type="audio/red",
        payload_type=RED_NUMBER,
        clock_rate=48_000,
        channels=2,
        parameters={f"{OPUS_NUMBER}/{OPUS_NUMBER}": ""},
    )
    return replace(plain, codecs=(wrapped, *plain.codecs))


def without_red(capabilities: RtpCapabilities) -> RtpCapabilities:
    return replace(
        capabilities, codecs=tuple(codec for codec in capabilities.codecs if not red.is_red(codec))
    )


class Sink:
    """Keeps what a tap gets."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def on_packet(self, packet: bytes, header: rtp.RtpHeader, received_at: float) -> None:
        assert len(packet) - header.padding > header.payload_offset
        assert rtp.parse(packet).payload_type == header.payload_type
        self.packets.append(packet)

    def on_sender_report(self, ntp: int, rtp_timestamp: int) -> None: ...

    def on_closed(self) -> None: ...


class Ears:
    """Keeps who is told to speak, and to be loudest."""

    def __init__(self) -> None:
        self.speakers: list[str | None] = []
        self.loudest: list[str] = []

    def on_producer(self, producer: Producer) -> None: ...

    def on_producer_closed(self, producer: Producer) -> None: ...

    def on_producer_paused(self, producer: Producer) -> None: ...

    def on_active_speaker(self, producer_id: str | None) -> None:
        self.speakers.append(producer_id)

    def on_volumes(self, volumes: Sequence[Volume]) -> None:
        self.loudest += [volume.producer_id for volume in volumes[:1]]


class Call:
    """One who sends RED, one who knows it, one who knows it by other numbers, and one who does not."""

    def __init__(self, world: World, sender: Peer, viewers: list[Peer]) -> None:
        self.world = world
        self.sender = sender
        self.knowing, self.naming, self.plain = viewers
        self.producer: Producer = sender.transport.produce("audio", redundant())
        capabilities = world.router.rtp_capabilities
        self.red_consumer = self._consumer(self.knowing, capabilities)
        self.plain_consumer = self._consumer(self.plain, without_red(capabilities))
        named = RtpParameters(
            codecs=redundant().codecs, encodings=audio(777).encodings, header_extensions=(), mid="0"
        )
        self.named_consumer = self.naming.transport.consume_negotiated(self.producer.id, named)
        self.sink = Sink()
        world.router.tap(self.producer.id, self.sink)

    def _consumer(self, viewer: Peer, capabilities: RtpCapabilities) -> Consumer:
        return viewer.transport.consume(self.producer.id, capabilities, paused=False)

    def send(self, number: int, payload: bytes, payload_type: int = RED_NUMBER) -> None:
        self.sender.send_rtp(
            packet(
                number,
                ssrc=5000,
                payload_type=payload_type,
                payload=payload,
                extensions=[(LEVEL_ID, b"\x85")],
            )
        )


async def _call() -> Call:
    world = World()
    viewers = [await world.connected(f"192.0.2.{host}") for host in (11, 12, 13)]
    return Call(world, await world.connected(), viewers)


def payloads(packets: list[bytes]) -> list[tuple[int, bytes]]:
    """The payload type and payload of each packet."""
    headers = [(found, rtp.parse(found)) for found in packets]
    return [(header.payload_type, found[header.payload_offset :]) for found, header in headers]


async def test_each_gets_the_shape_that_it_knows() -> None:
    call = await _call()
    call.send(1, red_payload(b"one"))
    call.send(2, red_payload(b"two", b"one"))

    assert payloads(call.knowing.packets) == [
        (ROUTER_RED, red_payload(b"one", payload_type=ROUTER_OPUS)),
        (ROUTER_RED, red_payload(b"two", b"one", payload_type=ROUTER_OPUS)),
    ]
    assert payloads(call.naming.packets) == [
        (RED_NUMBER, red_payload(b"one")),
        (RED_NUMBER, red_payload(b"two", b"one")),
    ]
    assert payloads(call.plain.packets) == [(ROUTER_OPUS, b"one"), (ROUTER_OPUS, b"two")]
    assert payloads(call.sink.packets) == [(OPUS_NUMBER, b"one"), (OPUS_NUMBER, b"two")]


async def test_numbers_and_times_are_the_same_in_all_shapes() -> None:
    call = await _call()
    for number in (1, 2, 4):
        call.send(number, red_payload(b"frame", b"copy"))
    for peer in (call.knowing, call.naming, call.plain):
        headers = [rtp.parse(found) for found in peer.packets]
        first = headers[0].sequence_number
        assert [header.sequence_number - first for header in headers] == [0, 1, 3]
        assert [header.timestamp - headers[0].timestamp for header in headers] == [0, 3000, 9000]
    assert [rtp.parse(found).sequence_number for found in call.sink.packets] == [1, 2, 4]


async def test_plain_audio_between_goes_to_all() -> None:
    call = await _call()
    call.send(1, b"plain", OPUS_NUMBER)
    call.send(2, red_payload(b"two", b"plain"))

    assert payloads(call.knowing.packets)[0] == (ROUTER_RED, red_payload(b"plain", payload_type=ROUTER_OPUS))
    assert payloads(call.plain.packets) == [(ROUTER_OPUS, b"plain"), (ROUTER_OPUS, b"two")]
    assert payloads(call.sink.packets) == [(OPUS_NUMBER, b"plain"), (OPUS_NUMBER, b"two")]


async def test_what_is_unsound_is_counted_and_dropped() -> None:
    call = await _call()
    counters = call.world.server.plane.counters
    before = counters.received_malformed
    for number, payload in enumerate((b"", b"\xff" * 9, red_payload(b"x", payload_type=RED_NUMBER))):
        call.send(number, payload)
    call.send(3, b"", OPUS_NUMBER)
    assert counters.received_malformed == before + 4
    assert counters.flush_errors == 0
    assert not (call.knowing.packets or call.plain.packets or call.sink.packets)

    call.send(4, red_payload(b"four"))
    assert payloads(call.plain.packets) == [(ROUTER_OPUS, b"four")]


async def test_its_level_is_heard_and_told() -> None:
    call = await _call()
    heard = Ears()
    call.world.router.add_listener(heard)
    for number in range(100):
        call.send(number, red_payload(b"frame", b"copy"))
        call.world.run(0.02)
    assert set(heard.speakers) == set(heard.loudest) == {call.producer.id}
    found = call.plain.packets[0]
    places = rtp.extensions(found, rtp.parse(found))
    ids = {extension.uri: extension.id for extension in call.plain_consumer.rtp_parameters.header_extensions}
    offset, _ = places[ids["urn:ietf:params:rtp-hdrext:ssrc-audio-level"]]
    assert found[offset] == 0x85


async def test_a_stream_whose_number_is_unknown_may_begin_plain() -> None:
    world = World()
    sender, viewer = await world.connected(), await world.connected("192.0.2.11")
    parameters = redundant(mid=None)
    producer = sender.transport.produce(
        "audio", replace(parameters, encodings=(replace(parameters.encodings[0], ssrc=None),))
    )
    viewer.transport.consume(producer.id, without_red(world.router.rtp_capabilities), paused=False)
    sender.send_rtp(packet(1, ssrc=9, payload_type=OPUS_NUMBER, payload=b"plain"))
    sender.send_rtp(packet(2, ssrc=9, payload_type=RED_NUMBER, payload=red_payload(b"two")))
    assert payloads(viewer.packets) == [(ROUTER_OPUS, b"plain"), (ROUTER_OPUS, b"two")]


async def test_red_without_its_opus_is_refused() -> None:
    world = World()
    sender = await world.connected()
    parameters = redundant()
    with pytest.raises(ortc.InvalidParameters, match="Opus"):
        sender.transport.produce("audio", replace(parameters, codecs=parameters.codecs[:1]))


async def test_red_that_comes_second_is_not_sent() -> None:
    world = World()
    sender = await world.connected()
    parameters = redundant()
    produced = sender.transport.produce("audio", replace(parameters, codecs=parameters.codecs[::-1]))
    assert [codec.mime_type for codec in produced.consumable_parameters.codecs] == ["audio/opus"]


async def test_who_knows_neither_cannot_consume() -> None:
    world = World()
    sender, viewer = await world.connected(), await world.connected("192.0.2.11")
    producer = sender.transport.produce("audio", redundant())
    for names in ((), ("audio/red",)):
        codecs = tuple(codec for codec in world.router.rtp_capabilities.codecs if codec.mime_type in names)
        capabilities = RtpCapabilities(codecs=codecs)
        assert not world.router.can_consume(producer.id, capabilities)
        with pytest.raises(CannotConsume):
            viewer.transport.consume(producer.id, capabilities, paused=False)


async def test_statistics_tell_the_shape() -> None:
    call = await _call()
    shapes = [consumer.statistics()[0]["mimeType"] for consumer in (call.red_consumer, call.plain_consumer)]
    assert shapes == ["audio/red", "audio/opus"]
    assert call.producer.statistics()[0]["mimeType"] == "audio/red"
