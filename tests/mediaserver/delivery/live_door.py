"""The doors of `/live/` on a real HTTP server, with one room that is published by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from mediaserver.authorizer import RoomAccess
from mediaserver.delivery.broadcast import BroadcastOptions
from mediaserver.delivery.http_app import create_http_app
from mediaserver.delivery.http_server import HttpServer
from mediaserver.delivery.live import LiveDelivery
from mediaserver.delivery.live_routes import add_live_routes
from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream
from mediaserver.media.packet import Codec, MediaPacket
from tests.helpers.encoded import Encoded, encode
from tests.helpers.waiting import eventually

ROOM: Final = "room"
VIEWERS: Final = 50
HUGE_BYTES: Final = 15 * 1024 * 1024
CLIENT_SECONDS: Final = 10.0
AIOHTTP_TASKS: Final = 2
"""aiohttp runs one task per connection and one per request; a viewer adds none to them."""


class OneRoomGate:
    """Knows the room ``room`` and lets everyone in."""

    max_viewers: int | None = None

    async def access(self, request: web.Request, room_ref: str) -> RoomAccess:
        if room_ref != ROOM:
            raise web.HTTPNotFound(text="no such room")
        return RoomAccess(ROOM, None, "A room", "alice", is_listed=True, max_viewers=self.max_viewers)


class SilentPublisher:
    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None: ...


class Door:
    """A running server with one room, which goes on the air by ``publish``."""

    def __init__(self, server: HttpServer, delivery: LiveDelivery, gate: OneRoomGate, port: int) -> None:
        self.server: Final = server
        self.gate: Final = gate
        self.delivery: Final = delivery
        self.port: Final = port
        self.media: Final[Encoded] = encode(Codec.H264, Codec.AAC)
        self._publisher: Final = SilentPublisher()
        self._left: list[MediaPacket] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream(self) -> Stream:
        stream = self.delivery.hub.find(ROOM)
        assert stream is not None
        return stream

    def publish(self, packets: int) -> None:
        """Start the room if it is not live, and publish this many more packets."""
        if self.delivery.hub.find(ROOM) is None:
            stream = self.delivery.hub.open(ROOM, self._publisher)
            self.delivery.hub.set_tracks(stream, self.media.tracks, {})
            self._left = list(self.media.packets)
        now, self._left = self._left[:packets], self._left[packets:]
        for packet in now:
            self.stream.publish(packet)

    def publish_huge_frame(self) -> None:
        """Start the room with more than the sockets between us can hold."""
        self.publish(0)
        first = next(packet for packet in self.media.packets if packet.track.id == 0)
        self.stream.publish(
            MediaPacket(first.track, first.dts, first.pts, True, bytes(HUGE_BYTES), first.received_at)
        )

    def publish_rest(self) -> None:
        self.publish(len(self._left))

    def stop(self) -> None:
        self.delivery.hub.release(ROOM, self._publisher, is_clean=True)

    async def viewer(self, version: str = "1.1", container: str = "flv") -> "RawViewer":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET /live/{ROOM}.{container} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
        return RawViewer(reader, writer)

    async def viewers(self, number: int) -> list["RawViewer"]:
        """This many, who all got their headers and are counted."""
        viewers = [await self.viewer() for _ in range(number)]
        await eventually(lambda: self.delivery.viewers == number)
        return viewers


@dataclass
class RawViewer:
    """Reads what is on the wire, without a library that would forgive."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def headers(self) -> str:
        async with asyncio.timeout(CLIENT_SECONDS):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def chunked_body(self) -> bytes:
        """The body up to its last chunk (RFC 9112, 7.1); asserts the framing."""
        body = b""
        async with asyncio.timeout(CLIENT_SECONDS):
            while size := int((await self.reader.readuntil(b"\r\n"))[:-2], 16):
                body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
        return body

    async def rest(self) -> bytes:
        async with asyncio.timeout(CLIENT_SECONDS):
            return await self.reader.read()

    def leave(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def open_door() -> AsyncIterator[Door]:
    hub = Hub(grace_seconds=60)
    delivery = LiveDelivery(hub, BroadcastOptions(merge_window=0), GopCacheLimits())
    app = create_http_app()
    gate = OneRoomGate()
    add_live_routes(app, delivery, gate)
    server = HttpServer(app, shutdown_seconds=1)
    door = Door(server, delivery, gate, await server.start("127.0.0.1", 0))
    yield door
    hub.close()
    await server.close()
