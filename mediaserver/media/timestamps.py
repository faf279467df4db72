"""Time as publishers tell it, made fit for use: unwrapped, monotonic, and exact where samples allow.

Rules:

* Everything is integer arithmetic on what arrived; no clock is read.
* A jump moves all tracks of a publisher by the same amount, so audio and video stay in step.
* What comes out never goes back by more than packets interleave, and a track's dts always rises.
"""

from typing import Final

WRAP: Final = 1 << 31
"""RTMP wraps at 2**32 ms and some encoders at 2**31, which divides it: one rule for both."""
MAX_FORWARD_MS: Final = 10_000
MAX_BACKWARD_MS: Final = 1_000
MIN_RESUME_GAP_MS: Final = 100
"""Between two publishers, so that the last frame of the first one is over."""
CORRECTION_FRAMES: Final = 64
"""A drift is led back by this fraction of it per frame: inaudible, yet faster than sound cards drift."""


class TimestampUnwrapper:
    """32-bit milliseconds to 64 bits, by the shorter way round."""

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrap(self, timestamp: int) -> int:
        """Takes a timestamp modulo 2**32 or 2**31; steps of up to 12 days either way come out as they are."""
        last = timestamp if self._last is None else self._last
        self._last = last + (timestamp - last + WRAP // 2) % WRAP - WRAP // 2
        return self._last


class Timeline:
    """The output time of one stream, in ms, over all its tracks and all its publishers in turn.

    After a jump, tracks cross over one by one: packets of the old time still arrive between those of the new.
    So each track keeps its own offset until the common one fits it better.
    """

    def __init__(self) -> None:
        self.repairs = 0
        self._offset: int | None = None
        self._latest = -1
        self._offset_by_track: dict[int, int] = {}
        self._latest_by_track: dict[int, int] = {}

    def resume(self, gap_ms: int) -> None:
        """Another publisher goes on: its first packet comes ``gap_ms`` after the last one of the old."""
        if self._latest >= 0:
            self._latest += max(gap_ms, MIN_RESUME_GAP_MS)
        self._offset = None
        self._offset_by_track.clear()
        self._latest_by_track.clear()

    def place(self, track_id: int, timestamp: int) -> int:
        """Where a packet with the unwrapped ``timestamp`` stands; moves the offset when the clock jumped."""
        latest = self._latest
        if self._offset is None:
            self._offset = max(latest, 0) - timestamp
        placed = timestamp + self._offset
        own_offset = self._offset_by_track.get(track_id, self._offset)
        if own_offset != self._offset and abs(timestamp + own_offset - latest) < abs(placed - latest):
            placed = timestamp + own_offset
        earliest = self._latest_by_track.get(track_id, latest - MAX_FORWARD_MS) - MAX_BACKWARD_MS
        if placed > latest + MAX_FORWARD_MS or placed < earliest:
            placed = latest + 1
            self._offset = placed - timestamp
            self.repairs += 1
        self._offset_by_track[track_id] = placed - timestamp
        placed = max(placed, 0)
        self._latest_by_track[track_id] = placed
        self._latest = max(latest, placed)
        return placed


class TickClock:
    """One track's dts in ticks of its clock.

    Milliseconds are too coarse for audio: a frame of 1024 samples at 44.1 kHz lasts 23.2 of them, and players
    hear the rounding. So samples are counted, and the timestamps tell how far to trust the count: within
    rounding it is exact, within a tenth of a second it is led back by a few ticks per frame, and beyond that
    something is missing and the clock is set anew.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._rounding = clock_rate // 500
        self._tolerance = clock_rate // 10
        self._next: int | None = None
        self._last = -1

    def ticks(self, milliseconds: int, duration: int = 0) -> int:
        """dts of a packet at ``milliseconds``; ``duration`` in ticks, 0 where only the next one tells it."""
        ticks = milliseconds * self._clock_rate // 1000
        if self._next is not None and abs(ticks - self._next) <= self._tolerance:
            ticks = self._next + self._correction(ticks - self._next)
        ticks = max(ticks, self._last + 1)
        self._last = ticks
        self._next = ticks + duration if duration else None
        return ticks

    def _correction(self, error: int) -> int:
        if abs(error) <= self._rounding:
            return 0
        return (abs(error) - self._rounding) // CORRECTION_FRAMES * (1 if error > 0 else -1)
