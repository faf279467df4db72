"""Percentiles and the like over what a run collected."""

from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], fraction: float) -> float | None:
    """The value below which ``fraction`` (0 to 1) of ``values`` lies, interpolated; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    position = (len(ordered) - 1) * fraction
    lower = int(position)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (ordered[upper] - ordered[lower]) * (position - lower)


@dataclass(frozen=True, slots=True)
class Distribution:
    """What is told about many values of one kind; every field is None when there were none."""

    minimum: float | None
    median: float | None
    p99: float | None
    maximum: float | None


def distribution(values: Sequence[float]) -> Distribution:
    return Distribution(*(percentile(values, fraction) for fraction in (0.0, 0.5, 0.99, 1.0)))


def quotient(dividend: float | None, divisor: float | None) -> float | None:
    """``dividend / divisor``, or None where either is unknown or the divisor is 0."""
    if dividend is None or not divisor:
        return None
    return dividend / divisor
