"""Overuse of the path, seen in the trend of the one-way delay (draft-ietf-rmcat-gcc-02 5.2 to 5.4).

The slope is a least-squares line through the smoothed delay of the last groups of packets, as libwebrtc
does it, in place of the draft's Kalman filter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum

from sfu.protocol.congestion.ledger import Report

GROUP_LENGTH = 5_000
"""Packets sent within this time are one group: their distances say more of the sender than of the path."""
MAX_BURST = 100_000
CLOCK_JUMP = 3_000_000
"""Delay that changes by more from one group to the next is a clock that was set, not a queue."""

WINDOW = 20
SMOOTHING = 0.9
GAIN = 4.0
MAX_GROUPS = 60
OVERUSE_TIME = 10.0
THRESHOLD = 12.5
MIN_THRESHOLD = 6.0
MAX_THRESHOLD = 600.0
THRESHOLD_UP = 0.0087
THRESHOLD_DOWN = 0.039
OUTLIER = 15.0
MAX_ADAPTATION_TIME = 100.0


class Usage(Enum):
    """What the delay says about the path."""

    NORMAL = "normal"
    OVERUSE = "overuse"
    UNDERUSE = "underuse"


class DelayDetector:
    """Groups packets, follows the trend of their delay, and compares it with an adaptive threshold."""

    __slots__ = ("_group", "_previous", "_trend")

    def __init__(self) -> None:
        self._trend = Trendline()
        # First and last time of sending, first and last time of arrival.
        self._group: tuple[int, int, int, int] | None = None
        self._previous: tuple[int, int] | None = None

    @property
    def usage(self) -> Usage:
        """What the last group showed."""
        return self._trend.usage

    def update(self, arrived: Sequence[Report]) -> Usage:
        """Take what one feedback reported, in the order of arrival."""
        group = self._group
        for _, _, sent, arrival in arrived:
            if group is None:
                group = (sent, sent, arrival, arrival)
                continue
            first_sent, last_sent, first_arrival, last_arrival = group
            if sent < first_sent:
                continue
            together = sent - first_sent <= GROUP_LENGTH or (
                # Held up together and let go together: as good as sent together.
                0 <= arrival - last_arrival <= GROUP_LENGTH
                and arrival - last_arrival < sent - last_sent
                and arrival - first_arrival < MAX_BURST
            )
            if together and arrival - first_arrival < CLOCK_JUMP:
                group = (first_sent, max(last_sent, sent), first_arrival, max(last_arrival, arrival))
            else:
                self._close(last_sent, last_arrival)
                group = (sent, sent, arrival, arrival)
        self._group = group
        return self._trend.usage

    def _close(self, sent: int, arrival: int) -> None:
        previous = self._previous
        self._previous = (sent, arrival)
        if previous is None:
            return
        sent_after = sent - previous[0]
        arrived_after = arrival - previous[1]
        if abs(arrived_after - sent_after) > CLOCK_JUMP or arrived_after < 0:
            self._trend = Trendline()
        else:
            self._trend.add(arrived_after / 1000, sent_after / 1000)


class _Line:
    """Least-squares line through the last points, by running sums."""

    __slots__ = ("_added", "_origin", "_points", "_products", "_squares", "_times", "_values", "slope")

    def __init__(self) -> None:
        self.slope = 0.0
        self._points: deque[tuple[float, float]] = deque()
        self._origin = 0.0
        self._added = 0
        self._times = self._values = self._squares = self._products = 0.0

    def add(self, time: float, value: float) -> float:
        """Return the slope with this point."""
        points = self._points
        if len(points) == WINDOW:
            old_time, old_value = points.popleft()
            self._times -= old_time
            self._values -= old_value
            self._squares -= old_time * old_time
            self._products -= old_time * old_value
        time -= self._origin
        points.append((time, value))
        self._times += time
        self._values += value
        self._squares += time * time
        self._products += time * value
        if len(points) == WINDOW:
            self._added += 1
            if self._added == WINDOW:
                self._start_anew()
            divisor = WINDOW * self._squares - self._times * self._times
            if divisor > 0:
                self.slope = (WINDOW * self._products - self._times * self._values) / divisor
        return self.slope

    def _start_anew(self) -> None:
        """Sum up afresh from a new origin: running sums of growing numbers lose their last digits."""
        shift = self._points[0][0]
        self._origin += shift
        self._added = 0
        self._points = points = deque((time - shift, value) for time, value in self._points)
        self._times = sum(time for time, _ in points)
        self._values = sum(value for _, value in points)
        self._squares = sum(time * time for time, _ in points)
        self._products = sum(time * value for time, value in points)


class Trendline:
    """Slope of the delay over the last groups, and what it means."""

    __slots__ = (
        "_accumulated",
        "_clock",
        "_groups",
        "_line",
        "_over_count",
        "_over_time",
        "_slope",
        "_smoothed",
        "_threshold",
        "usage",
    )

    def __init__(self) -> None:
        self.usage = Usage.NORMAL
        self._line = _Line()
        self._clock = 0.0
        self._accumulated = 0.0
        self._smoothed = 0.0
        self._groups = 0
        self._slope = 0.0
        self._threshold = THRESHOLD
        self._over_time = -1.0
        self._over_count = 0

    def add(self, arrived_after: float, sent_after: float) -> None:
        """Take the distances in milliseconds of one group to the group before."""
        if self._groups < MAX_GROUPS:
            self._groups += 1
        self._clock += arrived_after
        self._accumulated += arrived_after - sent_after
        self._smoothed += (1 - SMOOTHING) * (self._accumulated - self._smoothed)
        slope = self._line.add(self._clock, self._smoothed)
        # Few groups say little: the longer the window is filled, the more a slope counts.
        trend = self._groups * slope * GAIN
        threshold = self._threshold
        if trend > threshold:
            self._rising(slope, sent_after)
        else:
            self._over_time = -1.0
            self._over_count = 0
            self.usage = Usage.UNDERUSE if trend < -threshold else Usage.NORMAL
        self._slope = slope
        distance = abs(trend) - threshold
        if distance <= OUTLIER and (distance > 0 or threshold > MIN_THRESHOLD):
            self._adapt(distance, arrived_after)

    def _rising(self, slope: float, sent_after: float) -> None:
        self._over_time = sent_after / 2 if self._over_time < 0 else self._over_time + sent_after
        self._over_count += 1
        if self._over_time > OVERUSE_TIME and self._over_count > 1 and slope >= self._slope:
            self._over_time = 0.0
            self._over_count = 0
            self.usage = Usage.OVERUSE

    def _adapt(self, distance: float, elapsed: float) -> None:
        """Let the threshold follow slowly, so that a loss-based flow beside does not starve this one."""
        speed = THRESHOLD_DOWN if distance < 0 else THRESHOLD_UP
        change = speed * distance * min(elapsed, MAX_ADAPTATION_TIME)
        self._threshold = min(MAX_THRESHOLD, max(MIN_THRESHOLD, self._threshold + change))
