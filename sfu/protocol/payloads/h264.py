"""H.264 over RTP (RFC 6184): whether a packet starts a keyframe."""

from __future__ import annotations

IDR = 5
SPS = 7
STAP_A = 24
FU_A = 28
MAX_AGGREGATED_UNITS = 64
"""More units than any encoder puts into one packet; the rest is not looked at."""

Buffer = bytes | bytearray | memoryview


def is_keyframe(payload: Buffer) -> bool:
    """Return whether a decoder can start at this packet: an SPS, or the first bytes of an IDR slice.

    Malformed payloads are no keyframes; the decoder is the one to judge them.
    """
    if not payload:
        return False
    unit_type = payload[0] & 0x1F
    if unit_type == STAP_A:
        return _aggregates_keyframe(payload)
    if unit_type == FU_A:
        return len(payload) > 1 and payload[1] > 0x7F and payload[1] & 0x1F in (IDR, SPS)
    return unit_type in (IDR, SPS)


def _aggregates_keyframe(payload: Buffer) -> bool:
    """RFC 6184 5.7.1: each unit follows its 16-bit size."""
    offset = 1
    for _ in range(MAX_AGGREGATED_UNITS):
        if offset + 3 > len(payload):
            return False
        size = payload[offset] << 8 | payload[offset + 1]
        if not size or offset + 2 + size > len(payload):
            return False
        if payload[offset + 2] & 0x1F in (IDR, SPS):
            return True
        offset += 2 + size
    return False
