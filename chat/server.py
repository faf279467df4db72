"""``WS /ws``: the handshake over aiohttp, and then sockets of our own.

aiohttp reads the request and knows who asks. Once it is accepted, the socket is taken over: an idle client
then has neither a task nor a request of aiohttp's, which would be most of what it costs.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from uuid import UUID

import structlog
from aiohttp import HttpVersion11, hdrs, web

from chat.connection import CLOSE_GOING_AWAY, CLOSE_NOT_SIGNED_IN, Connection
from chat.errors import Refusal
from chat.frame_handler import FrameHandler
from chat.hub import Hub
from chat.keepalive import Keepalive
from chat.ports import Identity, RateLimiter, SignIn
from chat.protocol.frames import Encoding
from chat.protocol.websocket import accept_key
from chat.tasks import Tasks
from storage.bus import Bus, ChangesMissed, UserChanged
from storage.errors import StorageError

logger = structlog.get_logger("mediaserver.chat")

CONNECT_WINDOW_SECONDS: Final = 60.0
TICK_SECONDS: Final = 1.0
SIGN_IN_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 1.0
_VERSION: Final = "13"
_STATUS: Final = {
    "invalid_ticket": HTTPStatus.UNAUTHORIZED,
    "invalid_token": HTTPStatus.UNAUTHORIZED,
    "bad_origin": HTTPStatus.FORBIDDEN,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_connections": HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """``connections_per_minute`` from one address; ``max_connections`` of this node."""

    connections_per_minute: int = 10
    max_connections: int = 20_000


class ChatServer:
    """Implements chat.connection.ConnectionHandler. ``run`` is its task; ``close`` says goodbye to all."""

    def __init__(
        self,
        frames: FrameHandler,
        hub: Hub,
        sign_in: SignIn,
        limiter: RateLimiter,
        tasks: Tasks,
        options: ServerOptions,
    ) -> None:
        self._frames = frames
        self._hub = hub
        self._sign_in = sign_in
        self._limiter = limiter
        self._tasks = tasks
        self._options = options
        self._connections: dict[Connection, None] = {}
        self._keepalive = Keepalive()
        self._is_draining = False
        self._changes = 0
        self._has_missed = False
        self._is_reviewing = False

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    def subscribe(self, bus: Bus) -> None:
        bus.subscribe(UserChanged, self._user_changed)
        bus.subscribe(ChangesMissed, self._changes_missed)

    async def run(self) -> None:
        """Pings, counts and bursts, once a second."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            closed = self._keepalive.tick()
            if closed:
                logger.info("chat_silent_closed", count=closed)
            await self._hub.tick(loop.time())

    def close(self) -> None:
        self._is_draining = True
        for connection in list(self._connections):
            connection.close(CLOSE_GOING_AWAY, "the server is stopping")

    # The handshake

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer ``GET /ws``. Raises no refusals: they are answers with a JSON body."""
        changes = self._changes
        try:
            key, encoding = _handshake(request)
            identity = await self._admit(request)
        except _HandshakeRefused as refused:
            return refused.response
        except Refusal as refusal:
            return _refused(refusal)
        except (StorageError, TimeoutError):
            return _refused(Refusal("unavailable", "Nobody can tell who you are now; try again.", 1))
        if request.transport is None:
            raise ConnectionResetError("the client left")
        connection = Connection(
            self, encoding, identity, self._sign_in.address_of(request), asyncio.get_running_loop().time
        )
        self._take_over(request, connection, _response(key, encoding, request))
        if identity is not None and changes != self._changes:
            # It may have been about them, and came before there was a connection to close.
            self._tasks.start(self._review(identity.user_id))
        # Cancelled with the request that the socket was taken from.
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    async def _admit(self, request: web.Request) -> Identity | None:
        if self._is_draining or len(self._connections) >= self._options.max_connections:
            raise Refusal("too_many_connections", "The chat is full; try again later.", 5)
        address = self._sign_in.address_of(request)
        async with asyncio.timeout(SIGN_IN_SECONDS):
            allowance = await self._limiter.take(
                f"chat:connect:{address}", self._options.connections_per_minute, CONNECT_WINDOW_SECONDS
            )
            if not allowance.is_allowed:
                text = "Too many connections from your address; wait a little."
                raise Refusal("rate_limited", text, allowance.reset_seconds)
            return await self._sign_in.identify(request)

    def _take_over(self, request: web.Request, connection: Connection, response: bytes) -> None:
        protocol, transport = request.protocol, request.transport
        assert transport is not None
        early = _Early()
        protocol.set_parser(early)  # type: ignore[arg-type]
        transport.set_protocol(connection)
        # aiohttp is told that the connection is over, without being able to close it.
        protocol.transport = None
        protocol.connection_lost(None)
        transport.write(response)
        connection.connection_made(transport)
        self._connections[connection] = None
        self._keepalive.add(connection)
        self._hub.connected(connection)
        if early.data:
            connection.data_received(early.data)
        transport.resume_reading()

    # What connections tell

    def start(self, connection: Connection) -> None:
        self._tasks.start(connection.work(self._frames.handle))

    def lost(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._keepalive.remove(connection)
        self._frames.forget(connection)
        self._hub.disconnected(connection)

    # Who is signed in no more

    def _user_changed(self, event: UserChanged) -> None:
        self._changes += 1
        self._tasks.start(self._review(UUID(event.user_id)))

    def _changes_missed(self, _: ChangesMissed) -> None:
        self._changes += 1
        self._has_missed = True
        self._tasks.start(self._review_all())

    async def _review_all(self) -> None:
        """One at a time; what is missed meanwhile makes it begin again."""
        if self._is_reviewing:
            return
        self._is_reviewing = True
        try:
            while self._has_missed:
                self._has_missed = False
                for user_id in self._hub.users():
                    await self._review(user_id)
        finally:
            self._is_reviewing = False

    async def _review(self, user_id: UUID) -> None:
        """Something about the user changed: their connections may not count any more."""
        while connections := self._hub.connections_of(user_id):
            try:
                return await self._close_invalid(connections)
            except (StorageError, TimeoutError) as error:
                logger.warning("chat_sign_in_not_reviewed", user_id=str(user_id), error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _close_invalid(self, connections: Sequence[Connection]) -> None:
        for connection in connections:
            identity = connection.identity
            if identity is not None and not await self._sign_in.is_valid(identity):
                connection.close(CLOSE_NOT_SIGNED_IN, "signed out")


class _Early:
    """Takes what came right behind the request, which aiohttp has read already."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        pass


