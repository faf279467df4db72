"""Identifiers: UUID version 7, so that new rows land next to each other in their indexes."""

import secrets
import time
from uuid import UUID

RANDOM_BITS = 62


class _Clock:
    """Times in 1/4096 ms that never repeat, so that the order of ids is the order in which they were made."""

    def __init__(self) -> None:
        self._last = 0

    def tick(self) -> int:
        now = (time.time_ns() << 12) // 1_000_000
        self._last = max(now, self._last + 1)
        return self._last


_clock = _Clock()


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562 section 5.7) greater than all that this process made before.

    48 bits of Unix time in ms, 12 bits of the fraction of it (section 6.2, method 3), 62 random bits.
    """
    ticks = _clock.tick()
    return UUID(
        int=ticks >> 12 << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(RANDOM_BITS)
    )
