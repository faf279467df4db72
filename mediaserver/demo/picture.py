"""What the test pattern shows.

Colour bars and a grey ramp, a clock of the wall time in UTC between two patches of snow, and a ball that
touches the ground once a second: in that moment the ground lights up and the sound beeps, so that eyes and
ears can tell whether the two are in step. The lowest rows hold the clock once more for machines:
``parse_time_code`` reads it out of what a player shows, which gives the latency from end to end.
"""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import av

from mediaserver.demo.canvas import Canvas, Color, Rectangle
from mediaserver.demo.font import Typeface, text_width

BEAT_SECONDS: Final = 0.1
"""How long ground and sound mark the second."""
MINIMUM_WIDTH: Final = 320
MINIMUM_HEIGHT: Final = 180

TIME_CODE_MARK: Final = "1010"
TIME_CODE_BITS: Final = 42
"""Milliseconds since 1970, enough until the year 2109."""
TIME_CODE_CELLS: Final = len(TIME_CODE_MARK) + TIME_CODE_BITS + 2
"""The mark, the time with the highest bit first, a bit that makes the number of ones even, and a dark end."""

_BACKGROUND: Final = Color.of_rgb(0.07, 0.08, 0.13)
_STAGE: Final = Color.of_rgb(0.10, 0.12, 0.19)
_GROUND: Final = Color.of_rgb(0.25, 0.28, 0.40)
_BEAT: Final = Color.of_rgb(1.0, 0.86, 0.40)
_BALL: Final = Color.of_rgb(0.98, 0.35, 0.30)
_INK: Final = Color.gray(0.96)
_DIM_INK: Final = Color.gray(0.55)
_BLACK: Final = Color.gray(0.0)
_WHITE: Final = Color.gray(1.0)
_BARS: Final = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1)]
_BAR_LEVEL: Final = 0.75
_RAMP_STEPS: Final = 16
_CROSSING_SECONDS: Final = 4
"""The ball crosses the stage in this time."""
_SNOW_LEVELS: Final = range(96, 160)
_SNOW_PICTURES: Final = 29
"""Prime to usual frame rates, so that the snow does not come round with the second."""


