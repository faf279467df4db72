"""The receiver's side of transport-wide congestion control: which packets came when.

The format of the RTCP packet is draft-holmer-rmcat-transport-wide-cc-extensions-01 3.1; here are its
contents and its timing only.
"""

from __future__ import annotations

from typing import NamedTuple

INTERVAL = 100_000
MIN_INTERVAL = 50_000
MAX_INTERVAL = 250_000
MAX_PACKETS = 400
"""So many packets with a delta of two bytes each and their status chunks stay below 1,200 bytes."""
MAX_JUMP = 1_000
"""A gap of more sequence numbers is a sender that started anew, not a loss that is worth reporting."""
FREE_SPAN = 64
SPAN_PER_PACKET = 4
"""Since the last feedback the numbers may have moved on by FREE_SPAN, and so many more per packet that came
since the feedback before it: each lost number is to be written down, so a sender must not have them for free.
"""
MAX_BACK = 500
"""Packets that come later than so many numbers after their turn are not reported any more."""
MAX_DELTA = 8_000_000
"""The format holds differences of at most 8.19 s between the arrivals of two packets."""
FEEDBACK_SHARE = 0.05
FEEDBACK_BITS = 68 * 8
"""What a usual feedback takes on the wire, addresses included."""


class Feedback(NamedTuple):
    """One feedback packet: consecutive sequence numbers (modulo 2**16), at least one of which arrived."""

    counter: int
    packets: list[tuple[int, int | None]]


class FeedbackGenerator:
    """Collects arrivals of one transport; `take` returns what is due to be told to the sender."""

    __slots__ = (
        "_arrivals",
        "_before",
        "_counter",
        "_highest",
        "_interval",
        "_next",
        "_received",
        "_start",
        "_taken",
    )

    def __init__(self, now: int) -> None:
        self._arrivals: dict[int, int] = {}
        self._highest: int | None = None
        self._next = 0
        self._start = 0
        self._before = 0
        self._received = 0
        self._counter = 0
        self._interval = INTERVAL
        self._taken = now

    def received(self, sequence: int, now: int) -> None:
        """Note that the packet with the transport-wide number `sequence` arrived."""
        self._received += 1
        highest = self._highest
        if highest is None:
            self._restart(sequence, now)
            return
        number = highest + ((sequence - highest + 0x8000) & 0xFFFF) - 0x8000
        if number > highest:
            if number - highest > 1 and self._is_too_far(number, highest):
                self._restart(number, now)
                return
            self._highest = number
        elif number < highest - MAX_BACK or number in self._arrivals:
            return
        if number < self._next:
            # A late packet: what was reported as lost is reported again, with it.
            self._next = number
        self._arrivals[number] = now

    def _is_too_far(self, number: int, highest: int) -> bool:
        span = FREE_SPAN + SPAN_PER_PACKET * (self._before + self._received)
        return number - highest > MAX_JUMP or number - self._start > span

    def set_rate(self, received_bitrate: int) -> None:
        """Adapt the interval, so that the feedback takes about 5 % of what is received."""
        share = max(received_bitrate, 1) * FEEDBACK_SHARE
        self._interval = round(min(MAX_INTERVAL, max(MIN_INTERVAL, FEEDBACK_BITS * 1_000_000 / share)))

    def due(self, now: int) -> bool:
        """Tell whether it is time to call `take`."""
        highest = self._highest
        if highest is None or highest < self._next:
            return False
        return now - self._taken >= self._interval or self._received >= MAX_PACKETS

    def take(self, now: int) -> list[Feedback]:
        """Return everything that was not reported yet, as few packets as hold it."""
        self._taken = now
        self._before, self._received = self._received, 0
        feedbacks: list[Feedback] = []
        packets: list[tuple[int, int | None]] = []
        highest = -1 if self._highest is None else self._highest
        base: int | None = None
        for number in range(self._next, highest + 1):
            arrival = self._arrivals.get(number)
            too_far = arrival is not None and base is not None and abs(arrival - base) > MAX_DELTA
            if too_far or len(packets) >= MAX_PACKETS:
                # Without an arrival there is no reference time: so many losses alone are not reported.
                if base is not None:
                    feedbacks.append(self._feedback(packets))
                packets = []
                base = None
            if base is None:
                base = arrival
            packets.append((number & 0xFFFF, arrival))
        if packets:
            feedbacks.append(self._feedback(packets))
        self._next = self._start = max(self._next, highest + 1)
        self._forget(highest - MAX_BACK)
        return feedbacks

    def _feedback(self, packets: list[tuple[int, int | None]]) -> Feedback:
        counter = self._counter
        self._counter = (counter + 1) & 0xFF
        return Feedback(counter, packets)

    def _forget(self, oldest: int) -> None:
        if len(self._arrivals) > MAX_BACK:
            self._arrivals = {number: at for number, at in self._arrivals.items() if number >= oldest}

    def _restart(self, number: int, now: int) -> None:
        self._highest = self._next = self._start = number
        self._arrivals = {number: now}