class _HandshakeRefused(Exception):
    def __init__(self, status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.response: Final = web.Response(status=status, text=text, headers=headers)


def _handshake(request: web.Request) -> tuple[str, Encoding]:
    """The key and the subprotocol (RFC 6455, 4.2.1)."""
    if request.method != hdrs.METH_GET or request.version < HttpVersion11 or request.body_exists:
        raise _HandshakeRefused(HTTPStatus.BAD_REQUEST, "this address takes GET of HTTP/1.1 without a body")
    is_asked = "websocket" in _tokens(request, hdrs.UPGRADE) and "upgrade" in _tokens(
        request, hdrs.CONNECTION
    )
    if not is_asked:
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        raise _HandshakeRefused(HTTPStatus.UPGRADE_REQUIRED, "this address speaks WebSocket", headers)
    if request.headers.get(hdrs.SEC_WEBSOCKET_VERSION) != _VERSION:
        headers = {"Sec-WebSocket-Version": _VERSION}
        raise _HandshakeRefused(
            HTTPStatus.UPGRADE_REQUIRED, f"Sec-WebSocket-Version: {_VERSION} is spoken here", headers
        )
    key = request.headers.get(hdrs.SEC_WEBSOCKET_KEY, "")
    if not _is_key(key):
        raise _HandshakeRefused(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key: 16 bytes in base64")
    return key, _encoding(request)


def _tokens(request: web.Request, header: str) -> list[str]:
    values = ",".join(request.headers.getall(header, ()))
    return [token.strip().lower() for token in values.split(",")]


def _encoding(request: web.Request) -> Encoding:
    """The first of the client's subprotocols that is known; MSGPACK for one that names none."""
    offered = [
        name.strip()
        for value in request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ())
        for name in value.split(",")
    ]
    known = {encoding.value: encoding for encoding in Encoding}
    for name in offered:
        if name in known:
            return known[name]
    if offered:
        names = ", ".join(known)
        raise _HandshakeRefused(HTTPStatus.BAD_REQUEST, f"Sec-WebSocket-Protocol: one of {names}")
    return Encoding.MSGPACK


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _response(key: str, encoding: Encoding, request: web.Request) -> bytes:
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(key)}",
    ]
    if hdrs.SEC_WEBSOCKET_PROTOCOL in request.headers:
        lines.append(f"Sec-WebSocket-Protocol: {encoding.value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _refused(refusal: Refusal) -> web.Response:
    status = _STATUS.get(refusal.code, HTTPStatus.FORBIDDEN)
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    if refusal.retry_after is not None:
        headers[hdrs.RETRY_AFTER] = str(max(1, round(refusal.retry_after)))
    body = {"success": False, "error": refusal.message, "code": refusal.code}
    return web.json_response(body, status=status, headers=headers)


def add_chat_route(app: web.Application, handle: Callable[[web.Request], object]) -> None:
    """Put ``/ws`` into an application, which must run with ``handler_cancellation``."""
    app.router.add_get("/ws", handle)  # type: ignore[arg-type]
