"""Spreads bursts (keyframes) over time, so that they do not overflow a queue on the path.

Nothing here happens per packet as long as nothing is queued: the sender asks `admit` once for all packets
that leave together.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

FACTOR = 2.5
"""Packets may leave so much faster than the estimate: frames are of uneven size."""
BURST = 20_000
"""How far ahead of the pace one burst may be."""
MIN_BURST_BYTES = 4 * 1200
SLICE = 5_000
"""Queued packets leave in slices of this length."""
MAX_DELAY = 1_000_000
"""The queue is emptied in this time, even if that takes more than the pace."""
MAX_PACKETS = 1_000
MIN_BITRATE = 30_000

Item = TypeVar("Item")


class Pacer(Generic[Item]):
    """The pace of one transport, and the packets that wait for it."""

    __slots__ = ("_bitrate", "_burst", "_busy_until", "_scale", "_urgent", "_waiting", "queued_bytes")

    def __init__(self, bitrate: int) -> None:
        self._urgent: deque[tuple[int, Item]] = deque()
        self._waiting: deque[tuple[int, Item]] = deque()
        self._busy_until = 0
        self.queued_bytes = 0
        self.set_bitrate(bitrate)

    def __len__(self) -> int:
        return len(self._urgent) + len(self._waiting)

    def set_bitrate(self, estimate: int) -> None:
        """Follow the estimate."""
        self._bitrate = max(MIN_BITRATE, int(estimate * FACTOR))
        # Microseconds per byte, times 1024: one multiplication and one shift per batch.
        self._scale = (8_000_000 << 10) // self._bitrate
        self._burst = max(BURST, MIN_BURST_BYTES * self._scale >> 10)

    def admit(self, size: int, now: int) -> bool:
        """Tell whether packets of `size` bytes together may leave now; they are counted then.

        If not, they are to be given to `queue`, and `release` is to be called.
        """
        if self._waiting or self._urgent:
            return False
        busy = self._busy_until
        busy = (busy if busy > now else now) + (size * self._scale >> 10)
        if busy - now > self._burst:
            return False
        self._busy_until = busy
        return True

    def spend(self, size: int, now: int) -> None:
        """Count what leaves without asking: audio, which never waits."""
        self._busy_until = max(self._busy_until, now) + (size * self._scale >> 10)

    def queue(self, item: Item, size: int, *, urgent: bool = False) -> bool:
        """Let a packet wait; retransmissions are `urgent`. False: the queue was full and is empty now.

        A queue this long holds nothing worth watching: the caller asks for a keyframe instead.
        """
        if len(self) >= MAX_PACKETS:
            self.clear()
            return False
        (self._urgent if urgent else self._waiting).append((size, item))
        self.queued_bytes += size
        return True

    def release(self, now: int) -> list[Item]:
        """Return the packets whose time has come, in the order in which they are to leave."""
        released: list[Item] = []
        scale = min(self._scale, (MAX_DELAY << 10) // max(1, self.queued_bytes))
        busy = max(self._busy_until, now)
        while busy - now <= SLICE and (self._urgent or self._waiting):
            size, item = (self._urgent or self._waiting).popleft()
            self.queued_bytes -= size
            busy += size * scale >> 10
            released.append(item)
        self._busy_until = busy
        return released

    def next_release(self, now: int) -> int | None:
        """Return when `release` has something again, None while nothing waits."""
        if not len(self):
            return None
        return max(now, self._busy_until - SLICE)

    def clear(self) -> None:
        """Forget what waits: its consumer is gone, or it is out of date."""
        self._urgent.clear()
        self._waiting.clear()
        self.queued_bytes = 0
