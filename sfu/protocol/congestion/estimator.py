"""How much one transport may send: the least of what delay, losses and the receiver (REMB) allow."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from sfu.protocol.congestion.delay import DelayDetector, Usage
from sfu.protocol.congestion.ledger import Report
from sfu.protocol.congestion.loss import GROWTH, HARMLESS, LossControl
from sfu.protocol.congestion.rate_control import AcknowledgedRate, RateControl

START_BITRATE = 600_000
MIN_BITRATE = 30_000
MAX_BITRATE = 50_000_000
REMB_LIFETIME = 10_000_000
"""Receivers repeat REMB at least each second; one that stopped must not limit for ever."""
FEEDBACK_TIMEOUT = 1_000_000
TIMEOUT_FACTOR = 0.8
MAX_ROUND_TRIP = 3_000_000
DEFAULT_ROUND_TRIP = 100_000

_by_arrival = itemgetter(3)


class BandwidthEstimator:
    """The estimate of one transport, from transport-wide feedback or else from REMB and receiver reports."""

    __slots__ = (
        "_answered",
        "_delay",
        "_loss",
        "_maximum",
        "_minimum",
        "_rate",
        "_remb",
        "_remb_at",
        "_transport_wide",
        "acknowledged",
        "adaptive",
        "bitrate",
        "round_trip",
    )

    def __init__(
        self,
        now: int,
        start: int = START_BITRATE,
        minimum: int = MIN_BITRATE,
        maximum: int = MAX_BITRATE,
    ) -> None:
        self.bitrate = start
        self.round_trip = DEFAULT_ROUND_TRIP
        self.acknowledged = AcknowledgedRate()
        # Where there is nothing to choose (one stream of one layer), looking at the delay is a waste.
        self.adaptive = True
        self._minimum = minimum
        self._maximum = maximum
        self._delay = DelayDetector()
        self._rate = RateControl(start, minimum, maximum, now)
        self._loss = LossControl(maximum, now)
        self._remb: int | None = None
        self._remb_at = now
        self._answered = now
        self._transport_wide = False

    @property
    def usage(self) -> Usage:
        """What the delay said last."""
        return self._delay.usage

    @property
    def loss(self) -> float:
        """The share of packets lost on the way to this peer, between 0 and 1."""
        return self._loss.fraction

    def feedback(self, arrived: Sequence[Report], lost: int, now: int) -> int:
        """Take one transport-wide feedback (SentPackets.acknowledge); return the new estimate."""
        if not arrived and not lost:
            return self.bitrate
        self._transport_wide = True
        self._answered = now
        if arrived:
            arrived = sorted(arrived, key=_by_arrival)
            self._measure_round_trip(now - arrived[-1][2])
            self.acknowledged.update(arrived)
            if self.adaptive:
                usage = self._delay.update(arrived)
                self._rate.update(usage, self.acknowledged.bitrate, self.round_trip, now)
        fraction = self._loss.count(len(arrived), lost, now)
        if fraction is not None:
            self._limit_by_loss(fraction, now)
        return self._combine(now)

    def remb(self, bitrate: int, now: int) -> int:
        """Take a receiver's own estimate; return the new one."""
        self._remb = bitrate
        self._remb_at = now
        return self._combine(now)

    def receiver_report(self, fraction_lost: float, now: int) -> int:
        """Take the lost share of a receiver report; it counts only without transport-wide feedback."""
        if not self._transport_wide:
            self._limit_by_loss(fraction_lost, now)
            if self._remb is None and fraction_lost <= HARMLESS:
                # Losses are all that is known of this path: feel the way up.
                self._rate.set(round(self._rate.bitrate * GROWTH))
        return self._combine(now)

    def probed(self, bitrate: int, now: int) -> int:
        """Take the rate at which a probe got through; it never lowers the estimate."""
        if bitrate > self.bitrate:
            self._rate.set(bitrate)
            self._loss.raise_to(bitrate)
        return self._combine(now)

    def tick(self, oldest_sent: int | None, now: int) -> int:
        """Lower the estimate each second in which a peer that gave feedback says nothing any more.

        `oldest_sent` is when the oldest packet left that was not reported on.
        """
        if self._transport_wide and self.adaptive and oldest_sent is not None:
            silent_since = max(self._answered, oldest_sent)
            if now - silent_since >= FEEDBACK_TIMEOUT:
                self._answered = now
                self._rate.set(int(self._rate.bitrate * TIMEOUT_FACTOR))
        return self._combine(now)

    def _limit_by_loss(self, fraction: float, now: int) -> None:
        if not self.adaptive:
            self._loss.fraction = fraction
            return
        delivered = self.acknowledged.bitrate
        self._loss.update(fraction, self.bitrate, delivered, self._maximum, self.round_trip, now)

    def _measure_round_trip(self, sample: int) -> None:
        self.round_trip = min(MAX_ROUND_TRIP, max(0, (7 * self.round_trip + sample) // 8))

    def _combine(self, now: int) -> int:
        remb = self._remb if now - self._remb_at < REMB_LIFETIME else None
        if self._transport_wide or remb is None:
            bitrate = min(self._rate.bitrate, self._loss.limit)
            if remb is not None:
                bitrate = min(bitrate, remb)
        else:
            bitrate = min(remb, self._loss.limit)
        self.bitrate = min(self._maximum, max(self._minimum, bitrate))
        return self.bitrate
