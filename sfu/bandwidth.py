"""How much one transport may send, and what of it each consumer gets: estimate, probes, pace, allocation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from sfu.layer_choices import Choice, Offer
from sfu.media_plane import MediaPlane
from sfu.pacing import Piece, Waiting
from sfu.protocol import rtcp
from sfu.protocol.congestion.allocation import NOTHING, Allocator, Demand, wanted_bitrate
from sfu.protocol.congestion.controller import CongestionController
from sfu.protocol.congestion.ledger import MAX_SIZE
from sfu.protocol.simulcast import NONE
from sfu.sending_path import SendingPath

if TYPE_CHECKING:
    from sfu.consumer import Consumer

ALLOCATION_SECONDS: Final = 0.2
MIN_ALLOCATION_SECONDS: Final = 0.05
"""However often something changes; peers can ask for changes by the hundred."""
MAX_PROBE_PACKETS: Final = 20
"""Per tick."""
MAX_BITRATE: Final = 50_000_000
_MICROSECONDS: Final = 1_000_000


class _PaddingLedger:
    """Numbers the packets of probes, which the probe counts."""

    def __init__(self, controller: CongestionController[Waiting]) -> None:
        self._controller = controller

    def record_batch(self, entries: list[int]) -> int:
        """Note one packet of padding."""
        (entry,) = entries
        return self._controller.record_padding(entry & MAX_SIZE, entry >> 16)


class Bandwidth:
    """Of a transport with a choice of layers; the others send what they are asked for."""

    def __init__(self, plane: MediaPlane, path: SendingPath, probe_path: SendingPath) -> None:
        self.controller: CongestionController[Waiting] = CongestionController(_microseconds(plane.clock()))
        self.maximum = MAX_BITRATE
        self.has_feedback = False
        """Whether transport-wide feedback came: then nothing else counts."""
        self._plane = plane
        self._probe_path = probe_path
        self._allocator = Allocator()
        self._allocates_at = plane.clock() + ALLOCATION_SECONDS
        self._may_allocate_at = 0.0
        self._ticks_at = 0
        path.ledger = self.controller.ledger
        probe_path.ledger = _PaddingLedger(self.controller)

    @property
    def estimate(self) -> int:
        """Bits per second that may be sent."""
        return min(self.controller.estimate, self.maximum)

    def receive(self, event: rtcp.Event, now: float) -> None:
        """Take what the peer says of the path."""
        at = _microseconds(now)
        before = self.controller.estimate
        if isinstance(event, rtcp.TransportFeedback):
            self.has_feedback = True
            self.controller.feedback(event.arrivals, at)
        elif isinstance(event, rtcp.ReceiverEstimatedMaximumBitrate) and not self.has_feedback:
            self.controller.remb(event.bitrate, at)
        if self.controller.estimate < before:
            self._allocates_at = 0.0

    def report_loss(self, fraction: float, now: float) -> None:
        """Take the lost share of a receiver report."""
        if not self.has_feedback:
            self.controller.receiver_report(fraction, _microseconds(now))

    def reallocate(self) -> None:
        """Set the targets anew at one of the next ticks: once for all that changes until then."""
        self._allocates_at = min(self._allocates_at, self._may_allocate_at)

    def begin(self, consumer: Consumer, offer: Offer) -> None:
        """Give a consumer that has nothing the lowest layer, which comes soonest, while none is known."""
        if consumer.target == NONE and not offer.is_known:
            consumer.set_target(0, None)

    def allocate(self, consumers: Collection[Consumer], now: float) -> None:
        """Set the target of every consumer."""
        self._allocates_at = now + ALLOCATION_SECONDS
        self._may_allocate_at = now + MIN_ALLOCATION_SECONDS
        active = [consumer for consumer in consumers if consumer.is_active]
        for consumer in consumers:
            if not consumer.is_active:
                consumer.set_target(NONE, 0)
        offers = [consumer.producer.choices.at(now) for consumer in active]
        demands = [_demand(consumer, offer) for consumer, offer in zip(active, offers, strict=True)]
        layers = self._allocator.allocate(self.estimate, demands, _microseconds(now))
        allocated = 0
        for consumer, offer in zip(active, offers, strict=True):
            allocated += self._give(consumer, offer, layers[consumer.id])
        self.controller.set_demand(allocated, min(wanted_bitrate(demands), self.maximum))

    def _give(self, consumer: Consumer, offer: Offer, layer: int) -> int:
        """Set a consumer's target; return what it takes."""
        if layer != NOTHING:
            choice = offer.choices[layer]
            consumer.set_target(choice.spatial, choice.temporal)
            return choice.bitrate
        if offer.is_known:
            consumer.set_target(NONE, 0)
        else:
            self.begin(consumer, offer)
        return 0

    def tick(self, consumers: Collection[Consumer], now: float) -> None:
        """Send what waited long enough, probe, and allocate when it is time."""
        at = _microseconds(now)
        pacer = self.controller.pacer
        if len(pacer):
            self._release(pacer.release(at), now)
        if at >= self._ticks_at:
            self._ticks_at = self.controller.tick(at)
        if self.controller.padding_due(at):
            self._probe(consumers, now)
        if now >= self._allocates_at:
            self.allocate(consumers, now)

    def deadline(self, now: float) -> float:
        """Return when `tick` has something to do."""
        due = [self._allocates_at, self._ticks_at / _MICROSECONDS]
        release = self.controller.pacer.next_release(_microseconds(now))
        if release is not None:
            due.append(release / _MICROSECONDS)
        return min(due)

    def _release(self, waiting: Sequence[Waiting], now: float) -> None:
        for consumer, item in waiting:
            if not consumer.is_active:
                continue
            if isinstance(item, Piece):
                self._plane.releases.add(item, consumer.state)
            else:
                state = consumer.state
                self._plane.forwarder.send_packet(state.path, state.plan, item, now)

    def _probe(self, consumers: Collection[Consumer], now: float) -> None:
        """Send padding, or what was sent last once more, by RTX."""
        prober = next((consumer for consumer in consumers if consumer.can_probe), None)
        if prober is None or prober.repair is None:
            return
        for _ in range(MAX_PROBE_PACKETS):
            if not self.controller.padding_due(_microseconds(now)):
                return
            packet = prober.repair.newest() or prober.repair.padding(0)
            if not self._plane.forwarder.send_packet(self._probe_path, prober.state.plan, packet, now):
                return


def _demand(consumer: Consumer, offer: Offer) -> Demand:
    preferred = consumer.preferred_layers
    highest = None
    if preferred is not None:
        temporal = preferred.temporal
        wanted = [
            index
            for index, choice in enumerate(offer.choices)
            if choice.spatial < preferred.spatial
            or (choice.spatial == preferred.spatial and (temporal is None or choice.temporal <= temporal))
        ]
        highest = max(wanted, default=0)
    takes_any_rate = preferred is not None and preferred.temporal == 0
    return Demand(
        consumer.id,
        offer.bitrates if takes_any_rate else offer.smooth_bitrates,
        _current(consumer, offer.choices),
        consumer.priority,
        highest,
        essential=not consumer.has_layers,
    )


def _current(consumer: Consumer, choices: Sequence[Choice]) -> int:
    """Return the highest choice that the target includes."""
    target, most = consumer.target, consumer.target_temporal
    if target == NONE:
        return NOTHING
    for index in range(len(choices) - 1, -1, -1):
        spatial, temporal, _ = choices[index]
        if spatial == target and temporal <= most:
            return index
    return NOTHING


def _microseconds(now: float) -> int:
    return int(now * _MICROSECONDS)
