"""The order of a room's log on a node that hears of its entries in any order, twice, or not at all.

Sans-I/O: the caller feeds what arrives, gives out what it gets back, and asks the database about gaps.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from storage.repositories.chat_log import LoggedEntry

MAX_WAITING: Final = 1000


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries are known to exist that have not come."""

    after: int
    """The offset of the last entry that was given out; the next one is missing."""
    until: int
    """The highest offset that is known of."""
    since: float
    """When it was first seen that the entry next to ``after`` is missing."""
    is_overflown: bool
    """More came than is kept, so waiting will not close the gap: catch up from the database."""


class Arrivals:
    """Gives each entry after ``offset`` once and in order. ``now`` is of any one clock."""

    def __init__(self, offset: int, max_waiting: int = MAX_WAITING) -> None:
        if max_waiting < 1:
            raise ValueError(f"no room for entries that wait: {max_waiting}")
        self._offset = offset
        self._highest = offset
        self._max_waiting = max_waiting
        self._waiting: dict[int, LoggedEntry] = {}
        self._since = 0.0
        self._is_overflown = False

    @property
    def offset(self) -> int:
        """Of the last entry that was given out, or that is known to exist no more."""
        return self._offset

    @property
    def gap(self) -> Gap | None:
        if self._offset >= self._highest:
            return None
        return Gap(self._offset, self._highest, self._since, self._is_overflown)

    def add(self, entries: Iterable[LoggedEntry], now: float) -> list[LoggedEntry]:
        """Entries that came from this node or another. Returns what is due now."""
        due: list[LoggedEntry] = []
        for logged in entries:
            if logged.offset == self._offset + 1:
                self._give(logged, due, now)
            elif logged.offset > self._offset:
                self._keep(logged)
                self.expect(logged.offset, now)
        return due

    def fill(self, entries: Iterable[LoggedEntry], up_to: int, now: float) -> list[LoggedEntry]:
        """What the database has. Returns what is due now.

        ``entries`` are all there are after ``offset`` up to the offset ``up_to``; one that is not among them
        exists no more. So ``up_to`` must have been read before them, or be that of the last of them.
        """
        due: list[LoggedEntry] = []
        for passed in [offset for offset in self._waiting if offset <= up_to]:
            del self._waiting[passed]
        for logged in sorted(entries, key=lambda each: each.offset):
            self._pass_over(min(logged.offset - 1, up_to))
            due += self.add((logged,), now)
        if self._offset < up_to:
            self._pass_over(up_to)
            self._give_waiting(due, now)
        return due

    def expect(self, offset: int, now: float) -> None:
        """The log is known to reach to ``offset``: there is a gap unless everything up to there has come."""
        if offset > self._highest:
            if self._offset >= self._highest:
                self._since = now
            self._highest = offset

    def _give(self, logged: LoggedEntry, due: list[LoggedEntry], now: float) -> None:
        self._waiting.pop(logged.offset, None)
        due.append(logged)
        self._offset = logged.offset
        self._give_waiting(due, now)

    def _give_waiting(self, due: list[LoggedEntry], now: float) -> None:
        while self._waiting and (logged := self._waiting.pop(self._offset + 1, None)) is not None:
            due.append(logged)
            self._offset = logged.offset
        self._highest = max(self._highest, self._offset)
        # If something is missing now, it is something else than before.
        self._since = now
        if self.gap is None:
            self._is_overflown = False

    def _keep(self, logged: LoggedEntry) -> None:
        self._waiting.setdefault(logged.offset, logged)
        if len(self._waiting) > self._max_waiting:
            # Those that are due soonest stay.
            del self._waiting[max(self._waiting)]
            self._is_overflown = True

    def _pass_over(self, offset: int) -> None:
        self._offset = max(self._offset, offset)
        self._highest = max(self._highest, offset)
