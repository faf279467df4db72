"""RTP timestamps of one publisher on one clock.

Rules:

* Each RTP stream counts from a random number of its own; only sender reports (RFC 3550, 6.4.1) say which
  counts belong to the same moment. Until they come, a stream is placed by the arrival of its first packet.
* Integer ticks all the way: between corrections, distances are exactly the publisher's.
* A correction moves one stream towards the others, and time never goes back. What reports and timestamps say
  is believed as long as it stays near the time of arrival; otherwise all streams are placed anew.
"""

from typing import Final
from weakref import WeakSet

from sfu.protocol.sequence import unwrap32

MAX_SKEW_SECONDS: Final = 10
"""Between a packet's place and its arrival; more is a clock that jumped, or a lie."""
TOLERANCE_SECONDS: Final = 0.005
"""What reports differ by rounding and by the sound card's own idea of a second."""

_NTP_UNITS: Final = 1 << 32
"""In a second."""


class PublisherClock:
    """The time of one publisher: ``origin_seconds`` at the arrival of its first packet."""

    def __init__(self, origin_seconds: float = 0.0) -> None:
        self.resets = 0
        self._origin_seconds = origin_seconds
        self._first_arrival: float | None = None
        self._ntp_at_zero: int | None = None
        # A publication may live for days, and each camera that is turned on again is another stream.
        self._tracks: WeakSet[TrackClock] = WeakSet()

    def track(self, clock_rate: int) -> "TrackClock":
        """The clock of another RTP stream that counts ``clock_rate`` a second, for as long as it is kept."""
        track = TrackClock(self, clock_rate)
        self._tracks.add(track)
        return track

    @property
    def track_count(self) -> int:
        """How many streams are placed on it now."""
        return len(self._tracks)

    def arrival_seconds(self, received_at: float) -> float:
        """Where the time of arrival is on this clock."""
        if self._first_arrival is None:
            self._first_arrival = received_at
        return self._origin_seconds + received_at - self._first_arrival

    def reset(self) -> None:
        """Place all streams anew, by their latest reports and the next arrival."""
        self.resets += 1
        self._ntp_at_zero = None
        for track in self._tracks:
            track.forget_place()

    def ticks_at(self, ntp: int, clock_rate: int, ticks: int) -> int:
        """Where ``ntp`` is, in ticks: the first one asked for at ``ticks``, all others relative to it."""
        if self._ntp_at_zero is None:
            self._ntp_at_zero = ntp - ticks * _NTP_UNITS // clock_rate
        return (ntp - self._ntp_at_zero) * clock_rate // _NTP_UNITS


class TrackClock:
    """One RTP stream's place on its publisher's clock."""

    def __init__(self, publisher: PublisherClock, clock_rate: int) -> None:
        self._publisher = publisher
        self._clock_rate = clock_rate
        self._tolerance = round(TOLERANCE_SECONDS * clock_rate)
        self._offset: int | None = None
        self._report: tuple[int, int] | None = None
        self._is_report_new = False
        self._last = -1

    def sender_report(self, ntp: int, rtp_timestamp: int) -> None:
        """``ntp`` is the report's 64 bits, ``rtp_timestamp`` its 32; it takes effect with the next packet."""
        # Senders that do not know the time of day report 0.
        if ntp:
            self._report = (ntp, rtp_timestamp)
            self._is_report_new = True

    def forget_place(self) -> None:
        """Begin anew with the next packet."""
        self._offset = None

    def place(self, timestamp: int, received_at: float) -> int:
        """Ticks on the publisher's clock of an unwrapped RTP ``timestamp``; always more than before."""
        arrival = round(self._publisher.arrival_seconds(received_at) * self._clock_rate)
        max_skew = MAX_SKEW_SECONDS * self._clock_rate
        if self._offset is not None and abs(timestamp + self._offset - arrival) > max_skew:
            self._publisher.reset()
        if self._offset is None:
            self._offset = arrival - timestamp
            self._is_report_new = self._report is not None
        if self._is_report_new:
            self._is_report_new = False
            self._correct(timestamp, arrival, max_skew)
        self._last = max(timestamp + self._offset, self._last + 1)
        return self._last

    def _correct(self, timestamp: int, arrival: int, max_skew: int) -> None:
        """Follow the report, if it makes sense."""
        assert self._report is not None and self._offset is not None
        ntp, rtp_timestamp = self._report
        reported = unwrap32(rtp_timestamp, timestamp)
        offset = self._publisher.ticks_at(ntp, self._clock_rate, reported + self._offset) - reported
        if abs(timestamp + offset - arrival) > max_skew:
            self._report = None
        elif abs(offset - self._offset) > self._tolerance:
            self._offset = offset
