"""Every door from end to end: a token lets in, and a change in the database alone sends away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final
from uuid import UUID

import aiohttp
import pytest

from control_api.playback_grants import PlaybackGrants
from control_api.principal import Principal
from control_api.services.playback import PlaybackAccess, PlaybackBases, PlaybackPass, PlaybackService
from mediaserver.authorizer import Authorizer
from mediaserver.config import Settings
from mediaserver.config.settings import AuthorizationSettings
from mediaserver.delivery.client_address import ClientAddress
from mediaserver.delivery.gate import AuthorizedGate
from mediaserver.delivery.hls.routes import add_hls_routes
from mediaserver.delivery.http_app import create_http_app
from mediaserver.delivery.http_server import HttpServer
from mediaserver.delivery.live_routes import add_live_routes
from mediaserver.media.packet import Codec
from mediaserver.media_plane import MediaPlane
from rtmp.client import RtmpClient
from rtmp.protocol.errors import RequestRefusedError, RtmpError
from storage.bus import Bus
from storage.database import Database
from storage.notifications import Notifications
from storage.repositories import Rooms, StreamKeys, Users, UserState, Visibility
from storage.stream_keys import StreamKeyDigester
from tests.helpers.encoded import encode
from tests.helpers.waiting import eventually

CLIENT_SECONDS: Final = 10.0
HOUR: Final = AuthorizationSettings(cache_seconds=3600, negative_cache_seconds=3600)
CONTINUOUS: Final = ("flv", "mp4", "ws_flv", "rtmp")


class SilentPublisher:
    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None: ...


class Viewer:
    """Reads one continuous door to its end."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._read: Final = {"http": self._read_http, "ws": self._read_websocket, "rtmp": self._read_rtmp}
        self._session: Final = session
        self.has_media: Final = asyncio.Event()
        scheme = address.partition("://")[0]
        self.watching: Final = asyncio.create_task(self._read[scheme](address))

    async def _read_http(self, address: str) -> None:
        async with self._session.get(address) as response:
            assert response.status == 200, await response.text()
            async for _ in response.content.iter_any():
                self.has_media.set()

    async def _read_websocket(self, address: str) -> None:
        async with self._session.ws_connect(address) as socket:
            async for _ in socket:
                self.has_media.set()

    async def _read_rtmp(self, address: str) -> None:
        async with await RtmpClient.connect(address) as client:
            try:
                async for _ in client.play():
                    self.has_media.set()
            except RequestRefusedError:
                raise
            except RtmpError:
                return  # told to stop


class Scene:
    """A server with a live room of alice's that bob, a follower, watches."""

    def __init__(self, database: Database, media: MediaPlane, session: aiohttp.ClientSession) -> None:
        self.database: Final = database
        self.media: Final = media
        self.session: Final = session
        self.owner = self.viewer = self.room = UUID(int=0)
        self.service: PlaybackService | None = None
        self._media = encode(Codec.H264, Codec.AAC)
        self._publisher = SilentPublisher()

    async def populate(self) -> None:
        users = Users(self.database)
        self.owner = (await users.add("alice", "a@example.com", "hash")).id
        self.viewer = (await users.add("bob", "b@example.com", "hash")).id
        self.room = await Rooms(self.database).add(self.owner, "A room", None, Visibility.FOLLOWERS)
        await StreamKeys(self.database).set(self.room, b"\1" * 32)
        await self.database.execute("INSERT INTO follows VALUES ($1, $2)", self.viewer, self.owner)

    def go_live(self) -> None:
        stream = self.media.hub.open(str(self.room), self._publisher)
        self.media.hub.set_tracks(stream, self._media.tracks, {})
        self.publish()

    def publish(self) -> None:
        stream = self.media.hub.find(str(self.room))
        assert stream is not None
        for packet in self._media.packets:
            stream.publish(packet)

    async def issue(self, user: UUID | None) -> PlaybackPass:
        assert self.service is not None
        return await self.service.issue(Principal(user), self.room)

    async def watch_everywhere(self, user: UUID | None) -> list[Viewer]:
        granted = await self.issue(user)
        viewers = [Viewer(self.session, getattr(granted, name)) for name in CONTINUOUS]
        for viewer in viewers:
            async with asyncio.timeout(CLIENT_SECONDS):
                await viewer.has_media.wait()
        return viewers

    async def hls_status(self, address: str) -> int:
        async with self.session.get(address) as response:
            return response.status

    async def hls_becomes(self, status: int, address: str) -> None:
        async with asyncio.timeout(CLIENT_SECONDS):
            while await self.hls_status(address) != status:  # noqa: ASYNC110 (nothing says it)
                await asyncio.sleep(0.005)


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Scene]:
    bus, grants = Bus(), PlaybackGrants(b"secret")
    settings = Settings.model_validate(
        {
            "rtmp": {"host": "127.0.0.1", "port": 0},
            "hls": {"always": True, "segment_target_seconds": 1},
            "broadcast": {"merge_window_ms": 0},
        }
    )
    async with AsyncExitStack() as stack:
        digester = StreamKeyDigester(b"secret")
        authorizer = await stack.enter_async_context(Authorizer(database, digester, bus, HOUR, grants))
        media = MediaPlane(settings, authorizer, bus)
        await media.start(settings)
        stack.push_async_callback(media.close)
        gate, addresses = AuthorizedGate(authorizer, ClientAddress()), ClientAddress()
        app = create_http_app()
        add_live_routes(app, media.live, gate)
        add_hls_routes(app, media.hls, gate, addresses)
        server = HttpServer(app, shutdown_seconds=1)
        port = await server.start("127.0.0.1", 0)
        stack.push_async_callback(server.close)
        timeout = aiohttp.ClientTimeout(total=CLIENT_SECONDS * 2)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        scene = Scene(database, media, session)
        bases = PlaybackBases(f"http://127.0.0.1:{port}", f"rtmp://127.0.0.1:{media.rtmp_port}/live")
        crowd = Crowd(media)
        scene.service = PlaybackService(PlaybackAccess(database), grants, crowd, lambda: bases)
        await scene.populate()
        # From here on: the room's first key, heard of late, would end its stream.
        notifications = Notifications(database, bus)
        listening = asyncio.create_task(notifications.run())
        stack.callback(listening.cancel)
        async with asyncio.timeout(CLIENT_SECONDS):
            await notifications.listening.wait()
        scene.go_live()
        yield scene


