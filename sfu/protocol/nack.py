"""What a received stream lacks: which packets to ask for again (RFC 4585 6.2.1), when, and how often."""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from sfu.protocol.sequence import unwrap16

MAX_MISSING = 1000
"""With more packets missing only a keyframe helps."""
MISSING_PER_PACKET = 4
"""How many missing packets each one that comes pays for, up to MAX_MISSING saved: else a sender that skips
hundreds of numbers with each small packet would cost more than it sends.
"""
MAX_AGE = 10_000
"""Packets this far behind the newest one are given up."""
MAX_RETRIES = 10
MAX_BATCH = 250
"""Numbers asked for at once: even without neighbours they fit one RTCP packet."""
MAX_KEYFRAMES = 64
EARLIER = 16
"""Packets overtaken by the first one of a stream are let through this far back, but not asked for."""
REORDERING_DELAY = 0.01
"""A gap younger than this is more often a reordered packet than a lost one."""
DEFAULT_ROUND_TRIP = 0.1
MINIMUM_RETRY = 0.02
RETRY_FACTOR = 1.25
"""An answer that takes a little longer than the round trip is no reason to ask twice."""

NEVER = float("inf")


class Arrival(IntEnum):
    """What a packet is to the stream; only a DUPLICATE must not be forwarded."""

    NEXT = 0
    REORDERED = 1
    REPAIRED = 2
    DUPLICATE = 3


class _Missing:
    """One packet that has not come."""

    __slots__ = ("ask_at", "retries")

    def __init__(self, ask_at: float) -> None:
        self.ask_at = ask_at
        self.retries = 0


class NackGenerator:
    """Follows the numbers of one stream; `receive` per packet, `due` at `deadline` at the latest.

    It is also the filter for duplicates: a number is let through once, since a consumer that was sent
    two packets under one number would have got two ciphertexts under one nonce.
    """

    __slots__ = (
        "_credit",
        "_credited",
        "_delay",
        "_earlier",
        "_keyframe_needed",
        "_keyframes",
        "_missing",
        "_newest",
        "_retry",
        "deadline",
        "given_up",
        "requested",
    )

    def __init__(self, delay: float = REORDERING_DELAY) -> None:
        self.requested = 0
        self.given_up = 0
        self._delay = delay
        self._retry = RETRY_FACTOR * DEFAULT_ROUND_TRIP
        self._missing: dict[int, _Missing] = {}
        self._earlier: set[int] = set()
        self._keyframes: deque[int] = deque(maxlen=MAX_KEYFRAMES)
        self._credit = MAX_MISSING
        self.reset()

    def reset(self) -> None:
        """Forget the stream: the next packet begins a new one."""
        self.deadline = NEVER
        self._newest = self._credited = -1
        self._keyframe_needed = False
        self._missing.clear()
        self._keyframes.clear()

    @property
    def missing(self) -> int:
        """How many packets are still waited for."""
        return len(self._missing)

    def set_round_trip(self, seconds: float) -> None:
        """Set how long an answer takes; it spaces the retries."""
        self._retry = max(MINIMUM_RETRY, RETRY_FACTOR * seconds)

    def receive(self, sequence_number: int, now: float, keyframe: bool = False) -> Arrival:
        """Note a packet, original or recovered by RTX; `keyframe` marks the first packet of a keyframe."""
        newest = self._newest
        distance = (sequence_number - newest) & 0xFFFF
        if distance == 1 and newest >= 0 and not keyframe:
            self._newest = newest + 1
            return Arrival.NEXT
        if newest < 0:
            # Room below for late packets, which have to stay positive.
            self._newest = self._credited = sequence_number + 0x1_0000
            self._earlier = set(range(self._newest - EARLIER, self._newest))
        elif not 0 < distance < 0x8000:
            return self._fill(unwrap16(sequence_number, newest))
        else:
            self._newest = newest + distance
            self._open_gap(newest + 1, now)
        if keyframe:
            self._keyframes.append(self._newest)
        return Arrival.NEXT

    def due(self, now: float) -> list[int]:
        """Return the numbers to ask for now, in the order of the stream; set `deadline` for the next call."""
        if now < self.deadline:
            return []
        batch: list[int] = []
        deadline = NEVER
        self._forget_before(self._newest - MAX_AGE)
        for number, entry in list(self._missing.items()):
            if entry.ask_at <= now and len(batch) < MAX_BATCH and not self._ask(number, entry, now, batch):
                continue
            deadline = min(deadline, entry.ask_at)
        self.deadline = deadline
        self.requested += len(batch)
        return batch

    def take_keyframe_needed(self) -> bool:
        """Return whether so much was lost that only a keyframe helps; say so once."""
        needed = self._keyframe_needed
        self._keyframe_needed = False
        return needed

    def _fill(self, number: int) -> Arrival:
        entry = self._missing.pop(number, None)
        if entry is None and number in self._earlier:
            self._earlier.remove(number)
            return Arrival.REORDERED
        if entry is None:
            return Arrival.DUPLICATE
        return Arrival.REPAIRED if entry.retries else Arrival.REORDERED

    def _open_gap(self, first: int, now: float) -> None:
        """Wait for the packets from `first` up to the newest one."""
        if first == self._newest:
            return
        count = self._newest - first
        if not self._pay(count, first) or not self._make_room(count):
            return
        ask_at = now + self._delay
        for number in range(first, self._newest):
            self._missing[number] = _Missing(ask_at)
        if ask_at < self.deadline:
            self.deadline = ask_at

    def _pay(self, count: int, first: int) -> bool:
        """Take `count` off the credit; what came since the last gap, and this packet, add to it."""
        came = first - self._credited
        self._credited = self._newest
        self._credit = min(MAX_MISSING, self._credit + MISSING_PER_PACKET * came)
        if count > self._credit:
            self._give_up(count)
            return False
        self._credit -= count
        return True

    def _give_up(self, count: int) -> None:
        self.given_up += len(self._missing) + count
        self._missing.clear()
        self._keyframe_needed = True

    def _make_room(self, count: int) -> bool:
        """Give up what precedes a keyframe, then everything: the picture begins anew there anyway."""
        while len(self._missing) + count > MAX_MISSING:
            if not self._keyframes:
                self._give_up(count)
                return False
            self._forget_before(self._keyframes.popleft())
        return True

    def _forget_before(self, oldest: int) -> None:
        """Numbers are added in their order, so the oldest is always the first."""
        while self._missing and (number := next(iter(self._missing))) < oldest:
            del self._missing[number]
            self.given_up += 1

    def _ask(self, number: int, entry: _Missing, now: float, batch: list[int]) -> bool:
        if entry.retries >= MAX_RETRIES:
            del self._missing[number]
            self.given_up += 1
            return False
        entry.retries += 1
        entry.ask_at = now + self._retry
        batch.append(number & 0xFFFF)
        return True
