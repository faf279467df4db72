"""WebSocket framing of the server's side (RFC 6455), without extensions.

``MessageParser`` turns what a client sends into events; the ``*_frame`` functions make what a server sends.
Server frames are never masked, so that one bytes object serves every client.
"""

import base64
import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from chat.errors import ProtocolError

MAX_FRAGMENTS: Final = 128
"""Of one message. Bounds the work that a client can make of empty fragments."""

MAX_CONTROL_BYTES: Final = 125
"""Payload of a control frame (RFC 6455, 5.5)."""

_KEY_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FINAL: Final = 0x80
_RESERVED_BITS: Final = 0x70
_MASKED: Final = 0x80
_LENGTH_OF_2_BYTES: Final = 126
_LENGTH_OF_8_BYTES: Final = 127
_MASK_BYTES: Final = 4
_CLOSE_CODES: Final = frozenset((*range(1000, 1004), *range(1007, 1015)))
"""Those below 3000 that an endpoint may send (RFC 6455, 7.4.1, and the IANA registry)."""


class CloseCode(IntEnum):
    """The codes that the framing itself closes with."""

    PROTOCOL_ERROR = 1002
    INVALID_TEXT = 1007
    TOO_BIG = 1009


class Opcode(IntEnum):
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


_OPCODES: Final = frozenset(Opcode)
_CONTINUATION: Final = int(Opcode.CONTINUATION)
_TEXT: Final = int(Opcode.TEXT)
_FIRST_CONTROL: Final = int(Opcode.CLOSE)


@dataclass(frozen=True, slots=True)
class TextReceived:
    """A whole text message, its fragments joined."""

    text: str


@dataclass(frozen=True, slots=True)
class BytesReceived:
    """A whole binary message, its fragments joined."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PingReceived:
    """To be answered with a pong of the same data."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PongReceived:
    data: bytes


@dataclass(frozen=True, slots=True)
class CloseReceived:
    """The last event there is. ``code`` is None for a close frame without one."""

    code: int | None
    reason: str


WebSocketEvent = TextReceived | BytesReceived | PingReceived | PongReceived | CloseReceived


