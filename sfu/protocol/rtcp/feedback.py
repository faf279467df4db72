"""Feedback to senders: NACK and PLI (RFC 4585), FIR (RFC 5104), REMB (draft-alvestrand-rmcat-remb-03)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.rtcp.framing import PAYLOAD_FEEDBACK, RTP_FEEDBACK, join

MAX_NACK_NUMBERS = 1024
"""More lost packets than this in one NACK are beyond repair by retransmission."""
NACK = 1
PLI = 1
FIR = 4
APPLICATION_LAYER = 15
MAX_BITRATE = (1 << 63) - 1
"""What the 18 bits and 6 bits of exponent could say beyond this is no bitrate."""

_FEEDBACK = struct.Struct("!LL")
_PAIR = struct.Struct("!HH")
_FIR_ENTRY = struct.Struct("!LB3x")
_REMB = struct.Struct("!4sL")
_REMB_NAME = b"REMB"


def read_feedback(body: bytes) -> tuple[int, int, bytes]:
    """Return sender SSRC, media SSRC and control information of a feedback body (RFC 4585 6.1)."""
    if len(body) < 8:
        raise MalformedPacket("RTCP feedback too short")
    sender, media = _FEEDBACK.unpack_from(body)
    return sender, media, body[8:]


def write_feedback(packet_type: int, kind: int, sender: int, media: int, information: bytes = b"") -> bytes:
    """Return a feedback packet of format `kind`."""
    return join(packet_type, kind, _FEEDBACK.pack(sender, media) + information)


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


def nack(sender: int, media: int, lost: Sequence[int]) -> bytes:
    """Return a NACK for `lost`, which is in the order of the stream."""
    entries: list[list[int]] = []
    for number in lost:
        distance = (number - entries[-1][0]) & 0xFFFF if entries else 0
        if entries and 0 < distance <= 16:
            entries[-1][1] |= 1 << (distance - 1)
        elif not entries or distance:
            entries.append([number, 0])
    information = b"".join(_PAIR.pack(first, mask) for first, mask in entries)
    return write_feedback(RTP_FEEDBACK, NACK, sender, media, information)


def pli(sender: int, media: int) -> bytes:
    """Return a picture loss indication (RFC 4585 6.3.1)."""
    return write_feedback(PAYLOAD_FEEDBACK, PLI, sender, media)


def read_fir(information: bytes) -> list[tuple[int, int]]:
    """Return (SSRC, command number) of each entry of a full intra request (RFC 5104 4.3.1)."""
    if not information or len(information) % 8:
        raise MalformedPacket("FIR is no whole number of entries")
    return list(_FIR_ENTRY.iter_unpack(information))


@dataclass(frozen=True, slots=True)
class Nack:
    """Packets of `media` that `sender` misses, in the order of the stream."""

    sender: int
    media: int
    lost: tuple[int, ...]

    def serialize(self) -> bytes:
        """Return the packet."""
        return nack(self.sender, self.media, self.lost)


@dataclass(frozen=True, slots=True)
class PictureLossIndication:
    """`sender` cannot decode `media` before its next keyframe."""

    sender: int
    media: int

    def serialize(self) -> bytes:
        """Return the packet."""
        return pli(self.sender, self.media)


@dataclass(frozen=True, slots=True)
class FullIntraRequest:
    """Orders for keyframes as (SSRC, command number); a repeated number is the same order."""

    sender: int
    entries: tuple[tuple[int, int], ...]

    def serialize(self) -> bytes:
        """Return the packet; its media SSRC is unused and zero (RFC 5104 4.3.1.2)."""
        information = b"".join(_FIR_ENTRY.pack(ssrc, number & 0xFF) for ssrc, number in self.entries)
        return write_feedback(PAYLOAD_FEEDBACK, FIR, self.sender, 0, information)


@dataclass(frozen=True, slots=True)
class ReceiverEstimatedMaximumBitrate:
    """What `sender` can receive of `sources` together, in bits per second."""

    sender: int
    bitrate: int
    sources: tuple[int, ...]

    def serialize(self) -> bytes:
        """Return the packet; the bitrate keeps its 18 highest bits."""
        if len(self.sources) > 255 or not 0 <= self.bitrate <= MAX_BITRATE:
            raise ValueError("a REMB names at most 255 sources, and a bitrate")
        exponent = max(self.bitrate.bit_length() - 18, 0)
        packed = len(self.sources) << 24 | exponent << 18 | self.bitrate >> exponent
        information = _REMB.pack(_REMB_NAME, packed) + struct.pack(f"!{len(self.sources)}L", *self.sources)
        return write_feedback(PAYLOAD_FEEDBACK, APPLICATION_LAYER, self.sender, 0, information)

    @classmethod
    def read(cls, sender: int, information: bytes) -> ReceiverEstimatedMaximumBitrate | None:
        """Return the estimate, or None where another application wrote the feedback."""
        if information[:4] != _REMB_NAME:
            return None
        if len(information) < _REMB.size:
            raise MalformedPacket("REMB too short")
        packed = _REMB.unpack_from(information)[1]
        count = packed >> 24
        bitrate = (packed & 0x3FFFF) << (packed >> 18 & 0x3F)
        if len(information) < _REMB.size + 4 * count or bitrate > MAX_BITRATE:
            raise MalformedPacket("REMB of more than it holds")
        return cls(sender, bitrate, struct.unpack_from(f"!{count}L", information, _REMB.size))
