"""Just enough WebSocket for a viewer (RFC 6455): the opening handshake, skipping frames, answering pings."""

import base64
import hashlib
import os
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from bench.viewers.http1 import ResponseError, ResponseHead

ACCEPT_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MAX_CONTROL_BYTES: Final = 125
LENGTH_16: Final = 126
LENGTH_64: Final = 127
MASK_BIT: Final = 0x80
NO_MASK: Final = b"\x00\x00\x00\x00"


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


def make_key() -> str:
    """A fresh Sec-WebSocket-Key (4.1)."""
    return base64.b64encode(os.urandom(16)).decode()


def upgrade_headers(key: str) -> dict[str, str]:
    return {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
    }


def check_accept(head: ResponseHead, key: str) -> None:
    """Raises ResponseError unless ``head`` accepts the upgrade asked for with ``key`` (4.2.2)."""
    expected = base64.b64encode(hashlib.sha1(key.encode() + ACCEPT_GUID).digest()).decode()
    if head.headers.get("sec-websocket-accept") != expected:
        raise ResponseError("Sec-WebSocket-Accept is missing or wrong")


def serialize_pong(payload: bytes) -> bytes:
    """A client's pong (5.5.3), masked with zeros as the rules want a mask but not which."""
    return bytes((0x80 | Opcode.PONG, MASK_BIT | len(payload))) + NO_MASK + payload


class WebSocketFrames:
    """A server's frames (5.2): yields binary payload, answers pings, notes the close."""

    __slots__ = ("_control", "_header", "_left", "_opcode", "_reply", "is_closed")

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._opcode = Opcode.BINARY
        self._control = b""
        self._reply = b""
        self.is_closed = False

    def feed(self, data: memoryview) -> Iterator[memoryview]:
        position, end = 0, len(data)
        while position < end and not self.is_closed:
            if not self._left:
                position = self._read_header(data, position)
                continue
            piece = data[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            if self._opcode < Opcode.CLOSE:
                yield piece
            else:
                self._control += piece
                if not self._left:
                    self._end_control()

    def take_reply(self) -> bytes:
        """Pongs due since the last call."""
        reply, self._reply = self._reply, b""
        return reply

    def _read_header(self, data: memoryview, position: int) -> int:
        """Take a frame header (or the rest of one) at ``position``; return where the payload begins."""
        had = len(self._header)
        header = self._header + data[position : position + 10 - had]
        needed = 2
        if len(header) >= 2:
            needed += {LENGTH_16: 2, LENGTH_64: 8}.get(header[1], 0)
        if len(header) < needed:
            self._header = header
            return position + len(header) - had
        self._header = b""
        self._begin(header[:needed])
        return position + needed - had

    def _begin(self, header: bytes) -> None:
        if header[1] & MASK_BIT:
            raise ResponseError("masked frame from the server")
        try:
            self._opcode = Opcode(header[0] & 0x0F)
        except ValueError:
            raise ResponseError(f"WebSocket opcode {header[0] & 0x0F}") from None
        self._left = header[1] if len(header) == 2 else int.from_bytes(header[2:], "big")
        if self._opcode >= Opcode.CLOSE:
            if self._left > MAX_CONTROL_BYTES:
                raise ResponseError(f"control frame of {self._left} bytes")
            if not self._left:
                self._end_control()

    def _end_control(self) -> None:
        payload, self._control = self._control, b""
        if self._opcode is Opcode.PING:
            self._reply += serialize_pong(payload)
        elif self._opcode is Opcode.CLOSE:
            self.is_closed = True
