"""One curve as a self-contained SVG picture."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from bench.reporting.model import Series

WIDTH: Final = 640
HEIGHT: Final = 240
LEFT: Final = 64
BOTTOM: Final = 40
MARGIN: Final = 16
TICKS: Final = 5


def render_series(series: Series) -> str:
    """The curve of ``series`` with its axes; y begins at 0 or below."""
    xs = _axis([x for x, _ in series.points])
    ys = _axis([0.0, *(y for _, y in series.points)])
    points = " ".join(f"{_x(x, xs):.1f},{_y(y, ys):.1f}" for x, y in series.points)
    grid = "".join(_horizontal(y, ys) for y in ys) + "".join(_vertical(x, xs) for x in xs)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(series.name)}">{grid}'
        f'<polyline class="curve" points="{points}"/>'
        f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT - 4}" class="middle">{escape(series.x_label)}</text>'
        f'<text x="{MARGIN}" y="{MARGIN - 4}">{escape(series.y_label)}</text></svg>'
    )


def _axis(values: Sequence[float]) -> list[float]:
    """Ticks at round numbers that enclose ``values``."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    step = _round_step((high - low) / TICKS or 1.0)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [n * step for n in range(first, last + 1)]


def _round_step(raw: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(raw))
    return next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw * 0.999)


def _x(value: float, axis: Sequence[float]) -> float:
    return LEFT + (value - axis[0]) / (axis[-1] - axis[0]) * (WIDTH - LEFT - MARGIN)


def _y(value: float, axis: Sequence[float]) -> float:
    return HEIGHT - BOTTOM - (value - axis[0]) / (axis[-1] - axis[0]) * (HEIGHT - BOTTOM - 2 * MARGIN)


def _horizontal(value: float, axis: Sequence[float]) -> str:
    y = _y(value, axis)
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - MARGIN}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{value:g}</text>'
    )


def _vertical(value: float, axis: Sequence[float]) -> str:
    x = _x(value, axis)
    return f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" class="middle">{value:g}</text>'
