"""A received stream: what is valid, and its loss and jitter for reports (RFC 3550 6.4, A.1, A.3, A.8)."""

from __future__ import annotations

from typing import NamedTuple

from sfu.protocol.rates import RateMeter
from sfu.protocol.sequence import unwrap32

MAX_DROPOUT = 3000
"""A jump forward by more is a restart of the sender rather than a loss."""
MAX_MISORDER = 1500
"""A jump back by more is one, too."""
MAX_ROUND_TRIP = 10.0
"""A longer one is a lie or a relic."""
NTP_FRACTION = 1 << 32
DROPPED = -1

_MAX_LOST = 0x7F_FFFF


class ReceptionReport(NamedTuple):
    """The fields of one report block (RFC 3550 6.4.1), as they go on the wire."""

    ssrc: int
    fraction_lost: int
    total_lost: int
    highest: int
    jitter: int
    last_sender_report: int
    delay: int


class SenderClock:
    """Where a stream's timestamps are on its sender's wall clock, by its last sender report."""

    __slots__ = ("_clock_rate", "_ntp", "_timestamp", "known")

    def __init__(self, clock_rate: int) -> None:
        if clock_rate <= 0:
            raise ValueError("the clock rate must be positive")
        self._clock_rate = clock_rate
        self.forget()

    def forget(self) -> None:
        """The stream was restarted: nothing is known."""
        self.known = False
        self._ntp = 0.0
        self._timestamp = 0

    def update(self, ntp: int, timestamp: int) -> None:
        """Take over a sender report's NTP time (32.32 fixed point) and RTP timestamp; 0 is no time."""
        self.known = ntp != 0
        self._ntp = ntp / NTP_FRACTION
        self._timestamp = timestamp

    def time_of(self, timestamp: int) -> float:
        """Return the NTP time in seconds at which `timestamp` was sampled."""
        distance = unwrap32(timestamp, self._timestamp) - self._timestamp
        return self._ntp + distance / self._clock_rate

    def timestamp_at(self, ntp: float) -> int:
        """Return the timestamp of this stream for an NTP time in seconds."""
        return (self._timestamp + round((ntp - self._ntp) * self._clock_rate)) & 0xFFFF_FFFF


