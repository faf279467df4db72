"""How many watch over HLS: no socket tells, so whoever asked for a playlist a moment ago counts."""

import asyncio
from typing import Final

PRESENT_SECONDS: Final = 10.0
MAX_KNOWN: Final = 50_000
"""Past this, newcomers of one stream are not counted: an estimate may be low, but not cost memory."""


class Audience:
    """Distinct (address, user agent) pairs that were seen lately."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._seen: dict[int, float] = {}

    def note(self, address: str, user_agent: str) -> None:
        who = hash((address, user_agent))
        if self._seen.pop(who, None) is not None or len(self._seen) < MAX_KNOWN:
            self._seen[who] = self._loop.time()

    @property
    def present(self) -> int:
        """The oldest stand first, so only those who left are visited."""
        gone_before = self._loop.time() - PRESENT_SECONDS
        while self._seen:
            who, at = next(iter(self._seen.items()))
            if at >= gone_before:
                break
            del self._seen[who]
        return len(self._seen)