class TestPicture:
    """Draws pictures of ``width`` by ``height`` (both even) pixels."""

    __test__ = False  # not one of pytest's

    def __init__(self, width: int, height: int, frame_rate: int) -> None:
        if width % 2 or height % 2 or width < MINIMUM_WIDTH or height < MINIMUM_HEIGHT:
            raise ValueError(
                f"a picture of {width}x{height}: needs even sizes from {MINIMUM_WIDTH}x{MINIMUM_HEIGHT} on"
            )
        self._width, self._height, self._frame_rate = width, height, frame_rate
        self._clock_face = Typeface(width // 96, _INK.luma, _BACKGROUND.luma)
        self._stage = Rectangle(0, _even(height * 0.68), width, _even(height * 0.22))
        self._ground = Rectangle(0, self._stage.bottom, width, _even(height * 0.02))
        self._code = Rectangle(0, _even(height * 0.955), width, height - _even(height * 0.955))
        self._ball = _Ball(_even(height * 0.09))
        self._snow = _Snow(_even(width * 0.06))
        self._background = self._draw_background(f"UTC  {width}X{height}  {frame_rate} FPS")

    def draw(self, wall_time: float) -> av.VideoFrame:
        """The picture that belongs to ``wall_time``, in seconds since 1970, to the millisecond."""
        wall_time = round(wall_time, 3)  # a sum of floats may stay just below the full second
        frame = av.VideoFrame(self._width, self._height, "yuv420p")
        canvas = Canvas(frame)
        canvas.restore(self._background)
        self._draw_clock(canvas, wall_time)
        if round(wall_time * 1000) % 1000 < BEAT_SECONDS * 1000:
            canvas.fill(self._ground, _BEAT)
        self._draw_ball(canvas, wall_time)
        self._draw_snow(canvas, wall_time)
        self._draw_time_code(canvas, wall_time)
        return frame

    def _draw_background(self, caption: str) -> list[bytes]:
        canvas = Canvas(av.VideoFrame(self._width, self._height, "yuv420p"))
        canvas.fill(Rectangle(0, 0, self._width, self._height), _BACKGROUND)
        self._draw_steps(
            canvas, 0.0, 0.27, [Color.of_rgb(*(_BAR_LEVEL * part for part in bar)) for bar in _BARS]
        )
        ramp = [Color.gray(step / (_RAMP_STEPS - 1)) for step in range(_RAMP_STEPS)]
        self._draw_steps(canvas, 0.27, 0.05, ramp)
        canvas.fill(self._stage, _STAGE)
        canvas.fill(self._ground, _GROUND)
        face = Typeface(max(1, self._width // 384), _DIM_INK.luma, _BACKGROUND.luma)
        self._center(canvas, face, caption, 0.60)
        return canvas.planes()

    def _draw_steps(self, canvas: Canvas, top: float, height: float, colors: Sequence[Color]) -> None:
        """Bars of equal width across the picture; ``top`` and ``height`` are parts of its height."""
        edges = [_even(self._width * number / len(colors)) for number in range(len(colors) + 1)]
        for left, right, color in zip(edges, edges[1:], colors, strict=False):
            area = Rectangle(left, _even(self._height * top), right - left, _even(self._height * height))
            canvas.fill(area, color)

    def _draw_clock(self, canvas: Canvas, wall_time: float) -> None:
        moment = datetime.fromtimestamp(wall_time, UTC)
        self._center(canvas, self._clock_face, f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}", 0.40)

    def _center(self, canvas: Canvas, face: Typeface, text: str, top: float) -> None:
        left = (self._width - text_width(text, face.dot)) // 2
        canvas.write(left, int(self._height * top), face.rows(text), repeat=face.dot)

    def _draw_ball(self, canvas: Canvas, wall_time: float) -> None:
        size = self._ball.size
        way = wall_time / _CROSSING_SECONDS % 2
        left = _even((self._width - size) * (way if way < 1 else 2 - way))
        fall = wall_time % 1
        lift = 4 * fall * (1 - fall)
        top = _even(self._stage.bottom - size - lift * (self._stage.height - size))
        self._ball.draw(canvas, left, top)

    def _draw_snow(self, canvas: Canvas, wall_time: float) -> None:
        rows = self._snow.rows(round(wall_time * self._frame_rate))
        margin, top = _even(self._width * 0.02), _even(self._height * 0.41)
        for left in (margin, self._width - margin - self._snow.size):
            canvas.write(left, top, rows)

    def _draw_time_code(self, canvas: Canvas, wall_time: float) -> None:
        cell = self._width // TIME_CODE_CELLS
        dark, light = bytes((_BLACK.luma,)) * cell, bytes((_WHITE.luma,)) * cell
        row = b"".join(light if bit == "1" else dark for bit in time_code(wall_time))
        canvas.write(self._code.left, self._code.top, [row], repeat=self._code.height)


class _Ball:
    """A disc on the stage's colour, with a soft edge, kept as rows for each plane."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._rows = [
            _disc(size, _BALL.luma, _STAGE.luma),
            _disc(size // 2, _BALL.blue, _STAGE.blue),
            _disc(size // 2, _BALL.red, _STAGE.red),
        ]

    def draw(self, canvas: Canvas, left: int, top: int) -> None:
        canvas.write(left, top, self._rows[0])
        for plane in (1, 2):
            canvas.write(left // 2, top // 2, self._rows[plane], plane)


class _Snow:
    """Noise, which no encoder can predict: it brings the stream to the bit rate of a real one."""

    def __init__(self, size: int) -> None:
        self.size = size
        levels = bytes(_SNOW_LEVELS[value * len(_SNOW_LEVELS) // 256] for value in range(256))
        source = random.Random(0)
        self._pictures = [
            [source.randbytes(size).translate(levels) for _ in range(size)] for _ in range(_SNOW_PICTURES)
        ]

    def rows(self, number: int) -> list[bytes]:
        """The luma of one picture; the same ones come again after a while."""
        return self._pictures[number % _SNOW_PICTURES]


def _disc(size: int, inside: int, outside: int) -> list[bytes]:
    radius = size / 2
    return [
        bytes(
            round(outside + (inside - outside) * _coverage(x + 0.5 - radius, y + 0.5 - radius, radius))
            for x in range(size)
        )
        for y in range(size)
    ]


def _coverage(x: float, y: float, radius: float) -> float:
    return min(1.0, max(0.0, radius - math.hypot(x, y) + 0.5))


def _even(value: float) -> int:
    return int(value) // 2 * 2


def time_code(wall_time: float) -> str:
    """The cells from left to right, "1" for light."""
    time = f"{round(wall_time * 1000) % (1 << TIME_CODE_BITS):0{TIME_CODE_BITS}b}"
    return f"{TIME_CODE_MARK}{time}{time.count('1') % 2}0"


def parse_time_code(cells: str) -> float:
    """Seconds since 1970 as ``time_code`` wrote them. Raises ValueError for anything else."""
    mark, time, rest = (
        cells[: len(TIME_CODE_MARK)],
        cells[len(TIME_CODE_MARK) : -2],
        cells[-2:],
    )
    if len(cells) != TIME_CODE_CELLS or mark != TIME_CODE_MARK or rest != f"{time.count('1') % 2}0":
        raise ValueError(f"{cells!r} is no time code")
    return int(time, 2) / 1000
