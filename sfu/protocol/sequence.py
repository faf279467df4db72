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
    """Maps incoming to outgoing numbers by an offset: losses stay visible, drops do not."""

    __slots__ = (
        "_dropped",
        "_first_output",
        "_floor",
        "_highest_input",
        "_highest_output",
        "_offset",
        "_started",
    )

    def __init__(self, first_output: int) -> None:
        # Below 2**15 a loss of the first packets cannot mislead SRTP's rollover counter (RFC 3711 3.3.1).
        if not 0 <= first_output < 0x8000:
            raise ValueError("the first outgoing sequence number must be below 32768")
        self._first_output = first_output
        self._highest_output = first_output - 1
        self._highest_input = 0
        self._floor = 0
        self._offset = 0
        self._dropped: list[int] = []
        self._started = False

    def sync(self, sequence_number: int) -> None:
        """Start a new run of input (another layer): `sequence_number` follows the highest output so far."""
        self._started = True
        self._highest_input = self._floor = sequence_number
        self._offset = self._highest_output + 1 - sequence_number
        self._dropped.clear()

    def drop(self, sequence_number: int) -> None:
        """Close the gap that a packet kept from the consumer would leave.

        A packet older than the newest one leaves a gap: its successors' numbers have been used already.
        """
        if not self._started:
            return
        number = unwrap16(sequence_number, self._highest_input)
        unused = self._highest_output < self._output_of(self._highest_input)
        if number > self._highest_input or (
            number == self._highest_input and unused and not self._is_dropped(number)
        ):
            self._highest_input = number
            self._dropped.append(number)
            self._forget()

    def rewrite(self, sequence_number: int) -> int | None:
        """Return the outgoing number, or None for a packet that was dropped or is from before the run."""
        if not self._started:
            self.sync(sequence_number)
        number = unwrap16(sequence_number, self._highest_input)
        if number < self._floor or self._is_dropped(number):
            return None
        output = self._output_of(number)
        if output < self._first_output:
            return None
        if number > self._highest_input:
            self._highest_input = number
            self._forget()
        if output > self._highest_output:
            self._highest_output = output
        return output & 0xFFFF

    def _is_dropped(self, number: int) -> bool:
        position = bisect_left(self._dropped, number)
        return position < len(self._dropped) and self._dropped[position] == number

    def _output_of(self, number: int) -> int:
        return number + self._offset - bisect_right(self._dropped, number)

    def _forget(self) -> None:
        """Fold drops that are too old into the offset, which keeps the list short."""
        oldest = self._highest_input - HISTORY
        if self._dropped and self._dropped[0] < oldest:
            count = bisect_left(self._dropped, oldest)
            self._offset -= count
            del self._dropped[:count]
        self._floor = max(self._floor, oldest)
