"""Parts and segments as they are kept and listed."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Part:
    """A partial segment. ``duration`` in seconds; ``is_independent`` when it begins with a keyframe."""

    name: str
    duration: float
    is_independent: bool
    data: bytes


@dataclass(slots=True)
class Segment:
    """A media segment, growing by parts until ``is_complete``.

    ``start`` is the media time in seconds of its first sample. ``map_name`` names its initialization segment,
    empty where segments need none.
    """

    sequence: int
    name: str
    map_name: str
    start: float
    is_discontinuous: bool
    is_independent: bool
    parts: list[Part] = field(default_factory=list)
    is_complete: bool = False
    is_gap: bool = False
    duration: float = 0.0
    size: int = 0
    samples: int = 0
    _data: bytes | None = None

    def append(self, part: Part, samples: int) -> None:
        self.parts.append(part)
        self.samples += samples
        self.duration += part.duration
        self.size += len(part.data)

    def compact(self) -> list[Part]:
        """Keep the whole and give up the parts, which are returned."""
        self._data = self.data
        parts, self.parts = self.parts, []
        return parts

    @property
    def data(self) -> bytes:
        """All parts together; joined when first asked for."""
        if self._data is None:
            data = b"".join(part.data for part in self.parts)
            if not self.is_complete:
                return data
            self._data = data
        return self._data
