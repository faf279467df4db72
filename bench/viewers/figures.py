"""What one viewer saw, whatever its protocol."""

from array import array
from dataclasses import dataclass, field
from typing import Final

STALL_SECONDS: Final = 1.0
"""A continuous stream that brings nothing for this long has stalled: no player buffers much more live."""


@dataclass(slots=True)
class ViewerFigures:
    """Times are seconds of the monotonic clock, None until then. ``restart`` begins all counts anew."""

    started_at: float | None = None
    media_at: float | None = None
    """First media that is more than headers."""
    last_at: float = 0.0
    bytes: int = 0
    longest_silence: float = 0.0
    stalls: int = 0
    gaps: int = 0
    lost_frames: int = 0
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    """Seconds, only from viewers that look for stamps."""
    hold_back: float | None = None
    """Seconds an HLS player stays behind the live edge by the playlist's word."""
    error: str | None = None
    """Why it was refused or ended early; None while all is well."""

    @property
    def startup_seconds(self) -> float | None:
        if self.started_at is None or self.media_at is None:
            return None
        return self.media_at - self.started_at

    def arrived(self, count: int, now: float) -> None:
        """Media of ``count`` bytes came at ``now``; silence counts from the first on."""
        self.bytes += count
        silence = now - (self.last_at or now)
        self.last_at = now
        if silence > self.longest_silence:
            self.longest_silence = silence
        if silence > STALL_SECONDS:
            self.stalls += 1

    def restart(self, now: float) -> None:
        """Begin the steady interval: what came before counts only for the start-up time."""
        self.bytes = self.stalls = self.gaps = self.lost_frames = 0
        self.longest_silence = 0.0
        self.latencies = array("d")
        if self.media_at is None:
            self.last_at = now

    def finish(self, now: float) -> None:
        """End the steady interval: a viewer left without media until now has stalled, too."""
        self.arrived(0, now)
