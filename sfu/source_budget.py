"""How often something may happen per key and second: token buckets in a bounded table."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from functools import lru_cache

MAX_KEYS = 4096
_PREFIX_BYTES = 8


@lru_cache(maxsize=MAX_KEYS)
def network_of(host: str) -> str | bytes:
    """Return what one sender controls: an IPv4 address, or the 64 bits of an IPv6 network."""
    if ":" not in host:
        return host
    return ipaddress.ip_address(host).packed[:_PREFIX_BYTES]


class SourceBudget:
    """Lets each key spend `burst` at once and `rate` per second; keys unused for longest are forgotten."""

    __slots__ = ("_burst", "_left", "_max_keys", "_rate")

    def __init__(self, rate: float, burst: float, max_keys: int = MAX_KEYS) -> None:
        self._rate = rate
        self._burst = burst
        self._max_keys = max_keys
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def has_left(self, key: Hashable, now: float) -> bool:
        """Return whether `spend` would succeed."""
        return self._balance(key, now) >= 1

    def spend(self, key: Hashable, now: float) -> bool:
        """Take one from the budget of `key`; False where nothing is left of it."""
        balance = self._balance(key, now)
        if balance < 1:
            return False
        self._left[key] = (balance - 1, now)
        self._left.move_to_end(key)
        if len(self._left) > self._max_keys:
            self._left.popitem(last=False)
        return True

    def _balance(self, key: Hashable, now: float) -> float:
        found = self._left.get(key)
        if found is None:
            return self._burst
        balance, spent_at = found
        return min(self._burst, balance + (now - spent_at) * self._rate)
