"""What there is of one producer to choose from, worked out once for all its consumers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sfu.producer_stream import ProducerStream

KEPT_SECONDS: Final = 0.05
"""Rates are measured over longer times, so that a choice is as good a moment later."""
MIN_TEMPORAL_LAYERS: Final = 3
"""With so many temporal layers the lowest is a quarter of the frame rate."""


class Choice(NamedTuple):
    """A layer that a consumer could get, with what it takes; a bitrate of 0 is one that is not sent."""

    spatial: int
    temporal: int
    bitrate: int


class Offer(NamedTuple):
    """The layers, the lowest first, and their bitrates for who takes any frame rate, and who does not."""

    choices: tuple[Choice, ...]
    bitrates: tuple[int, ...]
    smooth_bitrates: tuple[int, ...]
    is_known: bool
    """Whether anything is sent."""


class LayerChoices:
    """Of the streams of one producer."""

    __slots__ = ("_kept", "_kept_until", "_last", "_streams")

    def __init__(self, streams: Sequence[ProducerStream], spatial_layers: int) -> None:
        self._streams = streams
        self._last = spatial_layers - 1
        self._kept: Offer | None = None
        self._kept_until = 0.0

    def at(self, now: float) -> Offer:
        """Return what there is to choose from."""
        if self._kept is not None and self._kept.is_known and now < self._kept_until:
            return self._kept
        self._kept = self._measure(now)
        self._kept_until = now + KEPT_SECONDS
        return self._kept

    def _measure(self, now: float) -> Offer:
        choices = tuple(choice for stream in self._streams for choice in self._of_stream(stream, now))
        bitrates = tuple(choice.bitrate for choice in choices)
        return Offer(choices, bitrates, smooth_bitrates(choices), any(bitrates))

    def _of_stream(self, stream: ProducerStream, now: float) -> list[Choice]:
        is_active = stream.is_active(now)
        found = []
        for spatial, temporal in stream.layers():
            bitrate = stream.layer_rates.bitrate(spatial, temporal, now) if is_active else 0
            if not stream.is_video and is_active:
                bitrate = stream.rate.bitrate(now)
            found.append(Choice(min(max(stream.index, spatial), self._last), temporal, bitrate))
        return found


def smooth_bitrates(choices: Sequence[Choice]) -> tuple[int, ...]:
    """What each takes. A larger picture at a quarter of the frame rate is worse than a smaller one in motion,
    and counts as not sent."""
    smallest = min((choice.spatial for choice in choices if choice.bitrate), default=0)
    smooth = {choice.spatial for choice in choices if choice.temporal >= MIN_TEMPORAL_LAYERS - 1}
    return tuple(
        0
        if choice.temporal == 0 and choice.spatial > smallest and choice.spatial in smooth
        else choice.bitrate
        for choice in choices
    )
