"""Pings for all connections by one timer: who does not answer is gone without having said so.

Connections are spread over PING_SECONDS slots by the second in which they came, so that every second only a
part of them is looked at.
"""

from collections import deque
from typing import Final

from chat.connection import CLOSE_TOO_SLOW, Connection

PING_SECONDS: Final = 25
PONG_SECONDS: Final = 10


class Keepalive:
    """``tick`` is to be called once a second."""

    def __init__(self) -> None:
        self._slots: list[dict[Connection, None]] = [{} for _ in range(PING_SECONDS)]
        self._slot_of: dict[Connection, int] = {}
        self._now = 0
        self._pinged: deque[tuple[int, list[Connection]]] = deque()

    def __len__(self) -> int:
        return len(self._slot_of)

    def add(self, connection: Connection) -> None:
        slot = self._now % PING_SECONDS
        self._slot_of[connection] = slot
        self._slots[slot][connection] = None

    def remove(self, connection: Connection) -> None:
        slot = self._slot_of.pop(connection, None)
        if slot is not None:
            self._slots[slot].pop(connection, None)

    def tick(self) -> int:
        """Ping those whose turn it is, and close those that left a ping unanswered; say how many."""
        closed = self._close_silent()
        self._now += 1
        due = list(self._slots[self._now % PING_SECONDS])
        for connection in due:
            connection.ping()
        if due:
            self._pinged.append((self._now + PONG_SECONDS, due))
        return closed

    def _close_silent(self) -> int:
        closed = 0
        while self._pinged and self._pinged[0][0] <= self._now:
            for connection in self._pinged.popleft()[1]:
                if connection in self._slot_of and not connection.has_answered:
                    connection.close(CLOSE_TOO_SLOW, "no pong")
                    connection.abort()
                    closed += 1
        return closed
