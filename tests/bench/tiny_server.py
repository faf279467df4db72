"""A server that is just enough for the bench: RTMP in, the same tags out over HTTP, WebSocket and RTMP.

Every message is written at once to every viewer; there is no history but the sequence headers.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

from aiohttp import web

from mediaserver.delivery.framing import Framing, frame
from rtmp.ports import (
    PlayerConnection,
    PlayGrant,
    PublisherConnection,
    PublishGrant,
    Refusal,
    RefusalReason,
)
from rtmp.protocol.chunks import serialize_message
from rtmp.protocol.session import OUTGOING_CHUNK_SIZE
from rtmp.server import RtmpServer
from tests.bench.flv_bytes import FILE_HEADER, tag

HOST = "127.0.0.1"


class TinyServer:
    """Authorizer, ingest and playback of the RTMP server, and the HTTP handler."""

    def __init__(self) -> None:
        self.rtmp_port = self.http_port = 0
        self.published = 0
        self.clean_ends = 0
        self._headers: dict[int, bytes] = {}
        self._http: dict[asyncio.WriteTransport, Framing] = {}
        self._players: set[PlayerConnection] = set()

    @property
    def viewers(self) -> int:
        return len(self._http) + len(self._players)

    def rtmp_url(self, name: str) -> str:
        return f"rtmp://{HOST}:{self.rtmp_port}/live/{name}"

    def http_url(self) -> str:
        return f"http://{HOST}:{self.http_port}/x.flv"

    async def may_publish(self, app: str, name: str, query: Mapping[str, str], address: str):
        if name == "wrong":
            return Refusal(RefusalReason.BAD_NAME, "no such key")
        return PublishGrant(name)

    async def may_play(self, app: str, name: str, query: Mapping[str, str], address: str):
        return PlayGrant(name)

    def refusal(self, grant: PlayGrant) -> None:
        """Everyone may play, whatever is on."""

    def open(self, grant: PublishGrant | PlayGrant, connection: PublisherConnection | PlayerConnection):
        return Player(self._players, connection) if isinstance(grant, PlayGrant) else Publication(self)

    def send(self, kind: int, timestamp: int, body: bytes) -> None:
        self.published += 1
        data = tag(kind, timestamp, body)
        if body[1] == 0:
            self._headers[kind] = data
        for transport, framing in self._http.items():
            transport.write(frame(framing, data))
        for player in self._players:
            stream_id = player.message_stream_id
            message = serialize_message(kind, timestamp, kind, stream_id, body, OUTGOING_CHUNK_SIZE)
            player.transport.write(message)

    async def flv(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade") == "websocket":
            socket = web.WebSocketResponse(heartbeat=0.2)
            await socket.prepare(request)
            with self._watching(request, Framing.WEBSOCKET):
                await socket.receive()
            return socket
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        with self._watching(request, Framing.HTTP_CHUNK):
            await asyncio.Event().wait()
        return response

    @contextmanager
    def _watching(self, request: web.Request, framing: Framing) -> Iterator[None]:
        transport = request.transport
        transport.write(frame(framing, FILE_HEADER + b"".join(self._headers.values())))
        self._http[transport] = framing
        try:
            yield
        finally:
            del self._http[transport]


class Publication:
    def __init__(self, server: TinyServer) -> None:
        self._server = server

    def audio(self, timestamp: int, body: bytes) -> None:
        self._server.send(8, timestamp, body)

    def video(self, timestamp: int, body: bytes) -> None:
        self._server.send(9, timestamp, body)

    def metadata(self, values: Mapping[str, object]) -> None:
        assert values["width"] == 1280

    def closed(self, is_clean: bool) -> None:
        self._server.clean_ends += is_clean


class Player:
    def __init__(self, players: set[PlayerConnection], connection: PlayerConnection) -> None:
        self._players = players
        self._connection = connection
        players.add(connection)

    def closed(self) -> None:
        with suppress(KeyError):
            self._players.remove(self._connection)


@asynccontextmanager
async def tiny_server() -> AsyncIterator[TinyServer]:
    server = TinyServer()
    rtmp = RtmpServer(server, server, server)
    server.rtmp_port = await rtmp.start(HOST, 0)
    app = web.Application()
    app.router.add_get("/x.flv", server.flv)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    server.http_port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
        await rtmp.close()
