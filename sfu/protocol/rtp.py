"""RTP headers (RFC 3550 5.1) and their extensions (RFC 8285), read and rewritten in place."""

from __future__ import annotations

import struct

from sfu.protocol.errors import MalformedPacket

HEADER_SIZE = 12
MAX_PACKET_SIZE = 2048
"""No path carries larger datagrams; anything longer is not media."""
MAX_EXTENSION_SIZE = 1024
ONE_BYTE_PROFILE = 0xBEDE
TWO_BYTE_PROFILE = 0x1000
TWO_BYTE_PROFILE_MASK = 0xFFF0

_FIXED = struct.Struct("!BBHLL")
_EXTENSION = struct.Struct("!HH")
_TWO_OCTETS = struct.Struct("!H")

Buffer = bytes | bytearray | memoryview


class RtpHeader:
    """Where things are in one packet; nothing of it is copied."""

    __slots__ = (
        "csrc_count",
        "extension_offset",
        "extension_profile",
        "extension_size",
        "marker",
        "padding",
        "payload_offset",
        "payload_type",
        "sequence_number",
        "ssrc",
        "timestamp",
    )

    payload_type: int
    marker: bool
    sequence_number: int
    timestamp: int
    ssrc: int
    csrc_count: int
    extension_profile: int
    extension_offset: int
    extension_size: int
    payload_offset: int
    padding: int


def parse(packet: Buffer) -> RtpHeader:
    """Return the header of `packet`; `extension_profile` is 0 where there is no extension."""
    size = len(packet)
    if not HEADER_SIZE <= size <= MAX_PACKET_SIZE:
        raise MalformedPacket(f"RTP of {size} bytes")
    first, second, sequence_number, timestamp, ssrc = _FIXED.unpack_from(packet)
    if first >> 6 != 2:
        raise MalformedPacket(f"RTP version {first >> 6}")
    header = RtpHeader()
    header.marker = second > 0x7F
    header.payload_type = second & 0x7F
    header.sequence_number = sequence_number
    header.timestamp = timestamp
    header.ssrc = ssrc
    header.csrc_count = first & 0x0F
    _locate(packet, size, first, header)
    return header


def _locate(packet: Buffer, size: int, first: int, header: RtpHeader) -> None:
    """Find extension, payload and padding."""
    offset = HEADER_SIZE + 4 * (first & 0x0F)
    header.extension_profile = header.extension_size = 0
    header.extension_offset = offset
    if first & 0x10:
        if offset + 4 > size:
            raise MalformedPacket("RTP header extension beyond the packet")
        header.extension_profile, words = _EXTENSION.unpack_from(packet, offset)
        header.extension_size = 4 * words
        header.extension_offset = offset + 4
        offset += 4 + 4 * words
        if header.extension_size > MAX_EXTENSION_SIZE:
            raise MalformedPacket(f"RTP header extension of {header.extension_size} bytes")
    header.payload_offset = offset
    header.padding = packet[size - 1] if first & 0x20 else 0
    if offset + header.padding > size or (first & 0x20 and not header.padding):
        raise MalformedPacket("RTP header or padding beyond the packet")


def extensions(packet: Buffer, header: RtpHeader) -> dict[int, tuple[int, int]]:
    """Return (offset, length) of each header extension by its id; unknown profiles have none.

    Of extensions with the same id, the last counts.
    """
    elements = _elements(packet, header.extension_profile, header.extension_offset, header.extension_size)
    return {identifier: (offset, length) for identifier, offset, length in elements}


def _elements(packet: Buffer, profile: int, offset: int, size: int) -> list[tuple[int, int, int]]:
    """Return (id, offset of the value, its length) of each element of an extension block."""
    if profile == ONE_BYTE_PROFILE:
        return _one_byte_elements(packet, offset, offset + size)
    if profile & TWO_BYTE_PROFILE_MASK == TWO_BYTE_PROFILE:
        return _two_byte_elements(packet, offset, offset + size)
    return []