class StreamReception:
    """Statistics of one received SSRC; `receive` per packet, `report` per RTCP interval."""

    __slots__ = (
        "_base",
        "_clock_rate",
        "_expected_prior",
        "_highest",
        "_jitter",
        "_last_report",
        "_received",
        "_received_prior",
        "_report_at",
        "_suspect",
        "_transit",
        "clock",
        "duplicates",
        "rate",
        "restarts",
        "ssrc",
    )

    def __init__(self, ssrc: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.clock = SenderClock(clock_rate)
        self.rate = RateMeter()
        self.restarts = -1
        self.duplicates = 0
        self._clock_rate = clock_rate
        self._last_report = 0
        self._report_at = 0.0
        self._highest = DROPPED
        self._base = 0
        self._received = self._received_prior = self._expected_prior = 0
        self._jitter = 0.0
        self._transit = 0
        self._suspect = -1

    def receive(self, sequence_number: int, timestamp: int, size: int, now: float) -> int:
        """Count a packet; return its unwrapped number, DROPPED for one from nowhere (RFC 3550 A.1).

        After a jump two packets in a row are a restarted sender: `restarts` grows, numbers begin anew. The
        stream's NackGenerator, PacketRing and the consumers' SimulcastForwarders have to be told.
        """
        highest = self._highest
        if highest < 0:
            highest = self._restart(sequence_number)
        distance = (sequence_number - highest) & 0xFFFF
        if distance < MAX_DROPOUT:
            number = self._highest = highest + distance
        elif distance >= 0x1_0000 - MAX_MISORDER:
            number = highest + distance - 0x1_0000
        elif sequence_number == self._suspect:
            number = self._restart(sequence_number)
        else:
            self._suspect = (sequence_number + 1) & 0xFFFF
            return DROPPED
        self._received += 1
        self.rate.add(size, now)
        self._measure_jitter(timestamp, now)
        return number

    def duplicate(self) -> None:
        """Take back the last packet: it was there before. Else duplicates would hide losses."""
        self._received -= 1
        self.duplicates += 1

    def recovered(self, size: int, now: float) -> None:
        """Count a packet that RTX brought; it says nothing about jitter, and it was lost all the same."""
        self.rate.add(size, now)

    def sender_report(self, ntp: int, timestamp: int, now: float) -> None:
        """Take over a sender report of this stream."""
        self.clock.update(ntp, timestamp)
        self._last_report = ntp >> 16 & 0xFFFF_FFFF
        self._report_at = now

    def report(self, now: float) -> ReceptionReport | None:
        """Return the next report block, None before the first packet."""
        if self._highest < 0:
            return None
        expected = self._highest - self._base + 1
        interval = expected - self._expected_prior
        lost = interval - (self._received - self._received_prior)
        self._expected_prior = expected
        self._received_prior = self._received
        fraction = min(255, (lost << 8) // interval) if interval > 0 and lost > 0 else 0
        # RFC 3550 A.3: a negative total stays negative within its 24 bits.
        total = max(-_MAX_LOST, min(_MAX_LOST, expected - self._received))
        delay = int((now - self._report_at) * 65536) if self._last_report else 0
        return ReceptionReport(
            self.ssrc,
            fraction,
            total,
            self._highest & 0xFFFF_FFFF,
            int(self._jitter),
            self._last_report,
            min(max(delay, 0), 0xFFFF_FFFF),
        )

    @property
    def jitter(self) -> float:
        """The interarrival jitter in seconds."""
        return self._jitter / self._clock_rate if self._highest >= 0 else 0.0

    @property
    def lost(self) -> int:
        """How many packets did not come by themselves."""
        return max(0, self._highest - self._base + 1 - self._received) if self._highest >= 0 else 0

    def _restart(self, sequence_number: int) -> int:
        # Room below for late packets, which have to stay positive.
        self._base = self._highest = sequence_number + 0x1_0000
        self._received = self._received_prior = self._expected_prior = 0
        self._jitter = 0.0
        self._transit = 0
        self._suspect = -1
        if self.restarts >= 0:
            self.clock.forget()
        self.restarts += 1
        return self._highest

    def _measure_jitter(self, timestamp: int, now: float) -> None:
        """RFC 3550 A.8, with transit times modulo 2**32."""
        transit = (int(now * self._clock_rate) - timestamp) & 0xFFFF_FFFF
        if self._received > 1:
            distance = (transit - self._transit) & 0xFFFF_FFFF
            if distance > 0x7FFF_FFFF:
                distance = 0x1_0000_0000 - distance
            self._jitter += (distance - self._jitter) / 16
        self._transit = transit


class RemoteReception:
    """What the receiver of a stream reported of it: loss, jitter and the round trip (RFC 3550 6.4.1)."""

    __slots__ = ("_clock_rate", "fraction_lost", "jitter", "round_trip", "total_lost")

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self.fraction_lost = 0.0
        self.total_lost = 0
        self.jitter = 0.0
        self.round_trip = 0.0

    def report(self, block: ReceptionReport, ntp_now: int) -> None:
        """Take over a report block that came at `ntp_now` (32.32 fixed point) by the clock of our reports."""
        self.fraction_lost = block.fraction_lost / 256
        self.total_lost = block.total_lost
        self.jitter = block.jitter / self._clock_rate
        measured = round_trip(ntp_now, block.last_sender_report, block.delay)
        if measured is not None:
            self.round_trip = measured


def round_trip(ntp_now: int, last_report: int, delay: int) -> float | None:
    """Return the seconds between a report of ours and its echo, None where there is none or it lies.

    `last_report` and `delay` are what a report block or a DLRR (RFC 3611 4.5) says.
    """
    if not last_report:
        return None
    elapsed = ((ntp_now >> 16) - last_report - delay) & 0xFFFF_FFFF
    # Clocks are rounded to 1/65536 s, so a local peer may answer a little before it was asked.
    if elapsed > 0xFFFF_FF00:
        return 0.0
    return elapsed / 65536 if elapsed < MAX_ROUND_TRIP * 65536 else None
