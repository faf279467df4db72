"""Time as publishers tell it, made fit for use: unwrapped, monotonic, and exact where samples allow.

Rules:

* Everything is integer arithmetic on what arrived; no clock is read.
* All tracks of a publisher share one offset. A jump moves it for all, so audio and video stay in step.
* What comes out never goes back by more than packets interleave, and a track's dts always rises.
"""

from typing import Final

WRAP: Final = 1 << 32
HALF_WRAP: Final = 1 << 31
WRAP_SLACK_MS: Final = 60_000
MAX_FORWARD_MS: Final = 10_000
MAX_BACKWARD_MS: Final = 1_000


class TimestampUnwrapper:
    """32-bit milliseconds to 64 bits, by the shorter way round."""

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrap(self, timestamp: int) -> int:
        """Takes a timestamp modulo 2**32. Some encoders wrap at 2**31: a step back of nearly that is one."""
        last = self._last
        if last is None:
            self._last = timestamp
            return timestamp
        step = (timestamp - last + HALF_WRAP) % WRAP - HALF_WRAP
        if step <= WRAP_SLACK_MS - HALF_WRAP and last % WRAP < HALF_WRAP:
            step += HALF_WRAP
        self._last = last + step
        return self._last


class Timeline:
    """The output time of one stream, in ms, over all its tracks and all its publishers in turn."""

    def __init__(self) -> None:
        self.repairs = 0
        self._offset: int | None = None
        self._latest = -1
        self._latest_by_track: dict[int, int] = {}

    def resume(self, gap_ms: int) -> None:
        """Another publisher goes on: its first packet comes ``gap_ms`` after the last one of the old."""
        if self._latest >= 0:
            self._latest += max(gap_ms, 1)
        self._offset = None
        self._latest_by_track.clear()

    def place(self, track_id: int, timestamp: int) -> int:
        """Where a packet with the unwrapped ``timestamp`` stands; moves the offset when the clock jumped."""
        if self._offset is None:
            self._offset = max(self._latest, 0) - timestamp
        placed = timestamp + self._offset
        previous = self._latest_by_track.get(track_id, placed)
        if placed > self._latest + MAX_FORWARD_MS or placed < previous - MAX_BACKWARD_MS:
            self._offset += self._latest + 1 - placed
            placed = self._latest + 1
            self.repairs += 1
        placed = max(placed, 0)
        self._latest_by_track[track_id] = placed
        self._latest = max(self._latest, placed)
        return placed


class TickClock:
    """One track's dts in ticks of its clock.

    Milliseconds are too coarse for audio: a frame of 1024 samples at 44.1 kHz lasts 23.2 of them, and players
    hear the rounding. As long as the timestamps agree with the count of samples, the count is what counts.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._next: int | None = None
        self._last = -1

    def ticks(self, milliseconds: int, duration: int = 0) -> int:
        """dts of a packet at ``milliseconds``; ``duration`` in ticks, 0 where only the next one tells it."""
        told = milliseconds * self._clock_rate // 1000
        ticks = told
        if self._next is not None and abs(told - self._next) <= max(duration, self._clock_rate // 50):
            ticks = self._next
        ticks = max(ticks, self._last + 1)
        self._last = ticks
        self._next = ticks + duration if duration else None
        return ticks
