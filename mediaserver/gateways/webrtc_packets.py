"""VP9 (RFC 9628) and AV1 (AV1 RTP specification, 4) samples into RTP payloads.

Receivers tell where a frame begins and what it is by these headers alone: what is made here has no header
extension that says it better.
"""

import secrets
from collections.abc import Iterator
from typing import Final

from mediaserver.gateways.rtp_av1 import leb128
from mediaserver.gateways.rtp_h264 import MAX_PAYLOAD
from mediaserver.media.codecs.av1 import OBU_SEQUENCE_HEADER, split_obus

_HAS_PICTURE_ID: Final = 0x80
_IS_PREDICTED: Final = 0x40
_BEGINS: Final = 0x08
_ENDS: Final = 0x04
_LONG_PICTURE_ID: Final = 0x8000
_VP9_DESCRIPTOR_SIZE: Final = 3

_CONTINUES: Final = 0x80
_IS_CONTINUED: Final = 0x40
_NEW_SEQUENCE: Final = 0x08
_NOT_SENT: Final = frozenset((2, 8, 15))
"""Temporal delimiters, tile lists and padding."""
_HAS_EXTENSION: Final = 0x04
_HAS_SIZE: Final = 0x02
_AV1_RECORD_HEADER: Final = 4
_SHORTEST_ELEMENT: Final = 3
"""A length of two bytes and one byte of an OBU."""


class Vp9Packetizer:
    """One layer, in non-flexible mode: every frame refers to the one before it, unless it is a keyframe."""

    def __init__(self, max_payload: int = MAX_PAYLOAD) -> None:
        self._size = max_payload - _VP9_DESCRIPTOR_SIZE
        self._picture = secrets.randbelow(_LONG_PICTURE_ID)

    def packetize(self, sample: bytes, is_keyframe: bool) -> list[bytes]:
        """Pieces of about the same size."""
        if not sample:
            return []
        self._picture = (self._picture + 1) % _LONG_PICTURE_ID
        picture = (_LONG_PICTURE_ID | self._picture).to_bytes(2, "big")
        always = _HAS_PICTURE_ID | (0 if is_keyframe else _IS_PREDICTED)
        count = -(-len(sample) // self._size)
        size = -(-len(sample) // count)
        payloads = []
        for start in range(0, len(sample), size):
            edges = (0 if start else _BEGINS) | (_ENDS if start + size >= len(sample) else 0)
            payloads.append(bytes((always | edges,)) + picture + sample[start : start + size])
        return payloads


class Av1Packetizer:
    """Temporal units in packets of which all but the last one end within an OBU.

    Receivers take a packet that begins with a whole OBU for the beginning of a frame.
    """

    def __init__(self, record: bytes, max_payload: int = MAX_PAYLOAD) -> None:
        """``record`` is the track's av1C. Raises CodecConfigError."""
        obus = split_obus(record[_AV1_RECORD_HEADER:])
        self._sequence_header = [item for item in obus if item[0] == OBU_SEQUENCE_HEADER]
        self._max_payload = max_payload

    def packetize(self, sample: bytes, is_keyframe: bool) -> list[bytes]:
        """Keyframes begin with a sequence header. Raises CodecConfigError."""
        obus = [item for item in split_obus(sample) if item[0] not in _NOT_SENT]
        if is_keyframe and not any(kind == OBU_SEQUENCE_HEADER for kind, _ in obus):
            obus = [*self._sequence_header, *obus]
        payloads: list[bytes] = []
        for flags, elements in self._fill([_without_size(obu) for _, obu in obus]):
            sequence = _NEW_SEQUENCE if is_keyframe and not payloads else 0
            payloads.append(bytes((flags | sequence,)) + elements)
        return payloads

    def _fill(self, obus: list[bytes]) -> Iterator[tuple[int, bytes]]:
        """The flags that say how packets hang together, and the elements of each packet."""
        flags = 0
        packet = bytearray()
        for index, obu in enumerate(obus):
            left, is_last = obu, index == len(obus) - 1
            while left:
                room = self._max_payload - 1 - len(packet)
                whole = len(left) + _length_size(len(left))
                if whole <= room - (0 if is_last else _SHORTEST_ELEMENT):
                    packet += leb128(len(left)) + left
                    break
                taken = min(room - _length_size(room), len(left) - 1)
                if taken > 0:
                    packet += leb128(taken) + left[:taken]
                    left = left[taken:]
                yield flags | (_IS_CONTINUED if taken > 0 else 0), bytes(packet)
                flags = _CONTINUES if taken > 0 else 0
                packet.clear()
        if packet:
            yield flags, bytes(packet)


def _without_size(obu: bytes) -> bytes:
    """A whole OBU without its size field (AV1, 5.3)."""
    start = 2 if obu[0] & _HAS_EXTENSION else 1
    if not obu[0] & _HAS_SIZE:
        return obu
    body = start
    while obu[body] & 0x80:
        body += 1
    return bytes((obu[0] & ~_HAS_SIZE,)) + obu[1:start] + obu[body + 1 :]


def _length_size(length: int) -> int:
    return max(1, (length.bit_length() + 6) // 7)
