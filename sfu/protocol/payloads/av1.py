"""AV1 over RTP (AV1 RTP specification 4): the aggregation header, and whether a packet starts a keyframe."""

from __future__ import annotations

SEQUENCE_HEADER = 1
TEMPORAL_DELIMITER = 2
MAX_UNITS = 64
"""More units than any encoder puts before a sequence header; the rest is not looked at."""
MAX_LENGTH_OCTETS = 4
"""A leb128 length of more octets is beyond any packet."""

Buffer = bytes | bytearray | memoryview


def is_keyframe(payload: Buffer) -> bool:
    """Return whether a decoder can start at this packet: the first of a coded video sequence.

    Malformed payloads are no keyframes; the decoder is the one to judge them.
    """
    if len(payload) < 2 or payload[0] & 0x80:
        return False
    # Not every encoder sets N, but a sequence header opens every sequence (4.4, AV1 7.5).
    return bool(payload[0] & 0x08) or _opens_with_sequence_header(payload)


def _opens_with_sequence_header(payload: Buffer) -> bool:
    """Skip units until a sequence header, or one that comes after where it would be."""
    without_length = payload[0] >> 4 & 0x03
    offset = 1
    for unit in range(1, MAX_UNITS):
        size = len(payload) - offset
        if unit != without_length:
            size, offset = _read_length(payload, offset)
        if size < 1 or offset + size > len(payload):
            return False
        unit_type = payload[offset] >> 3 & 0x0F
        if unit_type != TEMPORAL_DELIMITER:
            return unit_type == SEQUENCE_HEADER
        offset += size
    return False


def _read_length(payload: Buffer, offset: int) -> tuple[int, int]:
    """Return a leb128 and where it ends; 0 where it does not fit."""
    value = 0
    for position in range(min(MAX_LENGTH_OCTETS, len(payload) - offset)):
        octet = payload[offset + position]
        value |= (octet & 0x7F) << 7 * position
        if octet < 0x80:
            return value, offset + position + 1
    return 0, offset
