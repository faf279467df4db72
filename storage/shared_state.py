"""Small state that all nodes share and nobody mourns: counters of requests, tickets for one use.

LocalState keeps it in this process. storage.redis_state keeps it in Redis for several nodes.

Requests are counted in a sliding window made of slices. A slice counts in full until the last request in it
is as old as the window. So no window of ``window_seconds`` ever has more than ``limit`` allowed requests in
it, and nobody is told to wait longer than it; the price is that a request may be remembered for up to
1/SLICES of the window longer. A refused request does not count.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

SLICES: Final = 15
MAX_KEYS: Final = 100_000
_SWEPT_PER_CALL: Final = 2

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Allowance:
    """``reset_seconds`` is when the oldest requests that count will be forgotten: the window at most."""

    is_allowed: bool
    remaining: int
    reset_seconds: float


class SharedState(Protocol):
    """What services use; every call ends within about a second, whatever happens."""

    async def take(self, key: str, limit: int, window_seconds: float) -> Allowance:
        """Count one request on ``key`` if fewer than ``limit`` were allowed in the last window."""

    async def forget(self, key: str) -> None:
        """Count the requests on ``key`` from nothing again."""

    async def put_once(self, key: str, value: bytes, seconds: float) -> None:
        """Keep ``value`` for so long, or until it is taken."""

    async def take_once(self, key: str) -> bytes | None:
        """The value put at ``key``, for the first who asks in time."""


@dataclass(frozen=True, slots=True)
class _Slice:
    """So many requests, and when the last one of them came."""

    count: int
    last_at: float


@dataclass(slots=True)
class _Expiring(Generic[ValueT]):
    value: ValueT
    expires_at: float


@dataclass(slots=True)
class _Shelf(Generic[ValueT]):
    """A bounded dictionary of values that expire; when it is full, the one not used for longest goes."""

    max_keys: int
    items: OrderedDict[str, _Expiring[ValueT]] = field(default_factory=OrderedDict)

    def get(self, key: str, now: float) -> ValueT | None:
        item = self.items.get(key)
        return item.value if item is not None and item.expires_at > now else None

    def put(self, key: str, value: ValueT, now: float, seconds: float) -> None:
        self.items[key] = _Expiring(value, now + seconds)
        self.items.move_to_end(key)
        self._sweep(now)

    def remove(self, key: str) -> None:
        self.items.pop(key, None)

    def _sweep(self, now: float) -> None:
        # Only a few each time: looking through all of them would hold up the loop.
        for _ in range(_SWEPT_PER_CALL):
            key, oldest = next(iter(self.items.items()))
            if oldest.expires_at > now:
                break
            del self.items[key]
        while len(self.items) > self.max_keys:
            self.items.popitem(last=False)


class LocalState:
    """SharedState of a single node. ``clock`` gives seconds, like time.monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self._counters: _Shelf[dict[int, _Slice]] = _Shelf(max_keys)
        self._tickets: _Shelf[bytes] = _Shelf(max_keys)

    async def take(self, key: str, limit: int, window_seconds: float) -> Allowance:
        now = self._clock()
        current = int(now // (window_seconds / SLICES))
        known = self._counters.get(key, now) or {}
        slices = {index: each for index, each in known.items() if each.last_at > now - window_seconds}
        used = sum(each.count for each in slices.values())
        if used < limit:
            count = slices[current].count if current in slices else 0
            slices[current] = _Slice(count + 1, now)
            self._counters.put(key, slices, now, window_seconds)
        oldest_at = min((each.last_at for each in slices.values()), default=now)
        return allowance(used, limit, window_seconds, now - oldest_at)

    async def forget(self, key: str) -> None:
        self._counters.remove(key)

    async def put_once(self, key: str, value: bytes, seconds: float) -> None:
        self._tickets.put(key, value, self._clock(), seconds)

    async def take_once(self, key: str) -> bytes | None:
        value = self._tickets.get(key, self._clock())
        self._tickets.remove(key)
        return value


def allowance(used: int, limit: int, window_seconds: float, age_seconds: float) -> Allowance:
    """What to answer when ``used`` requests counted before this one, the oldest slice being of this age."""
    return Allowance(used < limit, max(0, limit - used - 1), max(0.0, window_seconds - age_seconds))