def _one_byte_elements(packet: Buffer, offset: int, end: int) -> list[tuple[int, int, int]]:
    """RFC 8285 4.2: id 0 is padding, id 15 ends the list."""
    found = []
    while offset < end:
        octet = packet[offset]
        offset += 1
        if octet == 0:
            continue
        identifier = octet >> 4
        length = (octet & 0x0F) + 1
        if identifier == 15:
            break
        if offset + length > end:
            raise MalformedPacket("one-byte header extension beyond its block")
        if identifier:
            found.append((identifier, offset, length))
        offset += length
    return found


def _two_byte_elements(packet: Buffer, offset: int, end: int) -> list[tuple[int, int, int]]:
    """RFC 8285 4.3: id 0 is padding, lengths may be 0."""
    found = []
    while offset < end:
        identifier = packet[offset]
        offset += 1
        if identifier == 0:
            continue
        if offset == end or offset + 1 + packet[offset] > end:
            raise MalformedPacket("two-byte header extension beyond its block")
        length = packet[offset]
        found.append((identifier, offset + 1, length))
        offset += 1 + length
    return found


def rewrite_header(
    packet: bytearray | memoryview, payload_type: int, sequence_number: int, timestamp: int, ssrc: int
) -> None:
    """Overwrite what differs per consumer in a parsed packet; the marker bit stays."""
    marker = packet[1] & 0x80
    _FIXED.pack_into(packet, 0, packet[0], marker | payload_type, sequence_number, timestamp, ssrc)


def serialize_extensions(values: list[tuple[int, bytes]]) -> bytes:
    """Return the extension block with its profile; one-byte where every id and length allows it."""
    if not values:
        return b""
    two_byte = any(not 0 < identifier < 15 or not 0 < len(value) <= 16 for identifier, value in values)
    parts = []
    for identifier, value in values:
        if not 0 < identifier < 256 or len(value) > 255:
            raise ValueError(f"header extension {identifier} of {len(value)} bytes")
        head = bytes((identifier, len(value))) if two_byte else bytes((identifier << 4 | len(value) - 1,))
        parts.append(head + value)
    block = b"".join(parts)
    block += bytes(-len(block) % 4)
    if len(block) > MAX_EXTENSION_SIZE:
        raise ValueError(f"header extensions of {len(block)} bytes")
    return _EXTENSION.pack(TWO_BYTE_PROFILE if two_byte else ONE_BYTE_PROFILE, len(block) // 4) + block


def replace_extensions(packet: Buffer, header: RtpHeader, values: list[tuple[int, bytes]]) -> bytearray:
    """Return a copy of `packet` whose extensions are exactly `values`."""
    block = serialize_extensions(values)
    fixed_end = HEADER_SIZE + 4 * header.csrc_count
    result = bytearray(packet[:fixed_end])
    result[0] = result[0] | 0x10 if block else result[0] & 0xEF
    result += block
    result += packet[header.payload_offset :]
    return result


def write_transport_sequence(packet: bytearray | memoryview, offset: int, sequence_number: int) -> None:
    """Overwrite the two bytes of the transport-wide sequence number at `offset`."""
    _TWO_OCTETS.pack_into(packet, offset, sequence_number & 0xFFFF)


def read_transport_sequence(packet: Buffer, offset: int, length: int) -> int:
    """Return the transport-wide sequence number of an extension of `length` bytes."""
    if length < 2:
        raise MalformedPacket("transport-wide sequence number too short")
    number: int = _TWO_OCTETS.unpack_from(packet, offset)[0]
    return number


def read_audio_level(packet: Buffer, offset: int, length: int) -> tuple[int, bool]:
    """Return the level in -dBov (0 is loudest, 127 silence) and the voice flag (RFC 6464 3)."""
    if length < 1:
        raise MalformedPacket("audio level too short")
    return packet[offset] & 0x7F, packet[offset] > 0x7F