class MessageParser:
    """Reads a client's frames in pieces of any size; one per connection.

    An idle one holds no buffer. ``feed`` raises ProtocolError for a fault, and gives up the messages that
    were whole before it in the same piece; after a fault or a close frame everything is ignored.
    """

    __slots__ = (
        "_fragments",
        "_is_over",
        "_max_message_bytes",
        "_message",
        "_message_opcode",
        "_needed",
        "_pending",
    )

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._pending: bytearray | None = None
        self._needed = 0
        self._message: bytearray | None = None
        self._message_opcode = 0
        self._fragments = 0
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether a fault or a close frame was seen."""
        return self._is_over

    @property
    def buffered_bytes(self) -> int:
        """What is kept of a message that is not whole: at most the maximum and one header."""
        return len(self._pending or b"") + len(self._message or b"")

    def feed(self, data: bytes) -> list[WebSocketEvent]:
        if self._is_over:
            return []
        if self._pending is not None:
            self._pending += data
            if len(self._pending) < self._needed:
                return []
            data = bytes(self._pending)
            self._pending = None
        events: list[WebSocketEvent] = []
        try:
            self._parse(data, events)
        except ProtocolError:
            self._finish()
            raise
        return events

    def _parse(self, data: bytes, events: list[WebSocketEvent]) -> None:
        start = 0
        size = len(data)
        while start < size:
            end = self._frame_end(data, start)
            if end > size:
                self._pending = bytearray(data[start:])
                self._needed = end - start
                return
            self._take_frame(data, start, end, events)
            if self._is_over:
                return
            start = end

    def _frame_end(self, data: bytes, start: int) -> int:
        """Where the frame at ``start`` ends, or beyond ``data`` the next place from which more is known.

        What is wrong with a header is found here, before its payload is waited for.
        """
        size = len(data)
        payload = start + 2
        if payload > size:
            return payload
        length = data[start + 1] & 0x7F
        self._check_flags(data[start], data[start + 1])
        if length >= _LENGTH_OF_2_BYTES:
            length_start, payload = payload, payload + (2 if length == _LENGTH_OF_2_BYTES else 8)
            if payload > size:
                return payload
            length = _extended_length(data[length_start:payload])
        is_message = data[start] & 0xF < _FIRST_CONTROL
        if is_message and length + len(self._message or b"") > self._max_message_bytes:
            raise ProtocolError(CloseCode.TOO_BIG, "message too big")
        return payload + _MASK_BYTES + length

    def _check_flags(self, first: int, second: int) -> None:
        opcode = first & 0xF
        if first & _RESERVED_BITS:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "reserved bits set")
        if opcode not in _OPCODES:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "unknown opcode")
        if not second & _MASKED:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "frame not masked")
        if opcode >= _FIRST_CONTROL:
            if not first & _FINAL:
                raise ProtocolError(CloseCode.PROTOCOL_ERROR, "control frame in fragments")
            if second & 0x7F > MAX_CONTROL_BYTES:
                raise ProtocolError(CloseCode.PROTOCOL_ERROR, "control frame too long")
        elif opcode == _CONTINUATION:
            self._check_continuation()
        elif self._message is not None:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "new message inside another")

    def _check_continuation(self) -> None:
        if self._message is None:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "continuation of nothing")
        if self._fragments >= MAX_FRAGMENTS:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "too many fragments")

    def _take_frame(self, data: bytes, start: int, end: int, events: list[WebSocketEvent]) -> None:
        length_code = data[start + 1] & 0x7F
        mask = start + 2
        if length_code >= _LENGTH_OF_2_BYTES:
            mask += 2 if length_code == _LENGTH_OF_2_BYTES else 8
        payload = _unmasked(data[mask : mask + _MASK_BYTES], data[mask + _MASK_BYTES : end])
        first = data[start]
        opcode = first & 0xF
        if opcode >= _FIRST_CONTROL:
            events.append(self._control(opcode, payload))
        elif first & _FINAL and self._message is None:
            events.append(_message_event(opcode, payload))
        else:
            self._take_fragment(opcode, payload, bool(first & _FINAL), events)

    def _take_fragment(
        self, opcode: int, payload: bytes, is_final: bool, events: list[WebSocketEvent]
    ) -> None:
        if self._message is None:
            self._message = bytearray()
            self._message_opcode = opcode
            self._fragments = 0
        self._message += payload
        self._fragments += 1
        if is_final:
            whole = bytes(self._message)
            self._message = None
            events.append(_message_event(self._message_opcode, whole))

    def _control(self, opcode: int, payload: bytes) -> WebSocketEvent:
        if opcode == Opcode.PING:
            return PingReceived(payload)
        if opcode == Opcode.PONG:
            return PongReceived(payload)
        event = _close_event(payload)
        self._finish()
        return event

    def _finish(self) -> None:
        self._is_over = True
        self._pending = None
        self._message = None


def _extended_length(encoded: bytes) -> int:
    length = int.from_bytes(encoded, "big")
    if length >> 63:
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "length out of range")
    if length < (_LENGTH_OF_2_BYTES if len(encoded) == 2 else 1 << 16):
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "length not in its shortest form")
    return length


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    """As whole numbers: the quickest way to XOR many bytes without a C extension."""
    length = len(payload)
    key = (mask * (length // _MASK_BYTES + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")


def _message_event(opcode: int, payload: bytes) -> WebSocketEvent:
    return TextReceived(_text(payload)) if opcode == _TEXT else BytesReceived(payload)


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise ProtocolError(CloseCode.INVALID_TEXT, "text is not UTF-8") from None


def _close_event(payload: bytes) -> CloseReceived:
    if not payload:
        return CloseReceived(None, "")
    if len(payload) == 1:
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "close code cut short")
    code = int.from_bytes(payload[:2], "big")
    if code not in _CLOSE_CODES and not 3000 <= code < 5000:
        raise ProtocolError(CloseCode.PROTOCOL_ERROR, "close code may not be sent")
    return CloseReceived(code, _text(payload[2:]))


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455, 4.2.2)."""
    digest = hashlib.sha1(key.encode() + _KEY_SUFFIX, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def text_frame(data: bytes) -> bytes:
    """A whole message; ``data`` is UTF-8."""
    return _frame(Opcode.TEXT, data)


def binary_frame(data: bytes) -> bytes:
    return _frame(Opcode.BINARY, data)


def ping_frame(data: bytes = b"") -> bytes:
    return _control_frame(Opcode.PING, data)


def pong_frame(data: bytes) -> bytes:
    return _control_frame(Opcode.PONG, data)


def close_frame(code: int | None, reason: str = "") -> bytes:
    """``code`` is None to answer a close frame without one. A reason that is too long is cut."""
    if code is None:
        return _control_frame(Opcode.CLOSE, b"")
    room = MAX_CONTROL_BYTES - 2
    cut = reason.encode(errors="replace")[:room].decode(errors="ignore").encode()
    return _control_frame(Opcode.CLOSE, code.to_bytes(2, "big") + cut)


def _control_frame(opcode: Opcode, data: bytes) -> bytes:
    if len(data) > MAX_CONTROL_BYTES:
        raise ValueError(f"a control frame carries {MAX_CONTROL_BYTES} bytes, not {len(data)}")
    return _frame(opcode, data)


def _frame(opcode: Opcode, data: bytes) -> bytes:
    first = _FINAL | opcode
    length = len(data)
    if length < _LENGTH_OF_2_BYTES:
        return bytes((first, length)) + data
    if length < 1 << 16:
        return b"".join((bytes((first, _LENGTH_OF_2_BYTES)), length.to_bytes(2, "big"), data))
    return b"".join((bytes((first, _LENGTH_OF_8_BYTES)), length.to_bytes(8, "big"), data))
