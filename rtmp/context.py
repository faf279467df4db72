"""What all connections of one server share."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from rtmp.limits import RtmpCounters, RtmpLimits
from rtmp.log_throttle import LogThrottle
from rtmp.ports import Authorizer, Ingest, Playback


class Connection(Protocol):
    """A connection as the server manages it."""

    @property
    def address(self) -> str: ...

    @property
    def is_publishing(self) -> bool: ...

    def sweep(self, now: float) -> None: ...

    def request_reconnect(self, description: str) -> bool: ...

    def close(self, code: str, description: str) -> None: ...

    def abort(self) -> None: ...


@dataclass(slots=True)
class ServerContext:
    """The embedder's ports, the limits, and who is connected."""

    authorizer: Authorizer
    ingest: Ingest
    playback: Playback
    limits: RtmpLimits
    counters: RtmpCounters
    throttle: LogThrottle = field(default_factory=LogThrottle)
    connections: set[Connection] = field(default_factory=set)
    connections_by_address: dict[str, int] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    departed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever a connection, publisher or player has gone."""
    is_draining: bool = False

    def admit(self, connection: Connection) -> bool:
        """Count ``connection`` in, unless there are too many."""
        count = self.connections_by_address.get(connection.address, 0)
        is_full = len(self.connections) >= self.limits.max_connections
        if is_full or count >= self.limits.max_connections_per_address:
            self.counters.connections_refused += 1
            return False
        self.connections.add(connection)
        self.connections_by_address[connection.address] = count + 1
        self.counters.connections_accepted += 1
        self.counters.open_connections += 1
        return True

    def dismiss(self, connection: Connection) -> None:
        """Count ``connection`` out, if it was ever let in."""
        if connection not in self.connections:
            return
        self.connections.remove(connection)
        count = self.connections_by_address.pop(connection.address) - 1
        if count:
            self.connections_by_address[connection.address] = count
        self.counters.open_connections -= 1
        self.departed.set()
