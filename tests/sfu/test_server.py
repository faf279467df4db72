"""The server's real sockets on loopback: aioice as the peer, ICE-TCP by hand, floods, limits, closing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from aioice import Candidate, Connection

from sfu import ice_tcp
from sfu.mux import MAX_DATAGRAM_SIZE, Mux
from sfu.protocol import stun
from sfu.protocol.framing import FrameReader, frame
from sfu.protocol.ice_lite import Address, IceCredentials, IceLiteAgent, IceState
from sfu.server import RtcServer, _host
from tests.helpers.waiting import eventually
from tests.sfu.checks import LOCAL, OTHER, TRANSACTION, check

DTLS = b"\x16" + bytes(20)
RTP = b"\x80\x60" + bytes(20)


def _has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1", 0))
        return True
    return False


HOSTS = [
    "127.0.0.1",
    pytest.param("::1", marks=pytest.mark.skipif(not _has_ipv6(), reason="the machine has no IPv6")),
]


class Echo:
    """An endpoint that sends everything back."""

    def __init__(self, server: RtcServer, credentials: IceCredentials = LOCAL) -> None:
        self.ice = IceLiteAgent(credentials, asyncio.get_running_loop().time())
        self.got: list[bytes] = []
        self._server = server

    def _echo(self, data: bytes, address: Address) -> None:
        self.got.append(data)
        self._server.send(address, data)

    receive_dtls = receive_rtp = receive_rtcp = _echo


class Running:
    """A server with one endpoint."""

    def __init__(self) -> None:
        self.mux = Mux()
        self.server = RtcServer(self.mux)
        self.endpoint = Echo(self.server)
        self.mux.add(self.endpoint)
        self.port = 0


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    made = Running()
    yield made
    await made.server.close()


async def _start(running: Running, host: str) -> Running:
    running.port = await running.server.start(host, 0)
    return running


def _udp(host: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.bind((host, 0))
    return opened


async def _receive(opened: socket.socket) -> bytes:
    async with asyncio.timeout(5):
        return await asyncio.get_running_loop().sock_recv(opened, 4096)


@pytest.mark.parametrize("host", HOSTS)
async def test_a_full_agent_connects_and_talks(
    host: str, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [host])
    await _start(running, host)
    peer = Connection(ice_controlling=True)
    peer.remote_is_lite = True
    peer.remote_username, peer.remote_password = LOCAL.username_fragment, LOCAL.password
    await peer.gather_candidates()
    candidate = f"1 1 udp 2130706431 {host} {running.port} typ host"
    await peer.add_remote_candidate(Candidate.from_sdp(candidate))
    await peer.add_remote_candidate(None)
    async with asyncio.timeout(10):
        await peer.connect()
        await eventually(lambda: running.endpoint.ice.state is IceState.COMPLETED)
        await peer.send(DTLS)
        assert await peer.recv() == DTLS
    selected = running.endpoint.ice.selected
    assert selected is not None and (selected.transport, selected.host) == ("udp", host)
    assert running.server.counters.datagrams_received >= 2
    await peer.close()


@pytest.mark.parametrize("host", HOSTS)
async def test_ice_tcp_connects_and_talks(host: str, running: Running) -> None:
    await _start(running, host)
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(host, running.port)
        wire = frame(check(nominate=True)) + frame(DTLS)
        for at in range(0, len(wire), 7):
            writer.write(wire[at : at + 7])
            await writer.drain()
        frames, found = FrameReader(), list[bytes]()
        while len(found) < 2:
            found += frames.feed(await reader.read(1000))
    answer = stun.parse(found[0])
    name = writer.get_extra_info("sockname")
    assert answer.has_integrity(LOCAL.password.encode()) and answer.mapped_address() == tuple(name[:2])
    assert found[1] == DTLS
    assert running.endpoint.ice.selected == Address("tcp", name[0], name[1])
    writer.close()
    await eventually(lambda: running.endpoint.ice.selected is None)
    assert running.server.counters.tcp_connections == 0


@pytest.mark.skipif(not _has_ipv6(), reason="the machine has no IPv6")
async def test_both_families_share_a_port_and_each_is_opened_once(running: Running) -> None:
    await _start(running, "127.0.0.1")
    assert await running.server.start("::1", running.port) == running.port
    for host in ("127.0.0.1", "::1"):
        with pytest.raises(ValueError, match="family"):
            await running.server.start(host, 0)
        with _udp(host) as peer:
            peer.sendto(check(), (host, running.port))
            assert stun.parse(await _receive(peer)).message_class == stun.SUCCESS
        assert running.server.datagram_socket(host) is not None


async def test_a_host_is_an_address_and_a_port_is_free(running: Running) -> None:
    with pytest.raises(ValueError, match="localhost"):
        await running.server.start("localhost", 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            await running.server.start("127.0.0.1", taken.getsockname()[1])
    assert await running.server.start("127.0.0.1", 0)


def test_a_link_local_peer_keeps_its_scope() -> None:
    assert _host(("fe80::1", 5000, 0, 2)) == "fe80::1%2"
    assert _host(("2001:db8::1", 5000, 0, 0)) == "2001:db8::1"
    answer = stun.parse(stun.success(TRANSACTION, "fe80::1%2", 5000, b"key"))
    assert answer.mapped_address() == ("fe80::1", 5000)


async def test_a_burst_larger_than_one_wakeup_is_read_whole(running: Running) -> None:
    await _start(running, "127.0.0.1")
    drained: list[int] = []
    running.server.on_drained = lambda: drained.append(len(running.endpoint.got))
    with _udp("127.0.0.1") as peer:
        peer.sendto(check(), ("127.0.0.1", running.port))
        for number in range(200):
            peer.sendto(RTP + bytes((number,)), ("127.0.0.1", running.port))
        await eventually(lambda: len(running.endpoint.got) == 200)
    assert [data[-1] for data in running.endpoint.got] == list(range(200))
    assert len(drained) >= 4


async def test_floods_of_strangers_leave_a_bound_peer_its_packets(running: Running) -> None:
    await _start(running, "127.0.0.1")
    target = ("127.0.0.1", running.port)
    forged = check(IceCredentials(LOCAL.username_fragment, "x" * 22))
    with _udp("127.0.0.1") as peer, _udp("127.0.0.1") as stranger:
        peer.sendto(check(), target)
        await _receive(peer)
        for first in range(256):
            for size in (1, 30, 1400):
                stranger.sendto(bytes((first,)) * size, target)
            stranger.sendto(forged, target)
            peer.sendto(RTP, target)
            await asyncio.sleep(0)
        stranger.sendto(bytes(MAX_DATAGRAM_SIZE + 500), target)
        await eventually(lambda: len(running.endpoint.got) == 256)
        await eventually(lambda: running.mux.counters.dropped_oversized == 1)
    assert running.mux.counters.checks_limited > 0 and running.mux.counters.endpoint_errors == 0


async def test_sending_to_nowhere_raises_nothing(running: Running) -> None:
    await _start(running, "127.0.0.1")
    server, counters = running.server, running.server.counters
    server.send(Address("udp", "::1", 9), b"no socket of this family")
    server.send(Address("tcp", "127.0.0.1", 9), b"no connection")
    assert (counters.send_dropped, counters.send_errors) == (2, 0)
    server.send(Address("udp", "127.0.0.1", running.port), bytes(70_000))
    assert (counters.send_errors, counters.datagrams_sent) == (1, 0)


@pytest.mark.parametrize("wire", [b"\0\0", b"\xff\xff" + bytes(100), b"GET / HTTP/1.1\r\n\r\n"])
async def test_a_connection_without_frames_is_closed(running: Running, wire: bytes) -> None:
    await _start(running, "127.0.0.1")
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(wire)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        await eventually(lambda: running.server.counters.tcp_connections == 0)
    assert running.server.counters.tcp_malformed == 1
    writer.close()


async def test_a_connection_without_a_valid_check_is_closed(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfu.server.TICK_SECONDS", 0.01)
    await _start(running, "127.0.0.1")
    bound_reader, bound = await asyncio.open_connection("127.0.0.1", running.port)
    bound.write(frame(check()))
    async with asyncio.timeout(5):
        await bound_reader.readexactly(2)
        monkeypatch.setattr(ice_tcp, "BINDING_SECONDS", 0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(frame(check(OTHER)))
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        await eventually(lambda: running.server.counters.tcp_timed_out == 1)
    assert running.server.counters.tcp_connections == 1
    writer.close()
    bound.close()


async def test_connections_are_limited(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice_tcp, "MAX_CONNECTIONS_PER_NETWORK", 2)
    await _start(running, "127.0.0.1")
    opened = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(3)]
    await eventually(lambda: running.server.counters.tcp_refused == 1)
    assert running.server.counters.tcp_connections == 2
    for _, writer in opened:
        writer.close()
    await eventually(lambda: running.server.counters.tcp_connections == 0)
    _, writer = await asyncio.open_connection("127.0.0.1", running.port)
    await eventually(lambda: running.server.counters.tcp_accepted == 3)
    writer.close()


async def test_a_peer_that_does_not_read_loses_its_own_packets(running: Running) -> None:
    await _start(running, "127.0.0.1")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(frame(check()))
    await eventually(lambda: running.endpoint.ice.selected)
    address = running.endpoint.ice.selected
    assert address is not None
    for _ in range(20_000):
        running.server.send(address, bytes(1200))
    assert running.server.counters.send_dropped > 0
    writer.transport.abort()
    assert reader is not None


async def test_closing_ends_everything_and_frees_the_port(running: Running) -> None:
    await _start(running, "127.0.0.1")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(frame(check(transaction_id=TRANSACTION)))
    await eventually(lambda: running.endpoint.ice.selected)
    await running.server.close()
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            await reader.read()
    writer.close()
    await eventually(lambda: running.server.counters.tcp_connections == 0)
    again = RtcServer(Mux())
    assert await again.start("127.0.0.1", running.port) == running.port
    await again.close()
    await again.close()
