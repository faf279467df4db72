"""The framing of RTCP packets and compounds (RFC 3550 6.1, 6.4.1)."""

from __future__ import annotations

import struct

from sfu.protocol.errors import MalformedPacket

MAX_COMPOUND_SIZE = 1500
MAX_COUNT = 31
"""Blocks, chunks or sources that fit the five bits of a header."""
SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203
RTP_FEEDBACK = 205
PAYLOAD_FEEDBACK = 206
EXTENDED_REPORT = 207

_HEADER = struct.Struct("!BBH")


def split(compound: bytes) -> list[tuple[int, int, bytes]]:
    """Return (packet type, count or format, body without padding) of each packet of a compound."""
    if not 4 <= len(compound) <= MAX_COMPOUND_SIZE:
        raise MalformedPacket(f"RTCP of {len(compound)} bytes")
    packets = []
    offset = 0
    while offset < len(compound):
        if offset + 4 > len(compound):
            raise MalformedPacket("RTCP header beyond the datagram")
        first, packet_type, words = _HEADER.unpack_from(compound, offset)
        end = offset + 4 + 4 * words
        if first >> 6 != 2 or end > len(compound):
            raise MalformedPacket("RTCP version or length is wrong")
        padding = compound[end - 1] if first & 0x20 else 0
        if first & 0x20 and not 0 < padding <= 4 * words:
            raise MalformedPacket("RTCP padding is wrong")
        packets.append((packet_type, first & 0x1F, compound[offset + 4 : end - padding]))
        offset = end
    return packets


def join(packet_type: int, count: int, body: bytes) -> bytes:
    """Return one packet; `body` is a whole number of 32-bit words."""
    if len(body) % 4:
        raise ValueError("an RTCP body is a whole number of words")
    if not 0 <= count <= MAX_COUNT:
        raise ValueError(f"an RTCP packet cannot count {count}")
    return _HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body