class Crowd:
    def __init__(self, media: MediaPlane) -> None:
        self._media = media

    def watcher_count(self, room_id: UUID) -> int:
        return self._media.viewer_count(str(room_id))


async def unfollow(scene: Scene) -> None:
    await scene.database.execute("DELETE FROM follows WHERE follower_id = $1", scene.viewer)


async def block(scene: Scene) -> None:
    await scene.database.execute("INSERT INTO blocks VALUES ($1, $2)", scene.owner, scene.viewer)


async def ban(scene: Scene) -> None:
    await Users(scene.database).set_state(scene.viewer, UserState.BANNED)


async def make_private(scene: Scene) -> None:
    await Rooms(scene.database).set_visibility(scene.room, Visibility.PRIVATE)


@pytest.mark.parametrize("change", [unfollow, block, ban, make_private])
async def test_a_change_sends_viewers_away_from_every_door_and_keeps_the_others(scene: Scene, change):
    bobs, owners = await scene.watch_everywhere(scene.viewer), await scene.watch_everywhere(scene.owner)
    hls = (await scene.issue(scene.viewer)).hls
    assert await scene.hls_status(hls) == 200
    assert scene.media.viewer_count(str(scene.room)) == 2 * len(CONTINUOUS)

    await change(scene)
    await eventually(lambda: all(viewer.watching.done() for viewer in bobs))
    for viewer in bobs:
        viewer.watching.result()
    assert not any(viewer.watching.done() for viewer in owners)
    await scene.hls_becomes(403, hls)
    assert await scene.hls_status((await scene.issue(scene.owner)).hls) == 200
    await eventually(lambda: scene.media.viewer_count(str(scene.room)) == len(CONTINUOUS))
    scene.media.hub.kick(str(scene.room), "over")
    await asyncio.gather(*(viewer.watching for viewer in owners))


async def test_viewers_without_a_token_leave_a_room_that_is_no_longer_open(scene: Scene):
    await Rooms(scene.database).set_visibility(scene.room, Visibility.PUBLIC)
    granted = await scene.issue(None)
    bare = {name: getattr(granted, name).partition("?")[0] for name in (*CONTINUOUS, "hls")}
    await scene.hls_becomes(200, bare["hls"])
    viewers = [Viewer(scene.session, bare[name]) for name in CONTINUOUS]
    await eventually(lambda: all(viewer.has_media.is_set() for viewer in viewers))
    await make_private(scene)
    await eventually(lambda: all(viewer.watching.done() for viewer in viewers))
    await scene.hls_becomes(401, bare["hls"])


@pytest.mark.parametrize("door", CONTINUOUS)
async def test_no_door_opens_without_a_token(scene: Scene, door: str):
    address = getattr(await scene.issue(scene.viewer), door).partition("?")[0]
    expected: dict[str, type[Exception]] = {
        "ws_flv": aiohttp.WSServerHandshakeError,
        "rtmp": RequestRefusedError,
    }
    with pytest.raises(expected.get(door, AssertionError)):
        await Viewer(scene.session, address).watching


async def test_a_changed_stream_key_ends_the_stream_for_everyone(scene: Scene):
    viewers = await scene.watch_everywhere(scene.viewer)
    await StreamKeys(scene.database).set(scene.room, b"\2" * 32)
    await eventually(lambda: all(viewer.watching.done() for viewer in viewers))


async def test_every_file_of_hls_needs_the_token_and_carries_it_on(scene: Scene):
    hls = (await scene.issue(scene.viewer)).hls
    query = hls.partition("?")[2]
    folder = hls.rpartition("/")[0]
    async with scene.session.get(hls) as response:
        names = [line for line in (await response.text()).splitlines() if line and line[0] != "#"]
    async with scene.session.get(f"{folder}/{names[0]}") as response:
        assert response.status == 200
        lines = (await response.text()).splitlines()
    names += [line for line in lines if line[0] != "#"]
    names += [
        line.split('URI="')[1].split('"')[0]
        for line in lines
        if line.startswith(("#EXT-X-MAP", "#EXT-X-PART:"))
    ]
    assert len(names) > 3
    for name in names:
        assert name.endswith(f"?{query}")
        assert await scene.hls_status(f"{folder}/{name}") == 200
        assert await scene.hls_status(f"{folder}/{name.partition('?')[0]}") == 401
    await unfollow(scene)
    await scene.hls_becomes(403, hls)
    assert [await scene.hls_status(f"{folder}/{name}") for name in names] == [403] * len(names)


async def test_an_expired_token_says_so(scene: Scene):
    old = PlaybackGrants(b"secret", lifetime_seconds=-1).sign(scene.room, scene.viewer).token
    address = (await scene.issue(scene.viewer)).hls.partition("?")[0]
    async with scene.session.get(f"{address}?token={old}") as response:
        assert response.status == 401
        assert (await response.text()).startswith("token_expired: ")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert response.headers["Cache-Control"] == "no-store"
