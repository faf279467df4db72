"""A network on a fake clock: one way, with loss, jitter (and so reordering) and duplicates, by a seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

Receiver = Callable[[bytes, float], None]


class FakeClock:
    """Runs what was planned in the order of its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._count = 0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []

    def plan(self, delay: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._planned, (self.now + delay, self._count, action))

    def every(self, period: float, action: Callable[[], None]) -> None:
        def again() -> None:
            action()
            self.plan(period, again)

        self.plan(period, again)

    def run_until(self, end: float) -> None:
        while self._planned and self._planned[0][0] <= end:
            self.now, _, action = heapq.heappop(self._planned)
            action()
        self.now = end


class Path:
    """One direction between two peers."""

    def __init__(
        self, clock: FakeClock, seed: int, *, loss: float = 0.0, delay: float = 0.03, jitter: float = 0.0
    ) -> None:
        self.loss = loss
        self.sent = 0
        self.lost = 0
        self._clock = clock
        self._random = random.Random(seed)
        self._delay = delay
        self._jitter = jitter

    def send(self, data: bytes, receive: Receiver) -> None:
        self.sent += 1
        if self._random.random() < self.loss:
            self.lost += 1
            return
        delay = self._delay + self._random.random() * self._jitter
        self._clock.plan(delay, lambda: receive(data, self._clock.now))
