"""How many watch over HLS: no socket tells, so whoever asked for a playlist a moment ago counts."""

from typing import Final

MAX_KNOWN: Final = 50_000
"""Past this, newcomers of one stream are not told apart: an estimate may be low, but not cost memory."""


class Audience:
    """An estimate from two sides, of which the larger holds.

    One is the number of distinct (address, user agent) pairs, which misses viewers behind one address; the
    other is how many requests waited for the same part at once, which misses players that do not block.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._seen: dict[int, float] = {}
        self._waiting: dict[int, float] = {}

    def note(self, address: str, user_agent: str, now: float) -> None:
        """A playlist was asked for."""
        who = hash((address, user_agent))
        if self._seen.pop(who, None) is not None or len(self._seen) < MAX_KNOWN:
            self._seen[who] = now

    def knows(self, address: str, user_agent: str) -> bool:
        """Whether this viewer may already be among those counted."""
        return hash((address, user_agent)) in self._seen

    def note_waiting(self, count: int, now: float) -> None:
        """``count`` requests waited for the part that came now."""
        if count:
            self._waiting.pop(count, None)
            self._waiting[count] = now

    def present(self, now: float) -> int:
        """Viewers within the window up to ``now`` (loop time)."""
        for noted in (self._seen, self._waiting):
            _forget(noted, now - self._window)
        return max(len(self._seen), max(self._waiting, default=0))


def _forget(noted: dict[int, float], before: float) -> None:
    """The oldest stand first, so only those who left are visited."""
    while noted:
        who, at = next(iter(noted.items()))
        if at >= before:
            return
        del noted[who]
