"""Connections of ICE-TCP (RFC 6544): framed datagrams over streams that a stranger cannot keep open."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol, cast

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.framing import FrameReader, frame
from sfu.protocol.ice_lite import Address
from sfu.source_budget import network_of

MAX_CONNECTIONS: Final = 2_000
MAX_CONNECTIONS_PER_NETWORK: Final = 100
"""All of one office may be behind one address, and each browser opens one or two."""
BINDING_SECONDS: Final = 10.0
"""How long a connection may live without a valid check."""
READ_BUFFER_SIZE: Final = 16 * 1024
"""What one callback handles at most, so that a fast sender does not keep the loop."""
MAX_WRITE_BUFFER: Final = 256 * 1024
"""More than this waiting is a peer that does not read: half a second of a good video."""


class TcpCounters(Protocol):
    """Where the connections are counted."""

    tcp_connections: int
    tcp_accepted: int
    tcp_refused: int
    tcp_malformed: int
    tcp_timed_out: int


class TcpConnection(asyncio.BufferedProtocol):
    """One connection; its address is what the agent knows the peer by."""

    __slots__ = ("_buffer", "_owner", "_reader", "_transport", "address", "unbound_since")

    address: Address

    def __init__(self, owner: TcpConnections) -> None:
        self.unbound_since: float | None = None
        self._owner = owner
        self._reader = FrameReader()
        self._buffer = bytearray(READ_BUFFER_SIZE)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = Address("tcp", peer[0], peer[1]) if peer else Address("tcp", "0.0.0.0", 0)
        self.unbound_since = self._owner.now()
        if not peer or not self._owner.admit(self):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._owner.lost(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        try:
            datagrams = self._reader.feed(bytes(memoryview(self._buffer)[:nbytes]))
        except MalformedPacket:
            self._owner.malformed()
            self.abort()
            return
        self._owner.received(self, datagrams)

    def eof_received(self) -> bool:
        """Close: half a connection is of no use to anybody."""
        return False

    def send(self, data: bytes | bytearray | memoryview) -> bool:
        """Return False where the peer reads too slowly or is gone."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > MAX_WRITE_BUFFER:
            return False
        transport.write(frame(bytes(data)))
        return True

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


class TcpConnections:
    """All connections of a server, within the limits on their number and idleness."""

    def __init__(
        self,
        counters: TcpCounters,
        receive: Callable[[TcpConnection, list[bytes], float], None],
        is_bound: Callable[[Address], bool],
        on_lost: Callable[[Address, float], None],
    ) -> None:
        self._counters = counters
        self._receive = receive
        self._is_bound = is_bound
        self._on_lost = on_lost
        self._by_address: dict[Address, TcpConnection] = {}
        self._networks: Counter[str | bytes] = Counter()

    def new(self) -> TcpConnection:
        """Return what asyncio makes of a new connection."""
        return TcpConnection(self)

    @staticmethod
    def now() -> float:
        """Return the loop's time, which the mux is told too."""
        return asyncio.get_running_loop().time()

    def admit(self, connection: TcpConnection) -> bool:
        """Return whether there is room for `connection`, which counts from now on."""
        network = network_of(connection.address.host)
        if len(self._by_address) >= MAX_CONNECTIONS or (
            self._networks[network] >= MAX_CONNECTIONS_PER_NETWORK
        ):
            self._counters.tcp_refused += 1
            return False
        self._by_address[connection.address] = connection
        self._networks[network] += 1
        self._counters.tcp_accepted += 1
        self._counters.tcp_connections += 1
        return True

    def lost(self, connection: TcpConnection) -> None:
        """Forget a connection that is closed, and what the mux knows of it."""
        if self._by_address.get(connection.address) is not connection:
            return
        del self._by_address[connection.address]
        network = network_of(connection.address.host)
        self._networks[network] -= 1
        if not self._networks[network]:
            del self._networks[network]
        self._counters.tcp_connections -= 1
        self._on_lost(connection.address, self.now())

    def malformed(self) -> None:
        """Count a connection whose frames make no sense."""
        self._counters.tcp_malformed += 1

    def received(self, connection: TcpConnection, datagrams: list[bytes]) -> None:
        """Hand on what `connection` completed."""
        self._receive(connection, datagrams, self.now())

    def send(self, address: Address, data: bytes | bytearray | memoryview) -> bool:
        """Send one datagram; return False where it was dropped."""
        connection = self._by_address.get(address)
        return connection is not None and connection.send(data)

    def sweep(self, now: float) -> None:
        """Close what no valid check has bound, or whose consent has lapsed, for BINDING_SECONDS."""
        for connection in tuple(self._by_address.values()):
            if self._is_bound(connection.address):
                connection.unbound_since = None
            elif connection.unbound_since is None:
                connection.unbound_since = now
            elif now - connection.unbound_since >= BINDING_SECONDS:
                self._counters.tcp_timed_out += 1
                connection.abort()

    def abort_all(self) -> None:
        """Close every connection at once."""
        for connection in tuple(self._by_address.values()):
            connection.abort()
