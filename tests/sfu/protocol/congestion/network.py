"""A path with a bottleneck, on a fake clock: a sender of video, a queue, delay, losses, and a receiver."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sfu.protocol.congestion.controller import CongestionController
from sfu.protocol.congestion.feedback import FeedbackGenerator
from sfu.protocol.congestion.ledger import sent_entries

STEP = 1_000
FRAME = 33_000
PACKET = 1200
CLOCK_OFFSET = 123_456_789
"""The receiver's clock is another one."""


@dataclass
class Link:
    """A queue that empties at `bitrate`, then a delay."""

    bitrate: int
    delay: int = 25_000
    queue: int = 300_000
    """Longest time in the queue; what would wait longer is dropped."""
    loss: float = 0.0
    jitter: int = 0
    random: random.Random = field(default_factory=lambda: random.Random(7))
    busy_until: int = 0

    def carry(self, size: int, now: int) -> int | None:
        """Return when a packet arrives, None for one that is lost."""
        if self.random.random() < self.loss:
            return None
        start = max(now, self.busy_until)
        if start - now > self.queue:
            return None
        self.busy_until = start + size * 8_000_000 // self.bitrate
        return self.busy_until + self.delay + (self.random.randrange(self.jitter) if self.jitter else 0)


class Call:
    """A sender that sends as much as it may (at most `source`) to one receiver."""

    def __init__(self, link: Link, source: int = 20_000_000, start: int = 600_000, wanted: int = 0) -> None:
        self.link = link
        self.source = source
        self.now = 1_000_000
        self.controller: CongestionController[int] = CongestionController(self.now, start)
        self.controller.wanted = wanted
        self.generator = FeedbackGenerator(self.now)
        self.feedback_works = True
        self.sent_bytes = 0
        self.padding_bytes = 0
        self.estimates: list[int] = []
        self.delays: list[int] = []
        self._arriving: list[tuple[int, int, int]] = []
        self._answers: deque[tuple[int, list[tuple[int, int | None]]]] = deque()
        self._next_tick = self.now
        self._next_frame = self.now

    def run(self, seconds: float, each: Callable[[], None] | None = None) -> None:
        """Let time pass; `each` is called every millisecond."""
        for _ in range(round(seconds * 1_000_000) // STEP):
            self.now += STEP
            self._deliver()
            self._send()
            if each:
                each()
            self.estimates.append(self.controller.estimate)

    def mean(self, seconds: float) -> float:
        """Return the mean estimate of the last `seconds`."""
        last = self.estimates[-round(seconds * 1_000_000) // STEP :]
        return sum(last) / len(last)

    def _deliver(self) -> None:
        due = [packet for packet in self._arriving if packet[0] <= self.now]
        self._arriving = [packet for packet in self._arriving if packet[0] > self.now]
        for arrival, sequence, sent in sorted(due):
            self.generator.received(sequence, arrival + CLOCK_OFFSET)
            self.delays.append(arrival - sent)
        if self.generator.due(self.now):
            for answer in self.generator.take(self.now):
                self._answers.append((self.now + self.link.delay, answer.packets))
        while self._answers and self._answers[0][0] <= self.now:
            packets = self._answers.popleft()[1]
            if self.feedback_works:
                self.controller.feedback(packets, self.now)

    def _send(self) -> None:
        controller = self.controller
        if self.now >= self._next_tick:
            self._next_tick = controller.tick(self.now)
        if controller.padding_due(self.now) > 0:
            self._transmit(PACKET, controller.record_padding(PACKET, self.now))
            self.padding_bytes += PACKET
        if self.now >= self._next_frame:
            self._next_frame += FRAME
            size = min(controller.estimate, self.source) * FRAME // 8_000_000
            self._frame([PACKET] * (size // PACKET) + [size % PACKET or 100])
        for size in controller.pacer.release(self.now):
            self._transmit(size, controller.ledger.record(size, self.now))

    def _frame(self, sizes: list[int]) -> None:
        if self.controller.pacer.admit(sum(sizes), self.now):
            first = self.controller.ledger.record_batch(sent_entries(sizes, self.now))
            for position, size in enumerate(sizes):
                self._transmit(size, (first + position) & 0xFFFF)
            return
        for size in sizes:
            self.controller.pacer.queue(size, size)

    def _transmit(self, size: int, sequence: int) -> None:
        self.sent_bytes += size
        arrival = self.link.carry(size, self.now)
        if arrival is not None:
            self._arriving.append((arrival, sequence, self.now))
