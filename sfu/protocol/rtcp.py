"""RTCP feedback (RFC 3550 6, RFC 4585, RFC 5104): the framing of compound packets, NACK, PLI and FIR."""

from __future__ import annotations

import struct

from sfu.protocol.errors import MalformedPacket

MAX_COMPOUND_SIZE = 1500
MAX_NACK_NUMBERS = 1024
"""More lost packets than this in one NACK are beyond repair by retransmission."""
RTP_FEEDBACK = 205
PAYLOAD_FEEDBACK = 206
NACK = 1
PLI = 1
FIR = 4

_HEADER = struct.Struct("!BBH")
_FEEDBACK = struct.Struct("!LL")
_PAIR = struct.Struct("!HH")
_FIR_ENTRY = struct.Struct("!LB3x")


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
    return _HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body


def read_feedback(body: bytes) -> tuple[int, int, bytes]:
    """Return sender SSRC, media SSRC and control information of a feedback body (RFC 4585 6.1)."""
    if len(body) < 8:
        raise MalformedPacket("RTCP feedback too short")
    sender, media = _FEEDBACK.unpack_from(body)
    return sender, media, body[8:]


def read_nack(information: bytes) -> list[int]:
    """Return the lost sequence numbers (RFC 4585 6.2.1), at most MAX_NACK_NUMBERS."""
    if not information or len(information) % 4:
        raise MalformedPacket("NACK is no whole number of entries")
    lost: list[int] = []
    for first, mask in _PAIR.iter_unpack(information):
        lost.append(first)
        lost.extend((first + bit + 1) & 0xFFFF for bit in range(16) if mask >> bit & 1)
        if len(lost) > MAX_NACK_NUMBERS:
            raise MalformedPacket("NACK of too many packets")
    return lost


def nack(sender: int, media: int, lost: list[int]) -> bytes:
    """Return a NACK for `lost`, which is in the order of the stream."""
    entries: list[list[int]] = []
    for number in lost:
        distance = (number - entries[-1][0]) & 0xFFFF if entries else 0
        if entries and 0 < distance <= 16:
            entries[-1][1] |= 1 << (distance - 1)
        elif not entries or distance:
            entries.append([number, 0])
    information = b"".join(_PAIR.pack(first, mask) for first, mask in entries)
    return join(RTP_FEEDBACK, NACK, _FEEDBACK.pack(sender, media) + information)


def pli(sender: int, media: int) -> bytes:
    """Return a picture loss indication (RFC 4585 6.3.1)."""
    return join(PAYLOAD_FEEDBACK, PLI, _FEEDBACK.pack(sender, media))


def read_fir(information: bytes) -> list[tuple[int, int]]:
    """Return (SSRC, command number) of each entry of a full intra request (RFC 5104 4.3.1)."""
    if not information or len(information) % 8:
        raise MalformedPacket("FIR is no whole number of entries")
    return list(_FIR_ENTRY.iter_unpack(information))
