"""VP9 over RTP (RFC 9628): the payload descriptor with its spatial and temporal layers, and keyframes."""

from __future__ import annotations

from sfu.protocol.errors import MalformedPacket
from sfu.protocol.payloads.picture_numbers import PictureNumberRewriter

MAX_REFERENCES = 3

Buffer = bytes | bytearray | memoryview


class Vp9Descriptor:
    """What the descriptor says; offsets are into the payload, -1 where a field is absent."""

    __slots__ = (
        "end_of_frame",
        "flexible",
        "inter_layer",
        "inter_picture",
        "keyframe",
        "picture_id",
        "picture_id_offset",
        "picture_id_size",
        "resolutions",
        "size",
        "spatial_layer",
        "spatial_layers",
        "start_of_frame",
        "switching_point",
        "temporal_layer",
        "tl0picidx",
        "tl0picidx_offset",
        "unused_above",
    )

    end_of_frame: bool
    """The last packet of this spatial layer's frame; the picture may go on with the next layer."""
    flexible: bool
    """References are told as differences of PictureIDs."""
    inter_layer: bool
    """Predicted from the spatial layer below in the same picture."""
    inter_picture: bool
    """Predicted from earlier pictures."""
    keyframe: bool
    """The first packet of a picture that needs no other: all spatial layers can be entered here."""
    picture_id: int
    picture_id_offset: int
    picture_id_size: int
    resolutions: tuple[tuple[int, int], ...]
    """(Width, height) of each spatial layer, where the packet tells."""
    size: int
    spatial_layer: int
    spatial_layers: int
    """The number of spatial layers, 0 where the packet does not tell."""
    start_of_frame: bool
    switching_point: bool
    """From here on higher temporal layers refer to nothing before this picture."""
    temporal_layer: int
    tl0picidx: int
    tl0picidx_offset: int
    unused_above: bool
    """Not referred to by higher spatial layers: only who views this very layer needs it (K-SVC)."""


class Vp9Rewriter(PictureNumberRewriter):
    """Keeps PictureID and TL0PICIDX running on over stream switches and drops (RFC 9628 4.2)."""

    __slots__ = ()


def parse(payload: Buffer) -> Vp9Descriptor:
    """Read the payload descriptor (RFC 9628 4.2)."""
    try:
        return _parse(payload)
    except IndexError as error:
        raise MalformedPacket("VP9 descriptor beyond the packet") from error


def is_keyframe(payload: Buffer) -> bool:
    """Return whether a decoder can start at this packet; malformed payloads are no keyframes."""
    try:
        return _parse(payload).keyframe
    except (IndexError, MalformedPacket):
        return False


def _parse(payload: Buffer) -> Vp9Descriptor:
    """Read the fields in their order on the wire: I, L, F and P, V."""
    found = Vp9Descriptor()
    flags = payload[0]
    found.picture_id = found.picture_id_offset = found.tl0picidx = found.tl0picidx_offset = -1
    found.picture_id_size = found.spatial_layer = found.temporal_layer = found.spatial_layers = 0
    found.switching_point = found.inter_layer = False
    found.resolutions = ()
    found.inter_picture = bool(flags & 0x40)
    found.flexible = bool(flags & 0x10)
    found.start_of_frame = bool(flags & 0x08)
    found.end_of_frame = bool(flags & 0x04)
    found.unused_above = bool(flags & 0x01)
    offset = 1
    if flags & 0x80:
        offset = _read_picture_id(payload, offset, found)
    if flags & 0x20:
        offset = _read_layers(payload, offset, found)
    if flags & 0x50 == 0x50:
        offset = _skip_references(payload, offset)
    if flags & 0x02:
        offset = _read_structure(payload, offset, found)
    if offset > len(payload):
        raise IndexError
    found.size = offset
    found.keyframe = (
        found.start_of_frame
        and not found.inter_picture
        and not found.inter_layer
        and not found.spatial_layer
        and offset < len(payload)
    )
    return found


def _read_picture_id(payload: Buffer, offset: int, found: Vp9Descriptor) -> int:
    found.picture_id_offset = offset
    if payload[offset] & 0x80:
        found.picture_id = (payload[offset] & 0x7F) << 8 | payload[offset + 1]
        found.picture_id_size = 2
    else:
        found.picture_id = payload[offset]
        found.picture_id_size = 1
    return offset + found.picture_id_size


def _read_layers(payload: Buffer, offset: int, found: Vp9Descriptor) -> int:
    """TL0PICIDX is present only where the mode is not flexible."""
    octet = payload[offset]
    found.temporal_layer = octet >> 5
    found.switching_point = bool(octet & 0x10)
    found.spatial_layer = octet >> 1 & 0x07
    found.inter_layer = bool(octet & 0x01)
    if found.flexible:
        return offset + 1
    found.tl0picidx_offset = offset + 1
    found.tl0picidx = payload[offset + 1]
    return offset + 2


def _skip_references(payload: Buffer, offset: int) -> int:
    for _ in range(MAX_REFERENCES):
        octet = payload[offset]
        offset += 1
        if not octet & 0x01:
            return offset
    raise MalformedPacket(f"VP9 picture with more than {MAX_REFERENCES} references")


def _read_structure(payload: Buffer, offset: int, found: Vp9Descriptor) -> int:
    """RFC 9628 4.2.1: how many layers, how large, and the pictures of a group (which are skipped)."""
    flags = payload[offset]
    offset += 1
    found.spatial_layers = (flags >> 5) + 1
    if flags & 0x10:
        end = offset + 4 * found.spatial_layers
        found.resolutions = tuple(
            (payload[at] << 8 | payload[at + 1], payload[at + 2] << 8 | payload[at + 3])
            for at in range(offset, end, 4)
        )
        offset = end
    if flags & 0x08:
        pictures = payload[offset]
        offset += 1
        for _ in range(pictures):
            offset += 1 + (payload[offset] >> 2 & 0x03)
    return offset
