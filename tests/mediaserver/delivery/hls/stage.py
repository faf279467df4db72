"""A live room with HLS in front of it, for a test to move on by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mediaserver.authorizer import RoomAccess
from mediaserver.delivery.client_address import ClientAddress
from mediaserver.delivery.hls.directory import HlsDirectory
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.packager import HlsPackager
from mediaserver.delivery.hls.rendition import Rendition
from mediaserver.delivery.hls.routes import add_hls_routes
from mediaserver.delivery.http_app import create_http_app
from mediaserver.hub.hub import Hub
from tests.mediaserver.delivery.hls.streams import AUDIO, VIDEO, frames, merged, sounds


class Gate:
    """Knows one room; with a ``token``, it has to be told."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.max_viewers: int | None = None

    async def access(self, request: web.Request, room_ref: str) -> RoomAccess:
        if room_ref not in ("room", "slug"):
            raise web.HTTPNotFound(text="no such room")
        if self.token is not None and request.query.get("token") != self.token:
            raise web.HTTPUnauthorized(text="token: missing or wrong")
        return RoomAccess("room", None, "A room", "alice", is_listed=True, max_viewers=self.max_viewers)


class NullPublisher:
    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None: ...


class Stage:
    """A live room with HLS in front of it."""

    def __init__(self, client: TestClient, hub: Hub, directory: HlsDirectory, gate: Gate) -> None:
        self.client = client
        self.hub = hub
        self.gate = gate
        self.directory = directory
        self.at = 0.0

    def go_live(self) -> None:
        stream = self.hub.open("room", NullPublisher())
        self.hub.set_tracks(stream, (VIDEO, AUDIO), {})

    def play(self, seconds: float) -> None:
        stream = self.hub.find("room")
        assert stream is not None
        for packet in merged(frames(30, seconds, 2, start=self.at), sounds(seconds, start=self.at)):
            stream.publish(packet)
        self.at += seconds

    @property
    def packager(self) -> HlsPackager:
        packager = self.directory.find("room")
        assert packager is not None
        return packager

    @property
    def rendition(self) -> Rendition:
        return self.packager.renditions[VIDEO.id]

    @property
    def video(self) -> str:
        return f"/hls/room/{self.rendition.uri}"

    async def text(self, path: str, status: int = 200) -> str:
        response = await self.client.get(path)
        assert response.status == status, await response.text()
        return await response.text()


@asynccontextmanager
async def make_stage() -> AsyncIterator[Stage]:
    hub = Hub()
    directory = HlsDirectory(hub, HlsOptions(always=True))
    hub.add_listener(directory)
    gate = Gate()
    app = create_http_app()
    add_hls_routes(app, directory, gate, ClientAddress())
    async with TestClient(TestServer(app)) as client:
        yield Stage(client, hub, directory, gate)
        hub.close()
        directory.close()
