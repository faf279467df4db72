"""What one viewer saw, and what a stream's numbers tell about it."""

from array import array
from dataclasses import dataclass, field
from typing import Final

MAX_MISSING: Final = 10_000
"""Numbers of one stream that are waited for; more than that were not reordered but lost."""


class StreamTally:
    """One SSRC: which packets came, which did not, and which came late."""

    __slots__ = (
        "_expected",
        "_missing",
        "duplicates",
        "last_arrival",
        "received",
        "reordered",
        "total",
        "written_off",
    )

    def __init__(self, first: int) -> None:
        self._expected = first
        self.total = 0
        """Since the beginning; the others since `restart`."""
        self.last_arrival = 0
        self.restart()

    def restart(self) -> None:
        """Begin to count anew; what was missing is not waited for any more."""
        self.received = self.reordered = self.duplicates = self.written_off = 0
        self._missing: set[int] = set()

    @property
    def lost(self) -> int:
        return len(self._missing) + self.written_off

    @property
    def highest(self) -> int:
        """The highest number so far."""
        return self._expected - 1 & 0xFFFF

    def take(self, number: int) -> None:
        """Count a packet by its sequence number."""
        if number == self._expected:
            self._expected = number + 1 & 0xFFFF
            self.received += 1
            return
        ahead = number - self._expected & 0xFFFF
        if ahead < 0x8000:
            self._skip(ahead)
            self._expected = number + 1 & 0xFFFF
            self.received += 1
        elif number in self._missing:
            self._missing.discard(number)
            self.reordered += 1
            self.received += 1
        else:
            self.duplicates += 1

    def _skip(self, count: int) -> None:
        if len(self._missing) + count > MAX_MISSING:
            self.written_off += count
            return
        self._missing.update((self._expected + step) & 0xFFFF for step in range(count))


@dataclass(slots=True)
class SubscriberFigures:
    """Times are seconds of the monotonic clock, None until then; counts are of the steady interval."""

    started_at: float | None = None
    connected_at: float | None = None
    media_at: float | None = None
    packets: int = 0
    bytes: int = 0
    retransmissions: int = 0
    """And probes: what came under an SSRC of RTX."""
    feedbacks: int = 0
    """Reports of arrivals that were sent to the server, where it numbers what it sends."""
    lost: int = 0
    reordered: int = 0
    duplicates: int = 0
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    """Seconds from a publisher's stamp to the kernel of the viewer; only of viewers that decrypt."""
    unreadable: int = 0
    """Packets that did not decrypt."""
    error: str | None = None
    """Why it was refused or ended early; None while all is well."""

    @property
    def startup_seconds(self) -> float | None:
        if self.started_at is None or self.media_at is None:
            return None
        return self.media_at - self.started_at


@dataclass(slots=True)
class PublisherFigures:
    """Counts are of the steady interval."""

    packets: int = 0
    bytes: int = 0
    keyframe_requests: int = 0
    missed: int = 0
    """Packets that the server asked for again."""
    latest: float = 0.0
    """Seconds that a frame was sent too late, at most."""
    error: str | None = None
