"""Everything about congestion of one sending transport, put together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from sfu.protocol.congestion.estimator import (
    MAX_BITRATE,
    MIN_BITRATE,
    START_BITRATE,
    BandwidthEstimator,
)
from sfu.protocol.congestion.ledger import SentPackets
from sfu.protocol.congestion.pacer import Pacer
from sfu.protocol.congestion.probing import Probe, ProbePlan

PROBE_TICK = 3_000
IDLE_TICK = 250_000

Item = TypeVar("Item")


class CongestionController(Generic[Item]):
    """Ledger, estimate, probes and pacer of one transport.

    Per packet the sender calls `ledger.record` (or `record_batch`), per batch `pacer.admit`, and on a timer
    `tick`; after each allocation `set_demand`.
    """

    __slots__ = ("_allocated", "_plan", "_probe", "estimator", "ledger", "pacer", "wanted")

    def __init__(
        self,
        now: int,
        start: int = START_BITRATE,
        minimum: int = MIN_BITRATE,
        maximum: int = MAX_BITRATE,
    ) -> None:
        self.ledger = SentPackets()
        self.estimator = BandwidthEstimator(now, start, minimum, maximum)
        self.pacer: Pacer[Item] = Pacer(start)
        self.wanted = 0
        self._allocated = 0
        self._plan = ProbePlan()
        self._probe: Probe | None = None

    @property
    def estimate(self) -> int:
        """Bits per second this transport may send."""
        return self.estimator.bitrate

    def set_demand(self, allocated: int, wanted: int, *, adaptive: bool = True) -> None:
        """Say what is being sent now and what would be sent if the estimate allowed it.

        Probes are sent only to reach `wanted`. Nothing is paced below `allocated`, which essential streams
        can bring above the estimate. Without a choice of layers, `adaptive` may be False: the estimate stays
        as it is then, and feedback costs less.
        """
        self.wanted = wanted
        self._allocated = allocated
        self.estimator.adaptive = adaptive
        self._pace()

    def feedback(self, packets: Iterable[tuple[int, int | None]], now: int) -> int:
        """Take a transport-wide feedback; return the new estimate."""
        before = self.estimator.bitrate
        arrived, lost = self.ledger.acknowledge(packets)
        self.estimator.feedback(arrived, lost, now)
        if self._probe is not None and self._probe.observe(arrived):
            self._finish_probe(now)
        return self._changed(before, now)

    def remb(self, bitrate: int, now: int) -> int:
        """Take a receiver's own estimate; return the new one."""
        before = self.estimator.bitrate
        self.estimator.remb(bitrate, now)
        return self._changed(before, now)

    def receiver_report(self, fraction_lost: float, now: int) -> int:
        """Take the lost share of a receiver report, between 0 and 1; return the new estimate."""
        before = self.estimator.bitrate
        self.estimator.receiver_report(fraction_lost, now)
        return self._changed(before, now)

    def tick(self, now: int) -> int:
        """Do what time asks for; return when to call again."""
        before = self.estimator.bitrate
        self.estimator.tick(self.ledger.oldest_sent(), now)
        self._changed(before, now)
        if self._probe is not None and self._probe.expired(now):
            self._finish_probe(now)
        if self._probe is None:
            rate = self._plan.next_rate(self.estimator.bitrate, self.wanted, now)
            if rate is not None:
                self._probe = Probe(rate, self.ledger.next_number, now)
        return now + (PROBE_TICK if self._probe is not None and self._probe.due(now) else IDLE_TICK)

    def padding_due(self, now: int) -> int:
        """Return how many bytes of padding a probe wants sent now."""
        return 0 if self._probe is None else self._probe.due(now)

    def record_padding(self, size: int, now: int) -> int:
        """Note a packet of padding; return the transport-wide number to write into it."""
        number = self.ledger.next_number
        if self._probe is not None:
            self._probe.padded(size, number)
        return self.ledger.record(size, now)

    def _finish_probe(self, now: int) -> None:
        probe = self._probe
        if probe is None:
            return
        self._probe = None
        result = probe.result()
        self._plan.finished(probe.bitrate, result, now)
        if result is not None:
            self.estimator.probed(result, now)

    def _changed(self, before: int, now: int) -> int:
        bitrate = self.estimator.bitrate
        if bitrate != before:
            self._pace()
            if bitrate < before:
                self._plan.hold(now)
        return bitrate

    def _pace(self) -> None:
        self.pacer.set_bitrate(max(self.estimator.bitrate, self._allocated))
