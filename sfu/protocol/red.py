"""Redundant audio (RFC 2198): a packet carries its own frame and, before it, copies of earlier ones.

A header per block comes first. That of the last block, the packet's own frame, is its payload type alone;
those of copies have their age and length as well. Here all blocks are of one codec, as in browsers, which say
so by `a=fmtp:63 111/111`. That is no list of named values, so it has two shapes as a codec's parameters:
sdp-transform and with it mediasoup-client read it as `{"111/111": ""}`, but what they write of
`{"": "111/111"}`, `=111/111`, is what libwebrtc understands.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.parameters import RtpCodecCapability, RtpCodecParameters
from sfu.protocol.rtp import MAX_PACKET_SIZE, RtpHeader

MIME_TYPE: Final = "audio/red"
MAX_BLOCKS: Final = 32
"""As libwebrtc; browsers send two or three."""
_MORE: Final = 0x80
_PAYLOAD_TYPE: Final = 0x7F
_PADDED: Final = 0x20

Codec = RtpCodecCapability | RtpCodecParameters


def is_red(codec: Codec) -> bool:
    """Return whether a codec is redundant audio."""
    return codec.mime_type.lower() == MIME_TYPE


def carried_payload_type(codec: Codec) -> int | None:
    """Return the payload type of the blocks; None for other codecs, and for blocks of several types."""
    if not is_red(codec):
        return None
    for name, value in codec.parameters.items():
        numbers = set((name or str(value)).split("/"))
        number = numbers.pop()
        if not numbers and number.isascii() and number.isdecimal() and len(number) <= 3:
            return int(number) if int(number) <= _PAYLOAD_TYPE else None
    return None


def parameters_for(payload_type: int) -> dict[str, str | int]:
    """Return the parameters of redundant audio whose blocks are of `payload_type`."""
    return {"": f"{payload_type}/{payload_type}"}


def without_stray_red(codecs: Iterable[RtpCodecParameters]) -> list[RtpCodecParameters]:
    """Leave out redundant audio where what it carries is not among the codecs."""
    kept = list(codecs)
    opus = {codec.payload_type for codec in kept if codec.mime_type.lower() == "audio/opus"}
    return [codec for codec in kept if not is_red(codec) or carried_payload_type(codec) in opus]


def primary_offset(packet: bytes, header: RtpHeader, payload_type: int) -> int:
    """Return where the packet's own frame begins, which ends with the payload.

    Raises MalformedPacket for what is cut off, empty, or has blocks of other types, such as RED in RED.
    """
    position, end = header.payload_offset, len(packet) - header.padding
    copies = 0
    for _ in range(MAX_BLOCKS):
        if position >= end:
            raise MalformedPacket("RED ends within its block headers")
        if packet[position] & _PAYLOAD_TYPE != payload_type:
            raise MalformedPacket(f"a RED block of payload type {packet[position] & _PAYLOAD_TYPE}")
        if not packet[position] & _MORE:
            primary = position + 1 + copies
            if primary >= end:
                raise MalformedPacket("RED without a frame of its own")
            return primary
        if position + 4 > end:
            raise MalformedPacket("RED ends within its block headers")
        copies += (packet[position + 2] & 0x03) << 8 | packet[position + 3]
        position += 4
    raise MalformedPacket("too many RED blocks")


def wrapped(packet: bytes, header: RtpHeader, payload_type: int) -> bytes:
    """Return a packet of plain audio as RED without copies; `header` is true for it as well.

    Raises MalformedPacket for one that is empty, or has no room for the header of a block.
    """
    offset = header.payload_offset
    if not offset < len(packet) - header.padding or len(packet) >= MAX_PACKET_SIZE:
        raise MalformedPacket(f"plain audio beside RED in {len(packet)} bytes")
    return packet[:offset] + bytes((payload_type,)) + packet[offset:]


def unwrapped(packet: bytes, header: RtpHeader, payload_type: int) -> bytes:
    """Return a packet's own frame as plain audio under the number, time and extensions of the packet.

    Raises MalformedPacket.
    """
    primary = primary_offset(packet, header, payload_type)
    marker = _MORE if header.marker else 0
    start = bytes((packet[0] & ~_PADDED, marker | payload_type))
    return start + packet[2 : header.payload_offset] + packet[primary : len(packet) - header.padding]


def renumbered(packet: bytes, header: RtpHeader, payload_type: int) -> bytes:
    """Return the packet with blocks of another payload type. It must have been found sound before."""
    changed = bytearray(packet)
    position = header.payload_offset
    while changed[position] & _MORE:
        changed[position] = _MORE | payload_type
        position += 4
    changed[position] = payload_type
    return bytes(changed)
