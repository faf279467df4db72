"""Spreads a transport's estimate over its consumers: which layer each of them gets.

Layers of one consumer are listed from the lowest to the highest, spatial and temporal ones in one list;
each has the bitrate of everything up to it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

NOTHING = -1
"""The layer of a consumer that gets nothing."""
UP_MARGIN = 1.15
"""A layer above the present one needs this much more than it takes, or it would be left at once again."""
KEEP_MARGIN = 0.95
"""The present layer is kept as long as so much of it fits: measured bitrates are not exact."""
UP_DELAY = 5_000_000
MAX_UP_DELAY = 40_000_000
"""After a step down the next step up waits, twice as long each time it did not last."""
MAX_PRIORITY = 255


@dataclass(frozen=True, slots=True)
class Demand:
    """What one consumer could get."""

    identifier: Hashable
    layers: tuple[int, ...]
    """Bitrates; 0 is a layer that is not being sent."""
    current: int = NOTHING
    priority: int = 1
    """Between 1 and 255: shares of the estimate are in proportion to it."""
    highest: int | None = None
    """The highest layer that is wanted, an index; None is the highest of all."""
    essential: bool = False
    """Its lowest layer is sent whatever the estimate says: audio, and streams that have but one layer."""


def allocate(estimate: int, demands: Sequence[Demand]) -> dict[Hashable, int]:
    """Return the index of the layer for each consumer, NOTHING for one that has to pause.

    Everyone gets the lowest layer first, by priority. What remains goes step by step to the consumer that
    has the least for its priority.
    """
    return _Allocation(estimate, demands).run()


def wanted_bitrate(demands: Sequence[Demand]) -> int:
    """Return the estimate with which every consumer would get its highest layer; probing aims at it."""
    total = 0.0
    for demand in demands:
        layers = _available(demand)
        if layers:
            best = layers[-1]
            total += demand.layers[best] * (UP_MARGIN if best > demand.current else 1.0)
    return int(total)


def _available(demand: Demand) -> list[int]:
    end = len(demand.layers) if demand.highest is None else demand.highest + 1
    return [index for index, bitrate in enumerate(demand.layers[:end]) if bitrate > 0]


class _Allocation:
    """One run of `allocate`."""

    __slots__ = ("_available", "_demands", "_held", "_position", "_remaining")

    def __init__(self, estimate: int, demands: Sequence[Demand]) -> None:
        self._demands = demands
        self._remaining = float(estimate)
        self._available = [_available(demand) for demand in demands]
        self._position = [-1] * len(demands)
        self._held = [0] * len(demands)

    def run(self) -> dict[Hashable, int]:
        order = sorted(range(len(self._demands)), key=lambda place: -self._demands[place].priority)
        for place in order:
            if self._demands[place].essential and self._available[place]:
                self._step(place, 0)
        for place in order:
            if self._position[place] < 0:
                self._try_step(place)
        self._share()
        return {
            demand.identifier: self._available[place][position] if position >= 0 else NOTHING
            for place, (demand, position) in enumerate(zip(self._demands, self._position, strict=True))
        }

    def _share(self) -> None:
        heap = [(self._weight(place), place) for place, held in enumerate(self._held) if held]
        heapify(heap)
        while heap:
            _, place = heappop(heap)
            if self._try_step(place):
                heappush(heap, (self._weight(place), place))

    def _weight(self, place: int) -> float:
        return self._held[place] / min(MAX_PRIORITY, max(1, self._demands[place].priority))

    def _try_step(self, place: int) -> bool:
        """Take the next layer that fits; a higher one may take less at the moment, and fit."""
        demand = self._demands[place]
        for position in range(self._position[place] + 1, len(self._available[place])):
            layer = self._available[place][position]
            margin = UP_MARGIN if layer > demand.current else KEEP_MARGIN
            if demand.layers[layer] * margin - self._held[place] <= self._remaining:
                self._step(place, position)
                return True
        return False

    def _step(self, place: int, position: int) -> None:
        bitrate = self._demands[place].layers[self._available[place][position]]
        self._remaining = max(0.0, self._remaining - (bitrate - self._held[place]))
        self._position[place] = position
        self._held[place] = bitrate


@dataclass(slots=True)
class _Hold:
    layer: int
    until: int = 0
    delay: int = UP_DELAY
    raised: int = 0


class Allocator:
    """`allocate` with a memory: after a step down, a consumer's next step up waits."""

    __slots__ = ("_holds",)

    def __init__(self) -> None:
        self._holds: dict[Hashable, _Hold] = {}

    def allocate(self, estimate: int, demands: Sequence[Demand], now: int) -> dict[Hashable, int]:
        """Return the index of the layer for each consumer; the demands' `current` is what it is now."""
        chosen = allocate(estimate, [self._held_back(demand, now) for demand in demands])
        holds = {}
        for demand in demands:
            hold = self._holds.get(demand.identifier) or _Hold(demand.current)
            self._note(hold, demand, chosen[demand.identifier], now)
            holds[demand.identifier] = hold
        self._holds = holds
        return chosen

    def _held_back(self, demand: Demand, now: int) -> Demand:
        hold = self._holds.get(demand.identifier)
        if hold is None or now >= hold.until:
            return demand
        # Nothing at all is worse than what one layer may cost: the lowest is never held back.
        lowest = next((index for index, bitrate in enumerate(demand.layers) if bitrate > 0), NOTHING)
        held = max(demand.current, lowest)
        highest = held if demand.highest is None else min(demand.highest, held)
        return Demand(
            demand.identifier,
            demand.layers,
            demand.current,
            demand.priority,
            highest,
            demand.essential,
        )

    def _note(self, hold: _Hold, demand: Demand, layer: int, now: int) -> None:
        last = len(demand.layers) - 1
        wanted = last if demand.highest is None else min(last, demand.highest)
        if layer > hold.layer:
            hold.raised = now
        elif layer < hold.layer <= wanted and demand.layers[hold.layer] > 0:
            lasted = now - hold.raised >= hold.delay + UP_DELAY
            hold.delay = UP_DELAY if lasted else min(2 * hold.delay, MAX_UP_DELAY)
            hold.until = now + hold.delay
        hold.layer = layer
