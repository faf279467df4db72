"""Picture numbers per consumer: they run on over layer switches, and close up over dropped pictures.

Decoders take a missing PictureID for a lost picture and wait for it, so what a consumer is not sent must not
leave a gap (RFC 7741 4.2, RFC 9628 4.2). Where pictures name those they refer to by the difference of their
PictureIDs (VP9's flexible mode), the differences have to stay, and so do the gaps.
"""

from __future__ import annotations

import struct
from typing import Protocol

from sfu.protocol.sequence import SequenceRewriter, unwrap16

_TWO_OCTETS = struct.Struct("!H")


class PictureNumbers(Protocol):
    """The part of a payload descriptor that numbers pictures; -1 and 0 say that a field is absent."""

    @property
    def flexible(self) -> bool:
        """Whether references are differences of PictureIDs."""
        ...

    picture_id: int
    picture_id_offset: int
    picture_id_size: int
    size: int
    """Of the whole descriptor."""
    tl0picidx: int
    tl0picidx_offset: int


class PictureNumberRewriter:
    """Rewrites PictureID and TL0PICIDX in place."""

    __slots__ = ("_highest_tl0", "_last_input", "_last_output", "_pictures", "_size", "_tl0_offset")

    def __init__(self) -> None:
        self._pictures: SequenceRewriter | None = None
        self._size = 0
        self._last_input = -1
        self._last_output: int | None = None
        self._tl0_offset = 0
        self._highest_tl0 = -1

    def sync(self, descriptor: PictureNumbers) -> None:
        """Let the picture of `descriptor`, the first of another stream, follow the last one sent."""
        self._last_input = -1
        if self._pictures is not None and descriptor.picture_id_size == self._size:
            self._pictures.sync(descriptor.picture_id)
        else:
            self._pictures = None
        if self._highest_tl0 >= 0 and descriptor.tl0picidx >= 0:
            self._tl0_offset = self._highest_tl0 + 1 - descriptor.tl0picidx

    def drop(self, descriptor: PictureNumbers) -> None:
        """Close the gap of a picture that is kept from the consumer; call it for each of its packets."""
        if descriptor.flexible:
            return
        if self._pictures is not None and descriptor.picture_id_size == self._size:
            self._pictures.drop(descriptor.picture_id)

    def rewrite(self, payload: bytearray | memoryview, descriptor: PictureNumbers) -> bool:
        """Overwrite the numbers in `payload`, which keeps its size.

        False: the picture was dropped, or is older than the run; its packets are not to be sent.
        """
        if descriptor.picture_id_size and not self._rewrite_picture(payload, descriptor):
            return False
        if descriptor.tl0picidx_offset >= 0:
            index = (descriptor.tl0picidx + self._tl0_offset) & 0xFF
            payload[descriptor.tl0picidx_offset] = index
            self._highest_tl0 = _newer(index, self._highest_tl0)
        return True

    def _rewrite_picture(self, payload: bytearray | memoryview, descriptor: PictureNumbers) -> bool:
        number = descriptor.picture_id
        if number != self._last_input or descriptor.picture_id_size != self._size:
            self._last_output = self._numbers_of(descriptor).rewrite(number)
            self._last_input = number
        if self._last_output is None:
            return False
        if descriptor.picture_id_size == 2:
            _TWO_OCTETS.pack_into(payload, descriptor.picture_id_offset, self._last_output | 0x8000)
        else:
            payload[descriptor.picture_id_offset] = self._last_output
        return True

    def _numbers_of(self, descriptor: PictureNumbers) -> SequenceRewriter:
        """Return the rewriter of this size of number; the first picture keeps its number."""
        if self._pictures is None or descriptor.picture_id_size != self._size:
            self._size = descriptor.picture_id_size
            self._pictures = SequenceRewriter(descriptor.picture_id, 15 if self._size == 2 else 7)
        return self._pictures


def _newer(value: int, highest: int) -> int:
    """Return the later of two numbers of 8 bits that wrap."""
    if highest < 0:
        return value
    return value if unwrap16(value << 8, highest << 8) > highest << 8 else highest
