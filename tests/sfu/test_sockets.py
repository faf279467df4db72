"""Media over the server's real sockets: UDP of both families, and ICE-TCP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from sfu.protocol import rtcp, rtp
from sfu.protocol.framing import FrameReader, frame
from sfu.protocol.ice_lite import Address
from sfu.transport import TransportState
from sfu.webrtc_server import WebRtcServer
from tests.helpers.waiting import eventually
from tests.sfu.linked_world import Peer, World, packet, video, vp8


def _has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1", 0))
        return True
    return False


class SocketWorld(World):
    """As the linked world, with the system's clock and sockets between."""

    def __init__(self) -> None:
        super().__init__()
        self.real = WebRtcServer()
        self.router = self.real.create_router("room")
        self.senders: dict[int, Callable[[bytes], None]] = {}
        self._closers: list[Callable[[], None]] = []

    def to_server(self, data: bytes, peer: Peer) -> None:
        self.senders[id(peer)](data)

    async def join(self, host: str, port: int, transport: str) -> Peer:
        """Return a connected peer."""
        peer = Peer(self, Address("udp", "192.0.2.1", len(self.senders) + 1))
        if transport == "udp":
            await self._open_udp(peer, host, port)
        else:
            await self._open_tcp(peer, host, port)
        await peer.connect()
        return peer

    async def _open_udp(self, peer: Peer, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()

        class Protocol(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, address: object) -> None:
                peer.receive(data)

        channel, _ = await loop.create_datagram_endpoint(Protocol, remote_addr=(host, port))
        self.senders[id(peer)] = channel.sendto
        self._closers.append(channel.close)

    async def _open_tcp(self, peer: Peer, host: str, port: int) -> None:
        reader = FrameReader()

        class Protocol(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                for datagram in reader.feed(data):
                    peer.receive(datagram)

        channel, _ = await asyncio.get_running_loop().create_connection(Protocol, host, port)
        self.senders[id(peer)] = lambda data: channel.write(frame(data))
        self._closers.append(channel.close)

    async def close(self) -> None:
        """Close the sockets of both sides."""
        for close in self._closers:
            close()
        await self.real.close()


@pytest.fixture
async def world() -> AsyncIterator[SocketWorld]:
    made = SocketWorld()
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("host", "transport"),
    [
        ("127.0.0.1", "udp"),
        ("127.0.0.1", "tcp"),
        pytest.param("::1", "udp", marks=pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 here")),
    ],
)
async def test_media_reaches_viewers_and_losses_are_repaired(
    world: SocketWorld, host: str, transport: str
) -> None:
    port = await world.real.start([host], 0)
    sender = await world.join(host, port, "udp")
    viewer = await world.join(host, port, transport)
    await eventually(lambda: viewer.transport.state is TransportState.CONNECTED)
    producer = sender.transport.produce("video", video())
    consumer = viewer.transport.consume(producer.id, world.router.rtp_capabilities, paused=False)
    for number in range(20):
        sender.send(sender.srtp.protect(packet(number, payload=vp8(number == 0, number, 900))))
    await eventually(lambda: len(viewer.of_ssrc(consumer.ssrc)) == 20)
    lost = rtp.parse(viewer.of_ssrc(consumer.ssrc)[10]).sequence_number
    viewer.send_rtcp(rtcp.Nack(1, consumer.ssrc, (lost,)))
    await eventually(lambda: viewer.of_ssrc(consumer.ssrc + 1))
    pair = next(entry for entry in viewer.transport.statistics() if entry["type"] == "candidate-pair")
    assert pair["protocol"] == transport
    totals = world.real.statistics()
    assert (totals.packets_in, totals.dropped) == (20, 0)
    assert totals.packets_out >= 21
    viewer.transport.close()
    assert world.real.statistics().packets_out >= totals.packets_out


async def test_both_families_share_one_port_number(world: SocketWorld) -> None:
    if not _has_ipv6():
        pytest.skip("no IPv6 here")
    port = await world.real.start(["127.0.0.1", "::1"], 0)
    assert {entry.port for entry in world.real.candidates} == {port}
    assert {entry.address for entry in world.real.candidates} == {"127.0.0.1", "::1"}
