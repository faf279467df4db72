"""Just enough of ``chat.v1.msgpack`` for a client that counts (docs/chat-protocol.md).

Everybody in a room is sent the same bytes, so what one client has parsed, the next ones look up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from bench.viewers.http1 import ResponseError
from bench.viewers.websocket import MASK_BIT, NO_MASK, Opcode

SUBPROTOCOL: Final = "chat.v1.msgpack"
STAMP_DIGITS: Final = 20
"""A message begins with its send time: nanoseconds of the monotonic clock, which all processes share."""
CACHED_CHUNKS: Final = 512
MAX_MESSAGE_BYTES: Final = 500
_FILLER: Final = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor " * 8
_FINAL: Final = 0x80
_LENGTH_16: Final = 126


class _Body(msgspec.Struct):
    offset: int = 0
    message: str = ""
    code: str = ""


class Frame(msgspec.Struct):
    """The fields of server frames that are looked at."""

    t: str
    d: _Body


_decode: Final = msgspec.msgpack.Decoder(Frame).decode
_encode: Final = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Chunk:
    """What stood in some bytes of a server's.

    ``first`` and ``last`` are the offsets of its messages if these have no gaps; otherwise ``first`` is -1.
    """

    offsets: Sequence[int]
    first: int
    last: int
    stamps: Sequence[int]
    frames: Sequence[Frame]
    """Everything but messages."""
    controls: Sequence[tuple[int, bytes]]
    """Opcode and payload of control frames."""
    end: int
    """Bytes used; the rest is the beginning of a frame."""


class ChunkReader:
    """Parses what is sent to many, once. Shared by the clients of a process."""

    def __init__(self) -> None:
        self._chunks: dict[bytes, Chunk] = {}

    def read(self, data: bytes) -> Chunk:
        """Raises ResponseError for what is not a server's WebSocket."""
        chunk = self._chunks.get(data)
        if chunk is None:
            if len(self._chunks) >= CACHED_CHUNKS:
                self._chunks.clear()
            chunk = self._chunks[data] = parse(data)
        return chunk


def parse(data: bytes) -> Chunk:
    """Take the whole frames of ``data`` apart."""
    offsets: list[int] = []
    stamps: list[int] = []
    frames: list[Frame] = []
    controls: list[tuple[int, bytes]] = []
    end = 0
    for opcode, payload, after in _split(data):
        end = after
        if opcode >= Opcode.CLOSE:
            controls.append((opcode, payload))
            continue
        frame = _frame(payload)
        if frame.t == "new-message":
            offsets.append(frame.d.offset)
            stamps.append(_stamp(frame.d.message))
        else:
            frames.append(frame)
    is_whole = bool(offsets) and offsets == list(range(offsets[0], offsets[0] + len(offsets)))
    first, last = (offsets[0], offsets[-1]) if is_whole else (-1, -1)
    return Chunk(offsets, first, last, stamps, frames, controls, end)


def _split(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Opcode, payload and end of each whole frame (RFC 6455, 5.2). Servers do not fragment here."""
    position, size = 0, len(data)
    while position + 2 <= size:
        start, length = position + 2, data[position + 1]
        if length & MASK_BIT or not data[position] & _FINAL:
            raise ResponseError("a masked or fragmented frame from the server")
        if length >= _LENGTH_16:
            width = 2 if length == _LENGTH_16 else 8
            start, length = start + width, int.from_bytes(data[start : start + width], "big")
        if start + length > size:
            return
        opcode, position = data[position] & 0x0F, start + length
        yield opcode, data[start:position], position


def _frame(payload: bytes) -> Frame:
    try:
        return _decode(payload)
    except msgspec.MsgspecError as error:
        raise ResponseError(f"not a frame of the chat: {error}") from None


def _stamp(message: str) -> int:
    digits = message[:STAMP_DIGITS]
    return int(digits) if digits.isdecimal() else 0


# What clients send


def client_frame(payload: bytes, opcode: int = Opcode.BINARY) -> bytes:
    """A whole message (5.3), masked with zeros as the rules want a mask but not which."""
    length = len(payload)
    if length < _LENGTH_16:
        return bytes((_FINAL | opcode, MASK_BIT | length)) + NO_MASK + payload
    head = bytes((_FINAL | opcode, MASK_BIT | _LENGTH_16)) + length.to_bytes(2, "big")
    return head + NO_MASK + payload


def join_frame(room: UUID) -> bytes:
    return client_frame(_encode({"t": "join-room", "id": 0, "d": {"roomId": str(room)}}))


def message_frame(room: UUID, text: str, number: int) -> bytes:
    return client_frame(
        _encode({"t": "chat-message", "id": number, "d": {"roomId": str(room), "message": text}})
    )


def message_text(now: int, client: int, number: int, size: int) -> str:
    """Unlike any other: nobody may say the same thing twice."""
    return f"{now:0{STAMP_DIGITS}d} {client} {number} {_FILLER}"[:size].ljust(size, ".")


def shown_frame(room: UUID, client: int, text: str) -> bytes:
    """What a server that only repeats is given: a new-message as ours sends it, with a gap for the offset."""
    body: dict[str, Any] = {
        "roomId": str(room),
        "offset": 0x7FFFFFFF,
        "id": str(room),
        "userId": str(room),
        "username": f"bench_{client:06d}",
        "displayName": f"Bench user {client}",
        "badge": None,
        "message": text,
        "timestamp": "2026-01-01T00:00:00.000Z",
        "replyTo": None,
        "mentions": [],
    }
    return client_frame(_encode({"t": "new-message", "d": body}))
