"""`/live/{room}.{flv,mp4,ts}`: continuous streams over HTTP, and FLV over WebSocket.

A handler only opens the door: it checks, answers the headers, hands the transport to the stream's broadcast
and waits for the end. No media passes through it.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final

from aiohttp import WSMsgType, hdrs, web

from mediaserver.authorizer import RoomAccess
from mediaserver.containers.flv import FlvMuxer
from mediaserver.containers.fmp4 import Fmp4Muxer
from mediaserver.containers.mpegts import MpegTsMuxer
from mediaserver.containers.muxer import Muxer
from mediaserver.delivery.broadcast import Viewer
from mediaserver.delivery.framing import WEBSOCKET_CLOSE_NORMAL, Framing
from mediaserver.delivery.gate import NO_STORE, PlaybackGate, refuse_when_full
from mediaserver.delivery.live import LiveDelivery
from mediaserver.hub.stream import Stream, StreamState
from mediaserver.playback_sessions import PlaybackSession

MAX_WAIT_SECONDS: Final = 60.0
RETRY_AFTER_SECONDS: Final = 2
WEBSOCKET_CLOSE_SECONDS: Final = 5.0
WEBSOCKET_HEARTBEAT_SECONDS: Final = 30.0
WEBSOCKET_MAX_MESSAGE_BYTES: Final = 4096
WEBSOCKET_CLOSE_POLICY: Final = b"\x88\x02\x03\xf0"
"""Close frame with status 1008 (RFC 6455, 7.4.1): the viewer may not watch any more."""

MUXERS: Final[Mapping[str, Callable[[], Muxer]]] = {
    "flv": FlvMuxer,
    "mp4": Fmp4Muxer,
    "ts": MpegTsMuxer,
}


class LiveRoutes:
    """The handlers; ``add_live_routes`` puts them into an application."""

    def __init__(self, delivery: LiveDelivery, gate: PlaybackGate) -> None:
        self._delivery = delivery
        self._gate = gate

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer 200 and the stream; 404 for unknown or not live, 401/403 by the gate, 503 when full."""
        access = await self._gate.access(request, request.match_info["room"])
        with self._delivery.sessions.opened(access.room_id, access.viewer_id) as session:
            return await self._serve(request, access, session)

    async def _serve(
        self, request: web.Request, access: RoomAccess, session: PlaybackSession
    ) -> web.StreamResponse:
        container = request.match_info["container"]
        stream = await self._find_stream(request, access, session)
        if request.method == hdrs.METH_HEAD:
            return web.Response(headers=_headers(container, stream))
        if self._delivery.is_full:
            raise web.HTTPServiceUnavailable(text="viewer limit reached", headers=_retry_later())
        refuse_when_full(access, stream.viewer_count)
        if _wants_websocket(request):
            if container != "flv":
                raise web.HTTPBadRequest(text="only .flv is served over WebSocket")
            return await self._serve_websocket(request, stream, session)
        return await self._serve_http(request, container, stream, session)

    async def _find_stream(
        self, request: web.Request, access: RoomAccess, session: PlaybackSession
    ) -> Stream:
        stream = await self._delivery.hub.wait_live(access.room_id, _wait_seconds(request))
        if session.is_closed:  # while it waited
            raise web.HTTPForbidden(text="you may not watch this room any more", headers=NO_STORE)
        if stream is None:
            raise web.HTTPNotFound(text="room is not live", headers=_retry_later())
        return stream

    async def _serve_http(
        self, request: web.Request, container: str, stream: Stream, session: PlaybackSession
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=_headers(container, stream))
        framing = Framing.BARE
        if request.version >= (1, 1):
            response.enable_chunked_encoding()
            framing = Framing.HTTP_CHUNK
        else:
            response.force_close()
        await response.prepare(request)
        ended = asyncio.Event()
        session.on_close = ended.set
        with self._watching(stream, container, Viewer(_transport(request), framing, ended.set), session):
            await ended.wait()
        return response

    async def _serve_websocket(
        self, request: web.Request, stream: Stream, session: PlaybackSession
    ) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=WEBSOCKET_CLOSE_SECONDS,
            heartbeat=WEBSOCKET_HEARTBEAT_SECONDS,
            compress=False,
            max_msg_size=WEBSOCKET_MAX_MESSAGE_BYTES,
        )
        await socket.prepare(request)
        transport = _transport(request)

        def end(close_frame: bytes = WEBSOCKET_CLOSE_NORMAL) -> None:
            if not transport.is_closing():
                transport.write(close_frame)
                transport.close()

        session.on_close = partial(end, WEBSOCKET_CLOSE_POLICY)
        with self._watching(stream, "flv", Viewer(transport, Framing.WEBSOCKET, end), session):
            # A viewer has nothing to say; reading answers pings and sees the close.
            while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
                pass
        return socket

    @contextmanager
    def _watching(
        self, stream: Stream, container: str, viewer: Viewer, session: PlaybackSession
    ) -> Iterator[None]:
        """Count a viewer in for as long as its handler lives, however that ends."""
        if stream.state is StreamState.ENDED or session.is_closed:  # while the headers were sent
            viewer.on_end()
            yield
            return
        broadcast = self._delivery.broadcast(stream, container, MUXERS[container], container)
        broadcast.join(viewer)
        try:
            yield
        finally:
            broadcast.leave(viewer)


def add_live_routes(app: web.Application, delivery: LiveDelivery, gate: PlaybackGate) -> None:
    """Add the doors of `/live/`. The application must run with ``handler_cancellation``."""
    routes = LiveRoutes(delivery, gate)
    containers = "|".join(MUXERS)
    app.router.add_get(f"/live/{{room}}.{{container:{containers}}}", routes.serve)


def _headers(container: str, stream: Stream) -> dict[str, str]:
    muxer = MUXERS[container]()
    muxer.configure(stream.tracks, stream.metadata)
    return {hdrs.CONTENT_TYPE: muxer.mime_type, hdrs.CACHE_CONTROL: "no-store"}


def _retry_later() -> dict[str, str]:
    return {hdrs.RETRY_AFTER: str(RETRY_AFTER_SECONDS), hdrs.CACHE_CONTROL: "no-store"}


def _wait_seconds(request: web.Request) -> float:
    text = request.query.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        raise web.HTTPBadRequest(text=f"wait: a number of seconds from 0 to {MAX_WAIT_SECONDS:g}")
    return seconds


def _wants_websocket(request: web.Request) -> bool:
    return request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"


def _transport(request: web.Request) -> asyncio.Transport:
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("viewer left before the first byte")
    return transport
