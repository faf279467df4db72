"""The rate that follows from losses (draft-ietf-rmcat-gcc-02 6)."""

from __future__ import annotations

MIN_PACKETS = 20
ENOUGH_PACKETS = 80
"""A share of fewer packets is chance, which only time makes up for."""
WINDOW = 1_000_000
HARMLESS = 0.02
HARMFUL = 0.10
GROWTH = 1.08
REDUCTION_INTERVAL = 300_000
MAX_ELAPSED = 1_000_000
MAX_AHEAD = 2
MAX_INHERENT = 0.5
INHERENT_SPEED = 0.1
TRIAL = 0.6
DELIVERED = 0.8
"""Losses of a full path fall with the rate, and as much gets through as before; where a rate of 60 % delivers
less than 80 % of what it did, the losses are the path's own (a bad radio link) and no reason to send less."""


class LossControl:
    """A limit that falls with losses above a tenth and grows back while there are hardly any."""

    __slots__ = (
        "_inherent",
        "_lost",
        "_opened",
        "_packets",
        "_reduced",
        "_reference",
        "_updated",
        "fraction",
        "limit",
    )

    def __init__(self, maximum: int, now: int) -> None:
        self.limit = maximum
        self.fraction = 0.0
        self._inherent = 0.0
        self._reference: tuple[int, int] | None = None
        self._packets = 0
        self._lost = 0
        self._opened = now
        self._updated = now
        self._reduced = now - MAX_ELAPSED

    def count(self, arrived: int, lost: int, now: int) -> float | None:
        """Add packets; return the lost share once enough of them are counted."""
        self._packets += max(0, arrived + lost)
        self._lost += lost
        early = now - self._opened < WINDOW and self._packets < ENOUGH_PACKETS
        if early or self._packets < MIN_PACKETS:
            return None
        self._opened = now
        fraction = min(1.0, max(0.0, self._lost / self._packets))
        self._packets = self._lost = 0
        return fraction

    def update(
        self, fraction: float, bitrate: int, delivered: int | None, maximum: int, round_trip: int, now: int
    ) -> int:
        """Take a lost share seen while `bitrate` was allowed and `delivered` arrived; return the limit."""
        self.fraction = fraction
        elapsed = min(now - self._updated, MAX_ELAPSED) / 1_000_000
        self._updated = now
        excess = self._excess(fraction)
        if excess > HARMFUL:
            self._compare(fraction, bitrate, delivered)
            if now - self._reduced >= REDUCTION_INTERVAL + round_trip:
                self._reduced = now
                self.limit = int(min(self.limit, bitrate) * (1 - excess / 2))
        elif excess <= HARMLESS and self.limit < maximum:
            self._reference = None
            self.limit = min(maximum, round(self.limit * GROWTH**elapsed) + round(1_000 * elapsed))
            if self.limit > MAX_AHEAD * bitrate:
                # The delay alone decides by now.
                self.limit = maximum
        return self.limit

    def _excess(self, fraction: float) -> float:
        """Return the share lost beyond what the path loses anyway."""
        if fraction <= HARMLESS:
            self._inherent = 0.0
        elif fraction < self._inherent:
            self._inherent += INHERENT_SPEED * (fraction - self._inherent)
        return max(0.0, fraction - self._inherent) / (1 - self._inherent)

    def _compare(self, fraction: float, bitrate: int, delivered: int | None) -> None:
        if delivered is None:
            return
        if self._reference is None:
            self._reference = (bitrate, delivered)
        elif bitrate <= TRIAL * self._reference[0]:
            if delivered < DELIVERED * self._reference[1]:
                self._inherent = min(fraction, MAX_INHERENT)
            self._reference = None

    def raise_to(self, bitrate: int) -> None:
        """A probe got through at `bitrate`."""
        self.limit = max(self.limit, bitrate)
