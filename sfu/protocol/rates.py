"""Bitrates over a sliding window, in total and by layer."""

from __future__ import annotations

WINDOW = 1.0
_SLOTS = 20
_SLOTS_PER_SECOND = _SLOTS / WINDOW
MAX_LAYERS = 32
"""VP9 and AV1 know 8 temporal layers of at most 4 spatial ones."""


class RateMeter:
    """Bytes of the last second in 50 ms slots."""

    __slots__ = ("_slot", "_slots", "_started", "_sum", "packets", "total")

    def __init__(self) -> None:
        self.total = 0
        self.packets = 0
        self._slots = [0] * _SLOTS
        self._slot = 0
        self._started = 0
        self._sum = 0

    def add(self, size: int, now: float) -> None:
        """Count a packet of `size` bytes."""
        slot = int(now * _SLOTS_PER_SECOND)
        if slot != self._slot:
            self._advance(slot)
        self._slots[slot % _SLOTS] += size
        self._sum += size
        self.total += size
        self.packets += 1

    def bitrate(self, now: float) -> int:
        """Return bits per second; right from the first packet on, not only after a whole window."""
        if not self.packets:
            return 0
        slot = int(now * _SLOTS_PER_SECOND)
        if slot != self._slot:
            self._advance(slot)
        covered = min(max(self._slot - self._started + 1, 2), _SLOTS)
        return int(8 * self._sum * _SLOTS_PER_SECOND / covered)

    def _advance(self, slot: int) -> None:
        """Empty the slots that the window has left; a clock that stands still or goes back empties all."""
        passed = slot - self._slot
        if not 0 < passed < _SLOTS or not self.packets:
            self._slots = [0] * _SLOTS
            self._sum = 0
            self._started = slot
        else:
            for number in range(self._slot + 1, slot + 1):
                self._sum -= self._slots[number % _SLOTS]
                self._slots[number % _SLOTS] = 0
        self._slot = slot


class LayerRates:
    """The bitrate of each (spatial, temporal) layer of a stream; simulcast streams have spatial layer 0."""

    __slots__ = ("_meters",)

    def __init__(self) -> None:
        self._meters: dict[tuple[int, int], RateMeter] = {}

    def add(self, spatial: int, temporal: int, size: int, now: float) -> None:
        """Count a packet of a layer; layers beyond MAX_LAYERS are not told apart from the first one."""
        meter = self._meters.get((spatial, temporal))
        if meter is None:
            key = (spatial, temporal) if len(self._meters) < MAX_LAYERS else next(iter(self._meters))
            meter = self._meters.setdefault(key, RateMeter())
        meter.add(size, now)

    def bitrate(self, spatial: int, temporal: int, now: float) -> int:
        """Return what a consumer of this layer gets: the layer and all that it is built on."""
        return sum(
            meter.bitrate(now)
            for (its_spatial, its_temporal), meter in self._meters.items()
            if its_spatial <= spatial and its_temporal <= temporal
        )

    def layers(self) -> list[tuple[int, int]]:
        """Return the layers seen so far, from the lowest."""
        return sorted(self._meters)
