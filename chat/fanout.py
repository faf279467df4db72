"""From one frame to all who are in a room.

Rules:

* A frame is encoded and framed once for each encoding. What came within one tick is joined, and the SAME
  bytes object is written to every transport. A client costs no task, no queue, no timer and no await.
* One timer serves all rooms, and only while something waits.
* Backlogs are looked at each time that a quarter of the budget has been written, since looking costs nearly
  as much as writing.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from chat.connection import BUDGET_BYTES, Connection
from chat.protocol.frames import Encoding, Outgoing

TICK_SECONDS: Final = 0.01
LOOK_BYTES: Final = BUDGET_BYTES // 4

Write = Callable[[bytes], None]


class FanoutCounters:
    """Over all rooms; they only rise."""

    __slots__ = ("bytes_sent", "cut", "deliveries")

    def __init__(self) -> None:
        self.deliveries = 0
        self.bytes_sent = 0
        self.cut = 0


class Ticker:
    """Flushes the rooms that have something to say, TICK_SECONDS after the first of it came."""

    def __init__(self, tick_seconds: float = TICK_SECONDS) -> None:
        self._tick_seconds = tick_seconds
        self._loop = asyncio.get_running_loop()
        self._due: dict[Fanout, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.counters: Final = FanoutCounters()

    def add(self, fanout: "Fanout") -> None:
        self._due[fanout] = None
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick_seconds, self._tick)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self._timer = None
        due, self._due = self._due, {}
        for fanout in due:
            fanout.flush()


class Fanout:
    """The connections of one room, by encoding. Dictionaries serve as ordered sets."""

    __slots__ = ("_counters", "_groups", "_pending", "_since_look", "_ticker")

    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker
        self._counters = ticker.counters
        self._groups: dict[Encoding, dict[Connection, Write]] = {}
        self._pending: list[Outgoing] = []
        self._since_look = 0

    def join(self, connection: Connection) -> None:
        """Count ``connection`` in for all that is said from now on."""
        self.flush()
        write = connection.write_quickly
        if write is not None:
            self._groups.setdefault(connection.encoding, {})[connection] = write

    def leave(self, connection: Connection) -> None:
        group = self._groups.get(connection.encoding)
        if group is not None:
            group.pop(connection, None)
            if not group:
                del self._groups[connection.encoding]

    def say(self, frame: Outgoing) -> None:
        """Send ``frame`` to all at the next tick."""
        if not self._groups:
            return
        if not self._pending:
            self._ticker.add(self)
        self._pending.append(frame)

    def flush(self) -> None:
        if not self._pending:
            return
        frames, self._pending = self._pending, []
        for encoding, group in list(self._groups.items()):
            data = b"".join([frame.wire(encoding) for frame in frames])
            self._write(group, data)
            self._counters.deliveries += len(frames) * len(group)
            self._counters.bytes_sent += len(data) * len(group)
            self._since_look += len(data)
        if self._since_look >= LOOK_BYTES:
            self._since_look = 0
            self._cut_slow()

    def _write(self, group: dict[Connection, Write], data: bytes) -> None:
        gone: list[Connection] = []
        for connection, write in group.items():
            try:
                write(data)
            except RuntimeError:  # uvloop: the transport has closed, the connection has not heard of it yet
                gone.append(connection)
        for connection in gone:
            self.leave(connection)
            connection.abort()

    def _cut_slow(self) -> None:
        for group in list(self._groups.values()):
            for connection in [each for each in group if each.backlog > BUDGET_BYTES]:
                self._counters.cut += 1
                self.leave(connection)
                connection.cut()
