"""What was sent on one transport and is not reported on yet: the counterpart of transport-wide feedback.

Only packets of this transport are in here, so a loss between a publisher and the server cannot lower what
the server sends to a viewer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

MAX_IN_FLIGHT = 2048
"""Older packets are forgotten: two seconds at ten megabits per second."""
MAX_LATE = 256
"""So many packets that were reported as lost can still be reported as arrived."""
MAX_SIZE = 0xFFFF

Report = tuple[int, int, int, int]
"""Number (not modulo 2**16), size in bytes, time of sending, time of arrival on the receiver's clock."""


def sent_entries(sizes: Iterable[int], now: int) -> list[int]:
    """Return what is remembered of packets of these sizes that leave at `now` (microseconds)."""
    stamp = now << 16
    return [stamp | size for size in sizes]


class SentPackets:
    """Numbers packets transport-wide and remembers size and time of each, as one integer per packet."""

    __slots__ = ("_entries", "_late", "next_number")

    def __init__(self, first_number: int = 1) -> None:
        self.next_number = first_number
        self._entries: deque[int] = deque(maxlen=MAX_IN_FLIGHT)
        self._late: dict[int, int] = {}

    def record(self, size: int, now: int) -> int:
        """Note a packet that leaves now; return the number (modulo 2**16) to write into it."""
        number = self.next_number
        self.next_number = number + 1
        self._entries.append(now << 16 | size)
        return number & 0xFFFF

    def record_batch(self, entries: list[int]) -> int:
        """Note packets that leave together; return the first one's number, the others follow on it.

        `entries` is of `sent_entries`: made once for all that get packets of the same sizes at the same time.
        """
        number = self.next_number
        self.next_number = number + len(entries)
        self._entries.extend(entries)
        return number & 0xFFFF

    def __len__(self) -> int:
        return len(self._entries)

    def oldest_sent(self) -> int | None:
        """Return when the oldest packet left that was not reported on."""
        return self._entries[0] >> 16 if self._entries else None

    def bytes_in_flight(self) -> int:
        """Return how many bytes were sent and not reported on."""
        return sum(entry & MAX_SIZE for entry in self._entries)

    def acknowledge(self, packets: Iterable[tuple[int, int | None]]) -> tuple[list[Report], int]:
        """Return what arrived by a feedback, and how many were lost (less those that came late after all).

        Numbers that were never sent, or reported before, are passed over: the peer may say anything.
        """
        entries = self._entries
        next_number = self.next_number
        oldest = next_number - len(entries)
        arrived: list[Report] = []
        lost = 0
        for sequence, arrival in packets:
            number = next_number - ((next_number - sequence) & 0xFFFF)
            if number < oldest:
                if arrival is not None and (entry := self._late.pop(number, None)) is not None:
                    arrived.append((number, entry & MAX_SIZE, entry >> 16, arrival))
                    lost -= 1
                continue
            if number == next_number:
                continue
            while oldest < number:
                entries.popleft()
                oldest += 1
            entry = entries.popleft()
            oldest += 1
            if arrival is not None:
                arrived.append((number, entry & MAX_SIZE, entry >> 16, arrival))
            else:
                lost += 1
                self._keep_late(number, entry)
        return arrived, lost

    def _keep_late(self, number: int, entry: int) -> None:
        if len(self._late) >= MAX_LATE:
            del self._late[next(iter(self._late))]
        self._late[number] = entry
