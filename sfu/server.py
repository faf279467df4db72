"""The sockets of WebRTC: one UDP port, IPv4 and IPv6, and ICE-TCP (RFC 6544) on the same number.

The edge is thin: what comes in goes to the mux at once, up to DATAGRAMS_PER_WAKEUP before others have their
turn; what cannot be sent at once is dropped and counted, since media that waits is worth less than none.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from sfu.ice_tcp import TcpConnection, TcpConnections
from sfu.mux import MAX_DATAGRAM_SIZE, Mux
from sfu.protocol.ice_lite import Address

DATAGRAMS_PER_WAKEUP: Final = 64
SOCKET_BUFFER_SIZE: Final = 4 * 1024 * 1024
"""Asked of the kernel, which gives at most net.core.rmem_max and wmem_max: 30 ms of pauses at 1 Gb/s."""
TICK_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 2.0
TCP_BACKLOG: Final = 256
PORT_ATTEMPTS: Final = 8
"""How often a free port is looked for whose number is free for both UDP and TCP."""

log = structlog.get_logger("mediaserver.sfu")


@dataclass(slots=True)
class RtcServerCounters:
    """Traffic since the start; `tcp_connections` is how many there are now."""

    datagrams_received: int = 0
    bytes_received: int = 0
    datagrams_sent: int = 0
    bytes_sent: int = 0
    receive_errors: int = 0
    send_errors: int = 0
    """Refused by the kernel: no route, or not permitted."""
    send_dropped: int = 0
    """The socket's buffer was full, or the connection is gone or reads too slowly."""
    tcp_connections: int = 0
    tcp_accepted: int = 0
    tcp_refused: int = 0
    """Too many connections, of this address or at all."""
    tcp_malformed: int = 0
    tcp_timed_out: int = 0
    """Closed because no valid check came, or none any more."""


class RtcServer:
    """Receives for `mux` and sends its answers and what the transports hand to `send`.

    `on_drained` is called after each batch that was read from a socket: time to send what was gathered.
    """

    def __init__(
        self,
        mux: Mux,
        counters: RtcServerCounters | None = None,
        on_drained: Callable[[], None] | None = None,
    ) -> None:
        self.counters = counters or RtcServerCounters()
        self.on_drained = on_drained
        self._mux = mux
        self._sockets: dict[bool, socket.socket] = {}
        """By whether it is IPv6's."""
        self._listeners: list[asyncio.Server] = []
        self._connections = TcpConnections(self.counters, self._receive_frame, mux.is_bound, self._tcp_lost)
        self._ticker: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Open `port` of the IP address `host` for UDP and TCP; return its number, where 0 takes a free one.

        Once per family: "0.0.0.0" and "::" are two calls. Raises ValueError where `host` is no address or the
        family is open already, OSError where the port cannot be had.
        """
        is_ipv6 = ipaddress.ip_address(host).version == 6
        if is_ipv6 in self._sockets:
            raise ValueError("this family has its socket already")
        datagrams, stream = _bind_both(host, port, is_ipv6)
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(self._connections.new, sock=stream, backlog=TCP_BACKLOG)
        except BaseException:
            datagrams.close()
            stream.close()
            raise
        self._listeners.append(listener)
        self._sockets[is_ipv6] = datagrams
        loop.add_reader(datagrams, self._read, datagrams, loop)
        if self._ticker is None:
            self._ticker = loop.create_task(self._tick_forever(loop), name="rtc-ticker")
        bound_port: int = datagrams.getsockname()[1]
        received = datagrams.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        log.info("rtc_listening", host=host, port=bound_port, receive_buffer=received)
        return bound_port

    def datagram_socket(self, host: str) -> socket.socket | None:
        """Return the UDP socket that reaches `host`, for who sends in another way than `send`."""
        return self._sockets.get(":" in host)

    def send(self, address: Address, data: bytes | bytearray | memoryview) -> None:
        """Send one datagram now or drop it; raises nothing."""
        counters = self.counters
        transport, host, port = address
        try:
            if transport == "udp":
                self._sockets[":" in host].sendto(data, (host, port))
            elif not self._connections.send(address, data):
                counters.send_dropped += 1
                return
        except (BlockingIOError, KeyError):
            counters.send_dropped += 1
        except OSError:
            counters.send_errors += 1
        else:
            counters.datagrams_sent += 1
            counters.bytes_sent += len(data)

    async def close(self) -> None:
        """Close every socket and connection, without a word to the peers."""
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
        loop = asyncio.get_running_loop()
        for datagrams in self._sockets.values():
            loop.remove_reader(datagrams)
            datagrams.close()
        self._sockets.clear()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        self._connections.abort_all()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(listener.wait_closed() for listener in listeners))

    def _read(self, datagrams: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        counters = self.counters
        for _ in range(DATAGRAMS_PER_WAKEUP):
            try:
                data, peer = datagrams.recvfrom(MAX_DATAGRAM_SIZE + 1)
            except BlockingIOError:
                break
            except OSError:
                # An ICMP error that belongs to something sent before; the socket is as good as ever.
                counters.receive_errors += 1
                continue
            counters.datagrams_received += 1
            counters.bytes_received += len(data)
            self._receive(data, Address("udp", _host(peer), peer[1]), now)
        if self.on_drained is not None:
            self.on_drained()

    def _receive(self, data: bytes, address: Address, now: float) -> None:
        for answer, destination in self._mux.receive(data, address, now):
            self.send(destination, answer)

    def _receive_frame(self, connection: TcpConnection, datagrams: list[bytes], now: float) -> None:
        counters = self.counters
        for data in datagrams:
            counters.datagrams_received += 1
            counters.bytes_received += len(data)
            self._receive(data, connection.address, now)
        if self.on_drained is not None:
            self.on_drained()

    def _tcp_lost(self, address: Address, now: float) -> None:
        self._mux.forget(address, now)

    async def _tick_forever(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = loop.time()
            self._mux.tick(now)
            self._connections.sweep(now)


def _host(peer: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """Return the host of what recvfrom returned, with the scope that a link-local address needs."""
    if len(peer) == 4 and peer[3] and "%" not in peer[0]:
        return f"{peer[0]}%{peer[3]}"
    return peer[0]


def _bind_both(host: str, port: int, is_ipv6: bool) -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a listening TCP socket on the same port."""
    for attempt in range(PORT_ATTEMPTS):
        with contextlib.ExitStack() as opened:
            datagrams = opened.enter_context(_bind(socket.SOCK_DGRAM, host, port, is_ipv6))
            try:
                stream = _bind(socket.SOCK_STREAM, host, datagrams.getsockname()[1], is_ipv6)
            except OSError:
                if port or attempt == PORT_ATTEMPTS - 1:
                    raise
                continue
            opened.pop_all()
            return datagrams, stream
    raise OSError("no port is free for both UDP and TCP")


def _bind(kind: socket.SocketKind, host: str, port: int, is_ipv6: bool) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, kind)
    try:
        opened.setblocking(False)
        if is_ipv6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_SIZE)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_SIZE)
        opened.bind((host, port))
    except BaseException:
        opened.close()
        raise
    return opened
