"""One client on one socket: its bytes in, whole frames to the handler, bytes out.

Rules:

* A connection that says nothing has no task and no timer; thousands of them cost their bytes only.
* What a client sends is handled in its order by one task, which lives while there is something to handle.
  Nobody is read from while much of theirs waits.
* Who does not take what is written is cut when BUDGET_BYTES wait; nobody else notices.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, cast
from uuid import UUID

from chat.errors import ProtocolError
from chat.ports import Identity
from chat.protocol.frames import MAX_FRAME_BYTES, Encoding
from chat.protocol.websocket import (
    BytesReceived,
    CloseReceived,
    MessageParser,
    PingReceived,
    PongReceived,
    TextReceived,
    close_frame,
    ping_frame,
    pong_frame,
)

if TYPE_CHECKING:
    from chat.room import Room

BUDGET_BYTES: Final = 1024 * 1024
GRACE_SECONDS: Final = 5.0
KERNEL_BYTES: Final = 256 * 1024
"""The kernel keeps at most twice this of a client's; left to itself, it takes megabytes before it says so."""
MAX_WAITING: Final = 32
"""With so many frames unhandled, nothing more is read until they are."""
FRAMES_PER_SECOND: Final = 100
"""More than this, pings included, is no conversation."""
CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_WRONG_KIND: Final = 1003
CLOSE_NOT_SIGNED_IN: Final = 3000
CLOSE_TOO_SLOW: Final = 3008
CLOSE_TOO_MANY_FRAMES: Final = 4429
_PING: Final = ping_frame()
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class ConnectionHandler(Protocol):
    """What a connection tells; must not block."""

    def start(self, connection: "Connection") -> None:
        """Frames wait: run ``connection.work`` as a task."""

    def lost(self, connection: "Connection") -> None:
        """The connection is over."""


class Connection(asyncio.Protocol):
    """A client after the handshake. ``identity`` is None for somebody who only reads."""

    __slots__ = (
        "_frames",
        "_handler",
        "_is_working",
        "_loop_time",
        "_parser",
        "_second",
        "_transport",
        "_waiting",
        "address",
        "encoding",
        "has_answered",
        "identity",
        "is_closed",
        "rooms",
    )

    def __init__(
        self,
        handler: ConnectionHandler,
        encoding: Encoding,
        identity: Identity | None,
        address: str,
        loop_time: Callable[[], float],
    ) -> None:
        self._handler = handler
        self.encoding: Final = encoding
        self.identity: Final = identity
        self.address: Final = address
        self.is_closed = False
        self.has_answered = True
        """Whether anything came since the last ping."""
        self.rooms: dict[UUID, Room] = {}
        self._loop_time = loop_time
        self._parser = MessageParser(MAX_FRAME_BYTES)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[bytes | str] | None = None
        self._is_working = False
        self._second = 0
        self._frames = 0

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        _set_option(self._transport, socket.SO_SNDBUF, KERNEL_BYTES)

    def data_received(self, data: bytes) -> None:
        if self.is_closed:
            return
        self.has_answered = True
        try:
            for event in self._parser.feed(data):
                self._take(event)
        except ProtocolError as error:
            self.close(error.close_code, error.reason)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._transport = None
        self._waiting = None
        self._handler.lost(self)

    # What the client says

    def _take(self, event: object) -> None:
        if self.is_closed:
            return
        self._count()
        match event:
            case TextReceived(text):
                self._enqueue(text, is_text=True)
            case BytesReceived(data):
                self._enqueue(data, is_text=False)
            case PingReceived(data):
                self.write(pong_frame(data))
            case PongReceived():
                pass
            case CloseReceived(code, _):
                self.close(code if code is not None else CLOSE_NORMAL)

    def _count(self) -> None:
        second = int(self._loop_time())
        if second != self._second:
            self._second, self._frames = second, 0
        self._frames += 1
        if self._frames > FRAMES_PER_SECOND:
            raise ProtocolError(CLOSE_TOO_MANY_FRAMES, f"more than {FRAMES_PER_SECOND} frames a second")

    def _enqueue(self, data: bytes | str, is_text: bool) -> None:
        if is_text is not self.encoding.is_text:
            kind = "text" if self.encoding.is_text else "binary"
            raise ProtocolError(CLOSE_WRONG_KIND, f"{self.encoding.value} takes {kind} messages")
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(data)
        if len(self._waiting) == MAX_WAITING and self._transport is not None:
            self._transport.pause_reading()
        if not self._is_working:
            self._is_working = True
            self._handler.start(self)

    async def work(self, handle: Callable[["Connection", bytes | str], Awaitable[None]]) -> None:
        """Let ``handle`` have what waits, one after the other, until nothing does."""
        try:
            while self._waiting:
                await handle(self, self._waiting.popleft())
        finally:
            # An idle client keeps no queue.
            self._waiting = None
            self._is_working = False
            if self._transport is not None and not self.is_closed:
                self._transport.resume_reading()

    # What the client is told

    def write(self, data: bytes) -> None:
        """Send ``data``, which is framed. Nothing happens once the connection is closed."""
        transport = self._transport
        if transport is None or self.is_closed:
            return
        try:
            transport.write(data)
        except RuntimeError:  # uvloop: closed, and this has not heard of it yet
            self.abort()
            return
        if transport.get_write_buffer_size() > BUDGET_BYTES:
            self.cut()

    @property
    def backlog(self) -> int:
        """Bytes the client has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def write_quickly(self) -> Callable[[bytes], None] | None:
        """The transport's own ``write``, for the fan-out, which looks at the backlog itself."""
        return self._transport.write if self._transport is not None else None

    def ping(self) -> None:
        self.has_answered = False
        self.write(_PING)

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye and close as soon as what was written is sent."""
        if self._transport is None or self.is_closed:
            return
        self.write(close_frame(code, reason))
        self.is_closed = True
        if self._transport is not None:
            self._transport.close()

    def cut(self) -> None:
        """Close one that does not take what it is sent. It has GRACE_SECONDS to take the rest."""
        transport = self._transport
        if transport is None or self.is_closed:
            return
        self.is_closed = True
        with suppress(RuntimeError):
            transport.write(close_frame(CLOSE_TOO_SLOW, "too slow"))
        transport.close()
        asyncio.get_running_loop().call_later(GRACE_SECONDS, _reset, transport)

    def abort(self) -> None:
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()


def _reset(transport: asyncio.Transport) -> None:
    """Drop what the client has not taken, in the kernel too: it would offer it for minutes."""
    _set_option(transport, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


def _set_option(transport: asyncio.Transport, option: int, value: int | bytes) -> None:
    own_socket = transport.get_extra_info("socket")
    if own_socket is not None:
        with suppress(OSError):  # closed already
            own_socket.setsockopt(socket.SOL_SOCKET, option, value)
