"""A room with a publisher and a viewer, of whom nobody may lose a packet, and others who mean no good."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sfu.consumer import Consumer
from sfu.producer import Producer
from sfu.protocol.parameters import (
    RtcpParameters,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpHeaderExtensionParameters,
    RtpParameters,
)
from sfu.router import Router
from sfu.transport import TransportState, WebRtcTransport
from sfu.webrtc_server import WebRtcServer
from tests.helpers.waiting import eventually
from tests.sfu.raw_peer import RawPeer, Socket

SSRC: Final = 0x5EED
PAYLOAD_TYPE: Final = 111
PACKET_SECONDS: Final = 0.002
PAYLOAD_SIZE: Final = 160
_NUMBER = struct.Struct("!L")


class Listener:
    """Keeps what becomes of transports."""

    def __init__(self) -> None:
        self.states: list[TransportState] = []
        self.closed = 0

    def on_transport_state(self, transport: WebRtcTransport, state: TransportState) -> None:
        self.states.append(state)

    def on_transport_closed(self, transport: WebRtcTransport) -> None:
        self.closed += 1

    def on_consumer_closed(self, consumer: Consumer) -> None: ...

    def on_consumer_paused(self, consumer: Consumer) -> None: ...

    def on_consumer_layers(self, consumer: Consumer) -> None: ...


def opus(ssrc: int = SSRC, mid: str = "a") -> RtpParameters:
    """What a microphone sends."""
    codec = RtpCodecParameters(
        mime_type="audio/opus", payload_type=PAYLOAD_TYPE, clock_rate=48_000, channels=2
    )
    extensions = (RtpHeaderExtensionParameters(uri="urn:ietf:params:rtp-hdrext:sdes:mid", id=1),)
    return RtpParameters(
        mid=mid,
        codecs=(codec,),
        header_extensions=extensions,
        encodings=(RtpEncodingParameters(ssrc=ssrc),),
        rtcp=RtcpParameters(cname="raw"),
    )


def rtp(number: int, ssrc: int = SSRC, size: int = PAYLOAD_SIZE) -> bytes:
    """The packet of a number; its payload begins with it."""
    head = struct.pack("!BBHLL", 0x80, PAYLOAD_TYPE, number & 0xFFFF, number * 960 & 0xFFFF_FFFF, ssrc)
    return head + _NUMBER.pack(number) + bytes(size - _NUMBER.size)


def number_of(packet: bytes) -> int:
    """The number of a packet that `rtp` made, however its header was rewritten."""
    has_extension, sources = packet[0] & 0x10, packet[0] & 0x0F
    start = 12 + 4 * sources
    if has_extension:
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    number: int = _NUMBER.unpack_from(packet, start)[0]
    return number


class World:
    """A server with one room; made by `hostile_world`."""

    def __init__(self, server: WebRtcServer, port: int) -> None:
        self.server = server
        self.port = port
        self.listener = Listener()
        self.router: Router = server.create_router("room")
        self.publisher = self.peer()
        self.viewer = self.peer()
        self.sent = 0
        self._sockets: list[Socket] = []
        self._watched = b""

    def peer(self) -> RawPeer:
        """Somebody with a transport who has not connected yet."""
        return RawPeer(self.router.create_transport(self.listener))

    async def connected(self) -> RawPeer:
        """Somebody who has."""
        peer = self.peer()
        self._sockets.append(peer)
        await peer.connect()
        return peer

    async def stranger(self) -> Socket:
        """An address that nobody knows."""
        socket = Socket()
        self._sockets.append(socket)
        await socket.open(self.port)
        return socket

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        """Media flows while the block runs; in the end the viewer has every packet, once and in order."""
        first = self.sent
        async with self.publishing():
            await self.more(20)
            yield
            await self.more(20)
        wanted = list(range(first, self.sent))
        await eventually(lambda: len(self.seen) >= self.sent)
        assert self.seen[first:] == wanted

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Media flows while the block runs."""
        running = asyncio.create_task(self._publish())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def more(self, packets: int) -> None:
        """Until the viewer has this many more."""
        wanted = len(self.seen) + packets
        await eventually(lambda: len(self.seen) >= wanted)

    @property
    def seen(self) -> list[int]:
        """The numbers of what came to the viewer from the publisher."""
        return [number_of(packet) for packet in self.viewer.rtp if packet[8:12] == self._watched]

    async def start(self) -> None:
        """Connect both and let one see the other."""
        await self.publisher.connect()
        await self.viewer.connect()
        producer = self.publisher.transport.produce("audio", opus())
        self._watched = self.watch(producer).to_bytes(4, "big")

    def watch(self, producer: Producer) -> int:
        """Show the viewer one more; return the SSRC that it comes by."""
        consumer = self.viewer.transport.consume(producer.id, self.router.rtp_capabilities, paused=False)
        ssrc = consumer.rtp_parameters.encodings[0].ssrc
        assert ssrc is not None
        return ssrc

    def close(self) -> None:
        for socket in (self.publisher, self.viewer, *self._sockets):
            socket.close()

    async def carried(self) -> None:
        """Until the server has read what was sent to it before: a marker comes behind it, of no protocol."""
        socket = await self.stranger()
        counters = self.server.counters.mux
        before = counters.dropped_oversized
        socket.send(bytes(2000))
        await eventually(lambda: counters.dropped_oversized > before)

    async def _publish(self) -> None:
        while True:
            self.publisher.send_rtp(rtp(self.sent))
            self.sent += 1
            await asyncio.sleep(PACKET_SECONDS)


@asynccontextmanager
async def hostile_world() -> AsyncIterator[World]:
    """A running world."""
    server = WebRtcServer()
    world = World(server, await server.start(["127.0.0.1"], 0))
    try:
        await world.start()
        yield world
    finally:
        world.close()
        await server.close()
