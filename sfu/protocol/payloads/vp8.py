"""VP8 over RTP (RFC 7741): the payload descriptor, keyframes, and picture numbers per consumer."""

from __future__ import annotations

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.payloads.picture_numbers import PictureNumberRewriter

Buffer = bytes | bytearray | memoryview


class Vp8Descriptor:
    """What the descriptor says; offsets are into the payload, -1 where a field is absent."""

    flexible = False

    __slots__ = (
        "keyframe",
        "layer_sync",
        "picture_id",
        "picture_id_offset",
        "picture_id_size",
        "size",
        "start_of_frame",
        "temporal_layer",
        "tl0picidx",
        "tl0picidx_offset",
    )

    keyframe: bool
    layer_sync: bool
    picture_id: int
    picture_id_offset: int
    picture_id_size: int
    size: int
    start_of_frame: bool
    temporal_layer: int
    tl0picidx: int
    tl0picidx_offset: int


def parse(payload: Buffer) -> Vp8Descriptor:
    """Read the payload descriptor (RFC 7741 4.2)."""
    try:
        return _parse(payload)
    except IndexError as error:
        raise MalformedPacket("VP8 descriptor beyond the packet") from error


def is_keyframe(payload: Buffer) -> bool:
    """Return whether a decoder can start at this packet; malformed payloads are no keyframes."""
    try:
        return _parse(payload).keyframe
    except IndexError:
        return False


def _parse(payload: Buffer) -> Vp8Descriptor:
    """Read the fields in their order on the wire."""
    found = Vp8Descriptor()
    first = payload[0]
    found.picture_id = found.picture_id_offset = found.tl0picidx = found.tl0picidx_offset = -1
    found.picture_id_size = found.temporal_layer = 0
    found.layer_sync = False
    flags = payload[1] if first & 0x80 else 0
    offset = 2 if first & 0x80 else 1
    if flags & 0x80:
        offset = _read_picture_id(payload, offset, found)
    if flags & 0x40:
        found.tl0picidx_offset = offset
        found.tl0picidx = payload[offset]
        offset += 1
    if flags & 0x30:
        if flags & 0x20:
            found.temporal_layer = payload[offset] >> 6
            found.layer_sync = bool(payload[offset] & 0x20)
        offset += 1
    found.size = offset
    found.start_of_frame = bool(first & 0x10) and not first & 0x07
    # The P bit of the VP8 frame header is 0 for a keyframe (RFC 7741 4.3).
    found.keyframe = not payload[offset] & 0x01 and found.start_of_frame
    return found


def _read_picture_id(payload: Buffer, offset: int, found: Vp8Descriptor) -> int:
    found.picture_id_offset = offset
    if payload[offset] & 0x80:
        found.picture_id = (payload[offset] & 0x7F) << 8 | payload[offset + 1]
        found.picture_id_size = 2
    else:
        found.picture_id = payload[offset]
        found.picture_id_size = 1
    return offset + found.picture_id_size


class Vp8Rewriter(PictureNumberRewriter):
    """Keeps PictureID and TL0PICIDX running on over layer switches and drops (RFC 7741 4.2)."""

    __slots__ = ()
