"""Drawing into the planes of a YUV 4:2:0 picture, whole rows at a time: no per-pixel work per frame."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import av


class Color(NamedTuple):
    """A colour in limited-range BT.709, as video carries it."""

    luma: int
    blue: int
    red: int

    @classmethod
    def of_rgb(cls, red: float, green: float, blue: float) -> Self:
        """From red, green and blue between 0 and 1 (ITU-R BT.709-6, 3.2 and 3.4)."""
        luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        return cls(
            round(16 + 219 * luma),
            round(128 + 224 * (blue - luma) / 1.8556),
            round(128 + 224 * (red - luma) / 1.5748),
        )

    @classmethod
    def gray(cls, level: float) -> Self:
        return cls.of_rgb(level, level, level)


class Rectangle(NamedTuple):
    """In luma pixels; all four even, so that it covers whole chroma samples."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height


class Canvas:
    """The three planes of one frame. Drawing outside of it is the caller's mistake and not checked."""

    def __init__(self, frame: av.VideoFrame) -> None:
        self._planes: Final = [memoryview(plane) for plane in frame.planes]
        self._strides: Final = [plane.line_size for plane in frame.planes]

    def planes(self) -> list[bytes]:
        """A copy, for ``restore``."""
        return [bytes(plane) for plane in self._planes]

    def restore(self, planes: Sequence[bytes]) -> None:
        """Take over what ``planes`` gave of a frame of the same size."""
        for plane, saved in zip(self._planes, planes, strict=True):
            plane[:] = saved

    def fill(self, area: Rectangle, color: Color) -> None:
        self._fill(0, area.left, area.top, area.width, area.height, color.luma)
        for plane, value in ((1, color.blue), (2, color.red)):
            self._fill(plane, area.left // 2, area.top // 2, area.width // 2, area.height // 2, value)

    def write(self, left: int, top: int, rows: Sequence[bytes], plane: int = 0, repeat: int = 1) -> None:
        """Copy ``rows`` into one plane, each ``repeat`` times; all sizes in that plane's samples."""
        target, stride = self._planes[plane], self._strides[plane]
        start = top * stride + left
        for row in rows:
            for _ in range(repeat):
                target[start : start + len(row)] = row
                start += stride

    def _fill(self, plane: int, left: int, top: int, width: int, height: int, value: int) -> None:
        self.write(left, top, [bytes((value,)) * width], plane, height)
