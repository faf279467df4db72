"""Datagrams over TCP (RFC 4571 as ICE-TCP uses it, RFC 6544 3): a length of two bytes before each."""

from __future__ import annotations

import struct

from sfu.protocol.errors import MalformedPacket

MAX_FRAME_SIZE = 1600
"""No datagram that we would take from UDP either is longer."""
MIN_FRAME_SIZE = 8
"""The shortest datagram of any of the protocols; shorter ones only cost time."""

_LENGTH = struct.Struct("!H")


def frame(datagram: bytes) -> bytes:
    """Return `datagram` as it goes on the connection."""
    return _LENGTH.pack(len(datagram)) + datagram


class FrameReader:
    """Cuts the bytes of one connection into datagrams; keeps at most one that is incomplete."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def buffered_bytes(self) -> int:
        """How much waits for the rest of its frame."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the datagrams that `data` completes; after MalformedPacket the connection is useless."""
        data = self._rest + data
        self._rest = b""
        end = len(data)
        offset = 0
        datagrams = []
        while offset + 2 <= end:
            size = _LENGTH.unpack_from(data, offset)[0]
            if not MIN_FRAME_SIZE <= size <= MAX_FRAME_SIZE:
                raise MalformedPacket(f"frame of {size} bytes")
            if offset + 2 + size > end:
                break
            datagrams.append(data[offset + 2 : offset + 2 + size])
            offset += 2 + size
        self._rest = data[offset:]
        return datagrams
