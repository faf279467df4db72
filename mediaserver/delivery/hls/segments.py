"""Parts and segments as they are listed, and the bytes behind their names."""

from dataclasses import dataclass, field
from typing import Final

Data = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Part:
    """A partial segment, ``duration`` in seconds.

    ``is_independent`` when an independent frame is in it; a gap is a stretch of time without media.
    """

    name: str
    duration: float
    is_independent: bool
    is_gap: bool = False


@dataclass(slots=True)
class Segment:
    """A media segment, growing by parts until ``is_complete``.

    ``start`` is the media time in seconds of its first sample; ``map_name`` names its initialization segment.
    ``text`` and ``text_without_parts`` are its lines in playlists, kept once it is complete.
    """

    sequence: int
    name: str
    map_name: str
    start: float
    is_discontinuous: bool
    parts: list[Part] = field(default_factory=list)
    is_complete: bool = False
    duration: float = 0.0
    size: int = 0
    samples: int = 0
    text: str = ""
    text_without_parts: str = ""

    @property
    def is_gap(self) -> bool:
        """Whether there is no media in it at all."""
        return not self.samples

    @property
    def bitrate(self) -> float:
        return self.size * 8 / self.duration


class MediaStore:
    """The bytes of one publishing session by name, and how many they are."""

    def __init__(self) -> None:
        self.total: int = 0
        self._data: Final[dict[str, Data]] = {}

    def get(self, name: str) -> Data | None:
        return self._data.get(name)

    def put(self, name: str, data: bytes) -> None:
        self._data[name] = data
        self.total += len(data)

    def complete(self, segment: Segment) -> None:
        """Join a segment's parts into one piece, of which the parts become slices: nothing is kept twice."""
        names = [part.name for part in segment.parts if not part.is_gap]
        whole = b"".join(self._data[name] for name in names)
        view, position = memoryview(whole), 0
        for name in names:
            end = position + len(self._data[name])
            self._data[name] = view[position:end]
            position = end
        if names:
            self._data[segment.name] = whole

    def remove(self, segment: Segment) -> None:
        """Forget a segment and its parts."""
        self._data.pop(segment.name, None)
        for part in segment.parts:
            self._data.pop(part.name, None)
        self.total -= segment.size

    def discard(self, name: str) -> None:
        self.total -= len(self._data.pop(name, b""))

    def clear(self) -> None:
        """Forget everything."""
        self._data.clear()
        self.total = 0
