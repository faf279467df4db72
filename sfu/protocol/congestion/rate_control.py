"""The rate that follows from the delay: up while the path copes, down when it does not.

draft-ietf-rmcat-gcc-02 5.5 (AIMD), with libwebrtc's memory of where the path was last full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from math import ceil, sqrt

from sfu.protocol.congestion.delay import Usage
from sfu.protocol.congestion.ledger import Report

BACK_OFF = 0.85
GROWTH = 1.08
"""Per second, as long as it is not known where the path is full."""
MIN_GROWTH = 1_000
MAX_AHEAD = 1.5
AHEAD_BITS = 10_000
"""The rate runs at most this far ahead of what arrives: more would be a guess nobody tested."""
FRAMES_PER_SECOND = 30
PACKET_BITS = 1200 * 8
MIN_STEP = 4_000
RESPONSE_TIME = 100_000
MAX_ELAPSED = 1_000_000
MIN_REDUCTION_INTERVAL = 10_000
MAX_REDUCTION_INTERVAL = 200_000

RATE_WINDOW = 500_000
MIN_RATE_SPAN = 80_000
MAX_RATE_GAP = 10_000_000


class AcknowledgedRate:
    """How much arrives at the receiver, over the last half second of its own clock."""

    __slots__ = ("_bytes", "_reports", "bitrate")

    def __init__(self) -> None:
        self.bitrate: int | None = None
        self._reports: deque[tuple[int, int]] = deque()
        self._bytes = 0

    def update(self, arrived: Sequence[Report]) -> None:
        """Take what one feedback reported, in the order of arrival."""
        newest = arrived[-1][3]
        reports = self._reports
        if reports and not 0 <= newest - reports[-1][0] < MAX_RATE_GAP:
            reports.clear()
            self._bytes = 0
        size = sum([report[1] for report in arrived])
        # The first report of the window only says when it starts; its bytes came before.
        if reports:
            self._bytes += size
        reports.append((newest, size))
        while len(reports) > 2 and reports[1][0] <= newest - RATE_WINDOW:
            reports.popleft()
            self._bytes -= reports[0][1]
        span = newest - reports[0][0]
        if span >= MIN_RATE_SPAN:
            self.bitrate = self._bytes * 8_000_000 // span


class LinkCapacity:
    """Mean and spread of the rates at which the path was full."""

    __slots__ = ("_mean", "_variance")

    def __init__(self) -> None:
        self._mean: float | None = None
        self._variance = 0.4

    @property
    def known(self) -> bool:
        """Whether the path was full at least once since the last change of it."""
        return self._mean is not None

    def observe(self, bitrate: int) -> None:
        """Note that the path was full at `bitrate`."""
        sample = bitrate / 1000
        if self._mean is None:
            self._mean = sample
        self._mean += 0.05 * (sample - self._mean)
        error = self._mean - sample
        normalized = error * error / max(self._mean, 1.0)
        self._variance = min(2.5, max(0.4, 0.95 * self._variance + 0.05 * normalized))

    def contains(self, bitrate: int) -> bool:
        """Tell whether `bitrate` is within three deviations; what is not is another path."""
        return self._mean is not None and abs(bitrate / 1000 - self._mean) <= self._spread()

    def below(self, bitrate: int) -> bool:
        """Tell whether the path is known and carries less than `bitrate`."""
        return self._mean is not None and bitrate / 1000 > self._mean + self._spread()

    def forget(self) -> None:
        """The path changed."""
        self._mean = None

    def _spread(self) -> float:
        return 3 * sqrt(self._variance * (self._mean or 0.0))


class _State(Enum):
    HOLD = "hold"
    INCREASE = "increase"


class RateControl:
    """The delay-based rate."""

    __slots__ = ("_capacity", "_changed", "_maximum", "_minimum", "_reduced", "_state", "bitrate")

    def __init__(self, start: int, minimum: int, maximum: int, now: int) -> None:
        self.bitrate = start
        self._minimum = minimum
        self._maximum = maximum
        self._state = _State.INCREASE
        self._capacity = LinkCapacity()
        self._changed = now
        self._reduced = now - MAX_ELAPSED

    def update(self, usage: Usage, acknowledged: int | None, round_trip: int, now: int) -> int:
        """Return the new rate after a feedback."""
        if usage is Usage.OVERUSE:
            if acknowledged is not None and self._may_reduce(acknowledged, round_trip, now):
                self._decrease(acknowledged, now)
            self._state = _State.HOLD
        elif usage is Usage.UNDERUSE:
            # The queue on the path drains: growing now would fill it again.
            self._state = _State.HOLD
        elif self._state is _State.HOLD:
            self._state = _State.INCREASE
        else:
            self._increase(acknowledged, round_trip, now)
        self._changed = now
        return self.bitrate

    def set(self, bitrate: int) -> None:
        """Take a rate that was measured, by a probe."""
        self.bitrate = self._bounded(bitrate)
        self._capacity.forget()

    def _may_reduce(self, acknowledged: int, round_trip: int, now: int) -> bool:
        interval = min(MAX_REDUCTION_INTERVAL, max(MIN_REDUCTION_INTERVAL, round_trip))
        return now - self._reduced >= interval or 2 * acknowledged < self.bitrate

    def _decrease(self, acknowledged: int, now: int) -> None:
        if self._capacity.known and not self._capacity.contains(acknowledged):
            self._capacity.forget()
        self._capacity.observe(acknowledged)
        self.bitrate = min(self.bitrate, self._bounded(int(acknowledged * BACK_OFF)))
        self._reduced = now

    def _increase(self, acknowledged: int | None, round_trip: int, now: int) -> None:
        if acknowledged is not None and self._capacity.below(acknowledged):
            self._capacity.forget()
        seconds = min(now - self._changed, MAX_ELAPSED) / 1_000_000
        if self._capacity.known:
            step = self._additive(round_trip) * seconds
        else:
            step = max(self.bitrate * (GROWTH**seconds - 1), MIN_GROWTH * seconds)
        limit = self._maximum
        if acknowledged is not None:
            limit = min(limit, int(acknowledged * MAX_AHEAD) + AHEAD_BITS)
        if self.bitrate < limit:
            self.bitrate = self._bounded(min(limit, self.bitrate + round(step)))

    def _additive(self, round_trip: int) -> float:
        """Return bits per second per second: one packet more per time the path takes to answer."""
        frame_bits = self.bitrate / FRAMES_PER_SECOND
        packet_bits = frame_bits / ceil(frame_bits / PACKET_BITS)
        return max(MIN_STEP, packet_bits * 1_000_000 / (round_trip + RESPONSE_TIME))

    def _bounded(self, bitrate: int) -> int:
        return min(self._maximum, max(self._minimum, bitrate))
