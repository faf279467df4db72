"""`GET /rtc`: WebSockets of participants, over aiohttp.

Rules:

* Requests of one connection are handled one after another, and answered in their order; between two of them
  the loop does what else there is to do.
* What is sent waits in a queue of the connection's own. Volumes are left out for somebody who is behind; who
  is MAX_QUEUED frames or bytes behind is cut. The participant may resume.
* Who sends more frames than a conversation needs is cut, too; pings count.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import WSMsgType, web

from sfu.room_directory import RoomDirectory
from sfu.room_errors import Refusal
from sfu.room_messages import Message, Volumes
from sfu.room_ports import RoomAccess
from sfu.signalling_protocol import MAX_FRAME_BYTES, Encoding, NotificationEncoder
from sfu.signalling_session import Session, concerns

log = structlog.get_logger("mediaserver.sfu")

CLOSE_GOING_AWAY: Final = 1001
CLOSE_WRONG_KIND: Final = 1003
CLOSE_TOO_SLOW: Final = 3008
CLOSE_NOT_JOINED: Final = 4408
CLOSE_TOO_MANY_FRAMES: Final = 4429

MAX_QUEUED_FRAMES: Final = 1_024
MAX_QUEUED_BYTES: Final = 1024 * 1024
BEHIND_FRAMES: Final = 16
"""With so many frames waiting, volumes are of no use."""
WRITE_SECONDS: Final = 15.0
CLOSE_SECONDS: Final = 3.0
ADMIT_SECONDS: Final = 10.0
_FRAMES: Final = (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG)
_STATUS: Final = {
    "invalid_ticket": HTTPStatus.UNAUTHORIZED,
    "invalid_token": HTTPStatus.UNAUTHORIZED,
    "bad_origin": HTTPStatus.FORBIDDEN,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
}


@dataclass(frozen=True, slots=True)
class SignallingOptions:
    """`frames_per_second` may come in the long run, `frame_burst` at once: joining a full room takes many.

    `join_seconds` is how long a connection may be in no room. `reviews_at_once` leave the database to others.
    """

    max_connections: int = 5_000
    frames_per_second: float = 50.0
    frame_burst: int = 500
    ping_seconds: float = 20.0
    join_seconds: float = 30.0
    reviews_at_once: int = 8


class RtcSignalling:
    """`handle` answers `GET /rtc`, `review` follows changes of rights, `close` says goodbye to all."""

    def __init__(
        self, directory: RoomDirectory, access: RoomAccess, options: SignallingOptions | None = None
    ) -> None:
        self._directory = directory
        self._access = access
        self._options = options or SignallingOptions()
        self._encoder = NotificationEncoder()
        self._connections: set[Connection] = set()
        self._reviews = asyncio.Semaphore(self._options.reviews_at_once)
        self._places_taken = 0
        self._is_draining = False

    @property
    def connection_count(self) -> int:
        """How many are connected."""
        return len(self._connections)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection until it ends."""
        try:
            encoding = _negotiated(request)
            self._check_place()
        except Refusal as refusal:
            return _refusal_response(refusal)
        self._places_taken += 1
        try:
            return await self._serve(request, encoding, await self._admit(request))
        except Refusal as refusal:
            return _refusal_response(refusal)
        finally:
            self._places_taken -= 1

    def _check_place(self) -> None:
        if self._is_draining or self._places_taken >= self._options.max_connections:
            raise Refusal("too_many_connections", "The server is full; try again later.", 5)

    async def _admit(self, request: web.Request) -> object:
        try:
            async with asyncio.timeout(ADMIT_SECONDS):
                return await self._access.admit(request)
        except TimeoutError:
            raise Refusal("unavailable", "Nobody can tell who you are now; try again.", 2) from None

    async def _serve(self, request: web.Request, encoding: Encoding, principal: object) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS,
            autoping=False,
            heartbeat=self._options.ping_seconds,
            protocols=tuple(Encoding),
            compress=False,
            max_msg_size=MAX_FRAME_BYTES,
            decode_text=False,
        )
        await socket.prepare(request)
        session = Session(self._directory, self._access, principal, encoding)
        connection = Connection(socket, request.transport, session, encoding, self._encoder, self._options)
        self._connections.add(connection)
        if self._is_draining:
            connection.close(CLOSE_GOING_AWAY, "the server is stopping")
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
            session.lost(connection)
        return socket

    async def review(self, *, room_id: str | None = None, identity: str | None = None) -> None:
        """Ask again what these may do; call it when a room or a user changed. Either may be left out.

        A few at a time: one whose answer takes long, or fails, holds up none of the others.
        """
        async with asyncio.TaskGroup() as group:
            for connection in self._connections:
                connection.doubt(room_id, identity)
                if connection.is_of(room_id, identity):
                    group.create_task(self._review(connection))

    async def _review(self, connection: Connection) -> None:
        try:
            await connection.review(self._reviews)
        except Exception:
            log.warning("rtc_review_failed", exc_info=True)

    def close(self) -> None:
        """Let nobody in any more, and close what is open."""
        self._is_draining = True
        for connection in list(self._connections):
            connection.close(CLOSE_GOING_AWAY, "the server is stopping")
        self._directory.close(CLOSE_GOING_AWAY, "the server is stopping")


