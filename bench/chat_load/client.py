"""One client of a chat in a uvloop BufferedProtocol: no task of its own, and it only counts.

All clients of a process share one receive buffer, which is safe because what was read is handed over before
the next read begins.
"""

import asyncio
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, cast
from uuid import UUID

from bench.chat_load.frames import SUBPROTOCOL, Chunk, ChunkReader, Frame, client_frame, join_frame
from bench.errors import BenchError
from bench.targets import Target
from bench.viewers.http1 import ResponseError, serialize_request, split_head
from bench.viewers.websocket import Opcode, check_accept, make_key, upgrade_headers

RECEIVE_BUFFER_BYTES: Final = 256 * 1024
SLOW_RECEIVE_BYTES: Final = 4096
_SWITCHING: Final = 101

_receive_buffer: Final = memoryview(bytearray(RECEIVE_BUFFER_BYTES))


@dataclass(slots=True)
class Tally:
    """What the clients of a process have seen together."""

    deliveries: int = 0
    acknowledged: int = 0
    reordered: int = 0
    """Offsets that were not higher than the one before."""
    lost: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    """Seconds, from every so many-th client."""


class ChatClient(asyncio.BufferedProtocol):
    """In one room. ``is_slow``: takes nothing any more once it has joined."""

    __slots__ = (
        "_head",
        "_is_sampled",
        "_key",
        "_path",
        "_reader",
        "_tail",
        "_tally",
        "_target",
        "_token",
        "_transport",
        "close_code",
        "is_closed",
        "is_slow",
        "joined",
        "number",
        "offset",
        "room",
    )

    def __init__(
        self,
        target: Target,
        room: UUID,
        number: int,
        token: str | None,
        reader: ChunkReader,
        tally: Tally,
        is_sampled: bool,
    ) -> None:
        self.room: Final = room
        self.number: Final = number
        self.offset = 0
        """Of the last message that came."""
        self.is_closed = False
        self.is_slow = False
        self.close_code: int | None = None
        self.joined: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self._target = target
        self._token = token
        self._reader = reader
        self._tally = tally
        self._is_sampled = is_sampled
        self._transport: asyncio.Transport | None = None
        self._key = make_key()
        self._head: bytes | None = b""
        self._tail = b""

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self.is_closed:
            self._transport.write(data)

    def resume(self) -> None:
        """A slow one looks at what became of it."""
        if self._transport is not None and not self.is_closed:
            _set_receive_bytes(self._transport, RECEIVE_BUFFER_BYTES)
            self._transport.resume_reading()

    def abort(self) -> None:
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()

    # BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        headers = upgrade_headers(self._key) | {"Sec-WebSocket-Protocol": SUBPROTOCOL}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        self._transport.write(serialize_request(self._target, headers=headers))
        if self.is_slow:
            _set_receive_bytes(transport, SLOW_RECEIVE_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _receive_buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(_receive_buffer[:nbytes])
        try:
            if self._head is not None:
                data = self._open(data)
            if data:
                self._take(self._tail + data if self._tail else data)
        except BenchError as error:
            self._fail(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(type(error).__name__ if error else "closed by the server")

    # Stages

    def _open(self, data: bytes) -> bytes:
        assert self._head is not None
        self._head += data
        split = split_head(self._head)
        if split is None:
            return b""
        head, rest = split
        if head.status != _SWITCHING:
            raise ResponseError(f"answered {head.status}: {rest[:200].decode(errors='replace')}")
        check_accept(head, self._key)
        self._head = None
        self.send(join_frame(self.room))
        return rest

    def _take(self, data: bytes) -> None:
        chunk = self._reader.read(data)
        self._tail = data[chunk.end :] if chunk.end < len(data) else b""
        if chunk.first == self.offset + 1:
            self.offset = chunk.last
            self._tally.deliveries += len(chunk.offsets)
        elif chunk.offsets:
            self._count_gaps(chunk)
        if self._is_sampled and chunk.stamps:
            now = time.monotonic_ns()
            self._tally.latencies += [(now - stamp) / 1e9 for stamp in chunk.stamps]
        if chunk.frames:
            for frame in chunk.frames:
                self._hear(frame)
        if chunk.controls:
            self._control(chunk)

    def _count_gaps(self, chunk: Chunk) -> None:
        tally = self._tally
        for offset in chunk.offsets:
            tally.deliveries += 1
            if offset <= self.offset:
                tally.reordered += 1
                continue
            tally.lost += offset - self.offset - 1
            self.offset = offset

    def _hear(self, frame: Frame) -> None:
        if frame.t == "ack":
            self._tally.acknowledged += 1
        elif frame.t == "joined":
            self.offset = frame.d.offset
            self._settle(None)
            if self.is_slow and self._transport is not None:
                self._transport.pause_reading()
        elif frame.t == "error":
            self._tally.refused[frame.d.code] += 1
            self._settle(BenchError(f"joining was refused: {frame.d.code}"))

    def _control(self, chunk: Chunk) -> None:
        for opcode, payload in chunk.controls:
            if opcode == Opcode.PING:
                self.send(client_frame(payload, Opcode.PONG))
            elif opcode == Opcode.CLOSE:
                self.close_code = int.from_bytes(payload[:2], "big")
                self._fail(f"closed with {self.close_code}")

    def _settle(self, error: BenchError | None) -> None:
        waiting, self.joined = self.joined, None
        if waiting is None or waiting.done():
            return
        if error is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(error)

    def _fail(self, reason: str) -> None:
        if self.is_closed:
            return
        self._tally.closed[reason] += 1
        self.abort()
        self._settle(BenchError(reason))


def _set_receive_bytes(transport: asyncio.BaseTransport, size: int) -> None:
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
