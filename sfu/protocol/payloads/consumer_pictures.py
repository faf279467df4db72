"""The picture numbers of one consumer, as the forwarding loop and retransmission use them.

`rewrite` returns what it wrote as one number below 2**32, for the history of what was sent: an RTX packet
must carry the same picture numbers as the packet it repeats, and `restore` writes them again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.payloads import vp8, vp9
from sfu.protocol.payloads.picture_numbers import PictureNumberRewriter, PictureNumbers

_WRITTEN = 1 << 31
_TL0_SHIFT = 16
_TWO_OCTETS = struct.Struct("!H")

Parse = Callable[[bytes | bytearray | memoryview], PictureNumbers]


class ConsumerPictures:
    """Numbers the pictures that one consumer gets; no method raises for what a packet holds."""

    __slots__ = ("_input", "_output", "_parse", "_rewriter", "_size", "_written")

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self._rewriter = PictureNumberRewriter()
        # The last descriptor and what became of it: the packets of one picture mostly have the same.
        self._input = self._output = b""
        self._size = self._written = 0

    def sync(self, payload: bytes | memoryview) -> None:
        """Let the picture of `payload`, the first of another stream, follow the last one sent."""
        self._size = 0
        found = self._descriptor(payload)
        if found is not None:
            self._rewriter.sync(found)

    def drop(self, payload: bytes | memoryview) -> None:
        """Close the gap of a picture that is kept from the consumer; call it for each of its packets."""
        self._size = 0
        found = self._descriptor(payload)
        if found is not None:
            self._rewriter.drop(found)

    def rewrite(self, buffer: bytearray, start: int, end: int) -> int:
        """Rewrite the payload between `start` and `end`; 0 where it has no numbers, or keeps its own."""
        after = start + self._size
        if start < after < end and buffer[start:after] == self._input:
            buffer[start:after] = self._output
            return self._written
        return self._rewrite_any(memoryview(buffer)[start:end])

    def _rewrite_any(self, payload: memoryview) -> int:
        self._size = 0
        found = self._descriptor(payload)
        if found is None:
            return 0
        before = bytes(payload[: found.size])
        if not self._rewriter.rewrite(payload, found):
            return 0
        self._size, self._input, self._output = found.size, before, bytes(payload[: found.size])
        self._written = _numbers(payload, found)
        return self._written

    def restore(self, buffer: bytearray, start: int, end: int, written: int) -> None:
        """Write what `rewrite` returned for the same packet into a fresh copy of its payload."""
        payload = memoryview(buffer)[start:end]
        found = self._descriptor(payload) if written & _WRITTEN else None
        if found is None:
            return
        if found.picture_id_size == 2:
            _TWO_OCTETS.pack_into(payload, found.picture_id_offset, written & 0x7FFF | 0x8000)
        elif found.picture_id_size:
            payload[found.picture_id_offset] = written & 0x7F
        if found.tl0picidx_offset >= 0:
            payload[found.tl0picidx_offset] = written >> _TL0_SHIFT & 0xFF

    def _descriptor(self, payload: bytes | memoryview) -> PictureNumbers | None:
        try:
            return self._parse(payload)
        except MalformedPacket:
            return None


def _numbers(payload: memoryview, found: PictureNumbers) -> int:
    """Return the numbers that are in `payload` now."""
    picture = index = 0
    if found.picture_id_size == 2:
        picture = _TWO_OCTETS.unpack_from(payload, found.picture_id_offset)[0] & 0x7FFF
    elif found.picture_id_size:
        picture = payload[found.picture_id_offset]
    if found.tl0picidx_offset >= 0:
        index = payload[found.tl0picidx_offset]
    return _WRITTEN | index << _TL0_SHIFT | picture


def consumer_pictures(mime_type: str) -> ConsumerPictures | None:
    """Return the numbering for a consumer of this codec; None for codecs whose payload numbers nothing."""
    if mime_type.lower() == "video/vp8":
        return ConsumerPictures(vp8.parse)
    if mime_type.lower() == "video/vp9":
        return ConsumerPictures(vp9.parse)
    return None
