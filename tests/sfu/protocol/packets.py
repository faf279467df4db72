"""RTP packets for tests."""

from __future__ import annotations

import struct

from sfu.protocol import rtp


def packet_with(values: list[tuple[int, bytes]], payload: bytes = b"payload") -> bytes:
    """Return a packet with these header extensions."""
    packet = struct.pack("!BBHLL", 0x80, 0xE0, 7, 90_000, 0xDECAFBAD) + payload
    return bytes(rtp.replace_extensions(packet, rtp.parse(packet), values))


def values_of(packet: bytes | bytearray) -> dict[int, bytes]:
    """Return the header extensions of a packet."""
    found = rtp.extensions(packet, rtp.parse(packet))
    return {identifier: bytes(packet[at : at + size]) for identifier, (at, size) in found.items()}
