"""Probes: a few packets sent faster than the estimate, to learn whether the path carries more.

The packets are padding (retransmissions over RTX, which a receiver drops) and whatever media leaves
meanwhile. What a probe is worth follows libwebrtc's ProbeBitrateEstimator.
"""

from __future__ import annotations

from collections.abc import Iterable

from sfu.protocol.congestion.ledger import Report

DURATION = 15_000
MIN_PACKETS = 5
MAX_PADDING = 100_000
"""Bytes of padding in one probe, whatever its rate."""
PATIENCE = 1_000_000
"""A probe whose feedback has not come by then is lost."""
RECEIVED_SHARE = 0.8
MAX_RATIO = 2.0
SATURATED = 0.9
BACK_OFF = 0.95

FIRST_FACTOR = 3
FACTOR = 2
MAX_OVER_WANTED = 1.25
SUCCESS = 0.7
MIN_INTERVAL = 5_000_000
MAX_INTERVAL = 40_000_000


class Probe:
    """One probe: says how much padding is due, and measures by the feedback what came through."""

    __slots__ = (
        "_arrivals",
        "_bytes",
        "_count",
        "_deadline",
        "_first_size",
        "_goal",
        "_last",
        "_last_sent",
        "_last_size",
        "_packets",
        "_padding",
        "_sends",
        "_started",
        "bitrate",
        "first_number",
    )

    def __init__(self, bitrate: int, first_number: int, now: int) -> None:
        self.bitrate = bitrate
        self.first_number = first_number
        self._started = now
        self._deadline = now + PATIENCE
        self._goal = min(MAX_PADDING, bitrate * DURATION // 8_000_000)
        self._padding = 0
        self._packets = 0
        self._last: int | None = None
        self._count = 0
        self._bytes = 0
        self._sends: tuple[int, int] = (0, 0)
        self._arrivals: tuple[int, int] = (0, 0)
        self._first_size = 0
        self._last_size = 0

    def due(self, now: int) -> int:
        """Return how many bytes of padding are to leave now; at least one packet while the probe runs."""
        if self._last is not None:
            return 0
        elapsed = max(0, now - self._started) + 1_000
        return max(0, min(MAX_PADDING, self.bitrate * elapsed // 8_000_000) - self._padding)

    def padded(self, size: int, number: int) -> None:
        """Note a packet of padding that left with the transport-wide `number` (not modulo 2**16)."""
        self._padding += size
        self._packets += 1
        if self._padding >= self._goal and self._packets >= MIN_PACKETS:
            self._last = number

    def expired(self, now: int) -> bool:
        """Tell whether the feedback for it did not come."""
        return now >= self._deadline

    def observe(self, arrived: Iterable[Report]) -> bool:
        """Take a feedback's packets; return whether the probe is over."""
        last = self._last
        over = False
        for number, size, sent, arrival in arrived:
            if number < self.first_number:
                continue
            if last is not None and number >= last:
                over = True
            if last is None or number <= last:
                self._add(size, sent, arrival)
        return over

    def result(self) -> int | None:
        """Return the rate that came through, or None if too little arrived to tell."""
        if self._packets == 0 or self._count < RECEIVED_SHARE * MIN_PACKETS:
            return None
        if self._bytes < RECEIVED_SHARE * self._padding:
            return None
        sent_for = self._sends[1] - self._sends[0]
        received_for = self._arrivals[1] - self._arrivals[0]
        if sent_for <= 0 or received_for <= 0:
            return None
        # Between the first and the last packet fit all bytes but one packet's.
        sent_rate = (self._bytes - self._last_size) * 8_000_000 // sent_for
        received_rate = (self._bytes - self._first_size) * 8_000_000 // received_for
        if received_rate > MAX_RATIO * sent_rate:
            return None
        if received_rate < SATURATED * sent_rate:
            return int(received_rate * BACK_OFF)
        return min(sent_rate, received_rate)

    def _add(self, size: int, sent: int, arrival: int) -> None:
        if self._count == 0:
            self._sends, self._arrivals = (sent, sent), (arrival, arrival)
            self._first_size = self._last_size = size
        if sent >= self._sends[1]:
            self._last_size = size
        if arrival < self._arrivals[0]:
            self._first_size = size
        self._sends = (min(self._sends[0], sent), max(self._sends[1], sent))
        self._arrivals = (min(self._arrivals[0], arrival), max(self._arrivals[1], arrival))
        self._count += 1
        self._bytes += size


class ProbePlan:
    """When to probe and how fast: only if more is wanted, and less often the more often it failed."""

    __slots__ = ("_factor", "_interval", "_not_before")

    def __init__(self) -> None:
        self._factor = FIRST_FACTOR
        self._interval = MIN_INTERVAL
        self._not_before = 0

    def next_rate(self, estimate: int, wanted: int, now: int) -> int | None:
        """Return the rate of the probe that is due, if one is."""
        if wanted <= estimate or now < self._not_before:
            return None
        self._not_before = now + self._interval
        return int(min(estimate * self._factor, wanted * MAX_OVER_WANTED))

    def finished(self, probe_bitrate: int, result: int | None, now: int) -> None:
        """Take what a probe showed: go on at once after a success, wait longer after a failure."""
        self._factor = FACTOR
        if result is not None and result >= SUCCESS * probe_bitrate:
            self._interval = MIN_INTERVAL
            self._not_before = now
        else:
            self._not_before = now + self._interval
            self._interval = min(2 * self._interval, MAX_INTERVAL)

    def hold(self, now: int) -> None:
        """The estimate fell: the path has to calm down before it is probed."""
        self._not_before = max(self._not_before, now + MIN_INTERVAL)