class Connection:
    """One WebSocket; implements sfu.participant.Link."""

    def __init__(
        self,
        socket: web.WebSocketResponse[bool],
        transport: asyncio.Transport | None,
        session: Session,
        encoding: Encoding,
        encoder: NotificationEncoder,
        options: SignallingOptions,
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._session = session
        self._encoding = encoding
        self._encoder = encoder
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wakeup = asyncio.Event()
        self._reviewing = asyncio.Lock()
        self._awaits_review = False
        self._goodbye: tuple[int, str] | None = None
        self._allowance = float(options.frame_burst)
        self._allowance_at = self._loop.time()
        self._outside_since = self._loop.time()

    async def serve(self) -> None:
        """Read and write until either side ends it."""
        writer = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            if self._goodbye is None:
                writer.cancel()
            await asyncio.wait((writer,), timeout=WRITE_SECONDS + CLOSE_SECONDS)
            if self._transport is not None and self._transport.get_write_buffer_size():
                # What a dead peer has not taken would be kept for it.
                self._transport.abort()

    def is_of(self, room_id: str | None, identity: str | None) -> bool:
        """Whether the participant is of this room and identity; either may be left out."""
        visit = self._session.visit(self)
        return visit is not None and concerns(visit.participant.grants, room_id, identity)

    def doubt(self, room_id: str | None, identity: str | None) -> None:
        """Note a change, for who is being let in."""
        self._session.doubt(room_id, identity)

    async def review(self, places: asyncio.Semaphore) -> None:
        """Ask again what the participant may do, when there is a place, and nobody asks for it any more.

        So no answer from before a change comes after one from behind it. One that waits counts for all.
        """
        if self._awaits_review:
            return
        self._awaits_review = True
        async with self._reviewing, places:
            self._awaits_review = False
            await self._session.review(self)

    # What is said to the client

    def notify(self, message: Message) -> None:
        """Implement Link."""
        if isinstance(message, Volumes) and len(self._queue) >= BEHIND_FRAMES:
            return
        self._send(self._encoder.encode(message, self._encoding))

    def close(self, code: int, reason: str) -> None:
        """Implement Link."""
        if self._goodbye is None:
            self._goodbye = (code, reason)
            self._wakeup.set()

    def _send(self, frame: bytes) -> None:
        if self._goodbye is not None:
            return
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        if len(self._queue) > MAX_QUEUED_FRAMES or self._queued_bytes > MAX_QUEUED_BYTES:
            self._queue.clear()
            self.close(CLOSE_TOO_SLOW, "too slow")
        self._wakeup.set()

    async def _write(self) -> None:
        kind = WSMsgType.TEXT if self._encoding.is_text else WSMsgType.BINARY
        try:
            while self._goodbye is None or self._queue:
                await self._wakeup.wait()
                self._wakeup.clear()
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._write_queue(kind)
            code, reason = self._goodbye
        except TimeoutError:
            code, reason = CLOSE_TOO_SLOW, "too slow"
        except ConnectionError:
            code, reason = CLOSE_GOING_AWAY, ""
        self._goodbye = (code, reason)
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(code=code, message=reason.encode())

    async def _write_queue(self, kind: WSMsgType) -> None:
        while self._queue:
            frame = self._queue.popleft()
            self._queued_bytes -= len(frame)
            await self._socket.send_frame(frame, kind)

    # What the client says

    async def _read(self) -> None:
        while self._goodbye is None:
            if self._is_idle():
                self.close(CLOSE_NOT_JOINED, "join a room")
                return
            with suppress(TimeoutError):
                message = await self._socket.receive(timeout=self._options.join_seconds)
                if message.type not in _FRAMES:
                    return
                self._count()
                if self._goodbye is None:
                    await self._take(message.type, message.data)
                # What is buffered already is read without a pause: one packet may hold hundreds of frames.
                await asyncio.sleep(0)

    def _is_idle(self) -> bool:
        """Whether it is in no room for too long. In a room, pings tell whether anybody is there."""
        if self._session.visit(self) is not None:
            self._outside_since = self._loop.time()
        return self._loop.time() - self._outside_since >= self._options.join_seconds

    def _count(self) -> None:
        now = self._loop.time()
        refill = (now - self._allowance_at) * self._options.frames_per_second
        self._allowance = min(self._allowance + refill, float(self._options.frame_burst)) - 1
        self._allowance_at = now
        if self._allowance < 0:
            self.close(CLOSE_TOO_MANY_FRAMES, "too many frames")

    async def _take(self, kind: WSMsgType, data: bytes) -> None:
        if kind is WSMsgType.PING:
            await self._socket.pong(data)
        elif kind is WSMsgType.PONG:
            return
        elif (kind is WSMsgType.TEXT) is not self._encoding.is_text:
            self.close(CLOSE_WRONG_KIND, f"{self._encoding.value} takes the other kind of messages")
        else:
            response = await self._session.answer(data, self)
            if response is not None:
                self._send(response)


def _negotiated(request: web.Request) -> Encoding:
    """Return the first subprotocol of the client's that is known, JSON if it names none."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise Refusal("not_websocket", "This is for WebSockets.")
    header = request.headers.getall("Sec-WebSocket-Protocol", [])
    offered = [name.strip() for line in header for name in line.split(",") if name.strip()]
    for name in offered:
        with suppress(ValueError):
            return Encoding(name)
    if offered:
        raise Refusal("unknown_subprotocol", f"Known are {', '.join(Encoding)}.")
    return Encoding.JSON


def _refusal_response(refusal: Refusal) -> web.Response:
    status = _STATUS.get(refusal.code, HTTPStatus.SERVICE_UNAVAILABLE)
    if refusal.code in ("not_websocket", "unknown_subprotocol"):
        status = HTTPStatus.BAD_REQUEST
    headers = {} if refusal.retry_after is None else {"Retry-After": str(int(refusal.retry_after) + 1)}
    body = {"success": False, "error": refusal.message, "code": refusal.code}
    return web.json_response(body, status=status, headers=headers)
