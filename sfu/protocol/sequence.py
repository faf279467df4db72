"""Sequence numbers: unwrapping (RFC 3711 3.3.1) and the contiguous numbering of what a consumer gets."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

HISTORY = 4096
"""Dropped numbers are told apart this far behind the newest packet; older packets are not forwarded."""


def unwrap16(value: int, reference: int) -> int:
    """Return the number congruent to `value` modulo 2**16 that is nearest to `reference`."""
    return reference + ((value - reference + 0x8000) & 0xFFFF) - 0x8000


def unwrap32(value: int, reference: int) -> int:
    """Return the number congruent to `value` modulo 2**32 that is nearest to `reference`."""
    return reference + ((value - reference + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


class SequenceRewriter:
    """Maps incoming to outgoing numbers by an offset: losses stay visible, drops do not.

    Numbers have 16 bits, or the fewer of a codec's picture numbers.
    """

    __slots__ = (
        "_dropped",
        "_first_output",
        "_floor",
        "_half",
        "_highest_input",
        "_highest_output",
        "_history",
        "_mask",
        "_next_input",
        "_offset",
        "_shift",
        "_started",
    )

    def __init__(self, first_output: int, bits: int = 16) -> None:
        # Below 2**15 a loss of the first packets cannot mislead SRTP's rollover counter (RFC 3711 3.3.1).
        if not 0 <= first_output < 0x8000:
            raise ValueError("the first outgoing sequence number must be below 32768")
        self._mask = (1 << bits) - 1
        self._half = 1 << (bits - 1)
        self._history = min(HISTORY, self._half // 2)
        self._first_output = first_output
        self._highest_output = first_output - 1
        self._highest_input = 0
        self._floor = 0
        self._offset = 0
        self._dropped: list[int] = []
        self._started = False
        self._next_input = -1
        self._shift = 0

    def sync(self, sequence_number: int) -> None:
        """Start a new run of input (another layer): `sequence_number` follows the highest output so far."""
        self._catch_up()
        self._started = True
        self._highest_input = self._floor = sequence_number
        self._offset = self._highest_output + 1 - sequence_number
        self._dropped.clear()
        # The first number of a run has not been used: only `rewrite` may expect its successor.
        self._next_input = -1

    def drop(self, sequence_number: int) -> None:
        """Close the gap that a packet kept from the consumer would leave.

        A packet older than the newest one leaves a gap: its successors' numbers have been used already.
        """
        if not self._started:
            return
        self._catch_up()
        number = self._unwrap(sequence_number)
        unused = self._highest_output < self._output_of(self._highest_input)
        if number > self._highest_input or (
            number == self._highest_input and unused and not self._is_dropped(number)
        ):
            self._highest_input = number
            self._dropped.append(number)
            self._forget()
        self._expect_next()

    def rewrite(self, sequence_number: int) -> int | None:
        """Return the outgoing number, or None for a packet that was dropped or is from before the run."""
        if sequence_number == self._next_input:
            # Nearly every packet: nothing at or after it was used or dropped, so the shift is all there is.
            self._next_input = sequence_number + 1
            return sequence_number + self._shift & self._mask
        return self._rewrite_any(sequence_number)

    def _rewrite_any(self, sequence_number: int) -> int | None:
        if self._started:
            self._catch_up()
        else:
            self.sync(sequence_number)
        number = self._unwrap(sequence_number)
        output = self._output_of(number)
        usable = number >= self._floor and output >= self._first_output and not self._is_dropped(number)
        if usable and number > self._highest_input:
            self._highest_input = number
            self._forget()
        if usable and output > self._highest_output:
            self._highest_output = output
        self._expect_next()
        return output & self._mask if usable else None

    def _expect_next(self) -> None:
        """Prepare the fast way; past the mask it ends, so that `_catch_up` never spans a whole cycle."""
        self._next_input = (self._highest_input & self._mask) + 1
        self._shift = self._offset - len(self._dropped)

    def _catch_up(self) -> None:
        """Take in what went the fast way."""
        passed = self._next_input - 1 - (self._highest_input & self._mask)
        if self._next_input < 0 or not passed:
            return
        self._highest_input += passed
        self._highest_output = self._highest_input + self._shift
        self._forget()

    def _unwrap(self, value: int) -> int:
        reference = self._highest_input
        return reference + ((value - reference + self._half) & self._mask) - self._half

    def _is_dropped(self, number: int) -> bool:
        position = bisect_left(self._dropped, number)
        return position < len(self._dropped) and self._dropped[position] == number

    def _output_of(self, number: int) -> int:
        return number + self._offset - bisect_right(self._dropped, number)

    def _forget(self) -> None:
        """Fold drops that are too old into the offset, which keeps the list short."""
        oldest = self._highest_input - self._history
        if self._dropped and self._dropped[0] < oldest:
            count = bisect_left(self._dropped, oldest)
            self._offset -= count
            del self._dropped[:count]
        self._floor = max(self._floor, oldest)
