import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient
from yarl import URL

from mediaserver.authorizer import RoomAccess
from mediaserver.delivery.http_app import create_http_app
from mediaserver.delivery.pages import (
    POLL_SECONDS,
    POLLS_PER_SECOND,
    WEB_FOLDER,
    AudioStatus,
    LiveEdge,
    RoomState,
    RoomStatus,
    VideoStatus,
    add_pages,
)

RTMP_PORT = 19350
OWNER_ID = UUID("0190a5c4-0000-7000-8000-000000000002")
ROOM = RoomAccess(
    "0190a5c4-0000-7000-8000-000000000001",
    "kitchen",
    "Soup & <b>bread</b>",
    "anna",
    is_listed=True,
    owner_id=OWNER_ID,
)
LIVE = RoomStatus(
    ROOM,
    RoomState.LIVE,
    viewers=3,
    started_at=datetime(2026, 11, 20, 21, 0, 0, 123456, UTC),
    video=VideoStatus("avc1.42C01F", 1280, 720, 29.97),
    audio=AudioStatus("mp4a.40.2", 48_000, 2),
    bitrate=2_000_000,
    edge=LiveEdge(12.3456, 0.0214),
)
ADDRESS = re.compile(r'(?:src|href)="(/static/[^"#]+)')

Client = TestClient[web.Request, web.Application]


class Rooms:
    """A RoomGate and a RoomBoard; ``refusal`` is raised instead of letting anybody in."""

    def __init__(self) -> None:
        self.now = LIVE
        self.refusal: web.HTTPException | None = None

    async def access(self, request: web.Request, room_ref: str) -> RoomAccess:
        if self.refusal is not None:
            raise self.refusal
        if room_ref not in (ROOM.room_id, ROOM.slug):
            raise web.HTTPNotFound(text="no such room")
        return ROOM

    def status(self, room: RoomAccess) -> RoomStatus:
        assert room is ROOM
        return self.now

    async def listed(self) -> Sequence[RoomStatus]:
        return [self.now] if self.now.state is RoomState.LIVE else []


@pytest.fixture
def rooms() -> Rooms:
    return Rooms()


@pytest.fixture
async def client(aiohttp_client: AiohttpClient, rooms: Rooms) -> Client:
    app = create_http_app()
    add_pages(app, rooms, rooms, lambda: RTMP_PORT)
    return await aiohttp_client(app)


async def test_status_of_a_live_room(client: Client) -> None:
    answer = await client.get("/live/kitchen.json")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert await answer.json() == {
        "roomId": ROOM.room_id,
        "slug": "kitchen",
        "title": "Soup & <b>bread</b>",
        "owner": "anna",
        "ownerId": str(OWNER_ID),
        "state": "live",
        "viewers": 3,
        "startedAt": "2026-11-20T21:00:00.123+00:00",
        "bitrate": 2_000_000,
        "video": {"codec": "avc1.42C01F", "width": 1280, "height": 720, "frameRate": 29.97},
        "audio": {"codec": "mp4a.40.2", "sampleRate": 48_000, "channels": 2},
        "edge": {"mediaTime": 12.346, "age": 0.021},
        "sources": [
            {"type": "fmp4", "path": f"/live/{ROOM.room_id}.mp4"},
            {"type": "hls", "path": f"/hls/{ROOM.room_id}/index.m3u8"},
        ],
        "hasStage": False,
        "pollAfter": POLL_SECONDS,
    }


async def test_status_of_a_room_that_is_not_live(client: Client, rooms: Rooms) -> None:
    rooms.now = RoomStatus(ROOM, RoomState.WAITING)
    status = await (await client.get(f"/live/{ROOM.room_id}.json")).json()
    assert status["state"] == "waiting"
    assert (status["video"], status["audio"], status["edge"], status["startedAt"]) == (None,) * 4
    assert await (await client.get("/live.json")).json() == {
        "rooms": [],
        "publish": {"rtmpPort": RTMP_PORT, "application": "live"},
    }


async def test_many_viewers_ask_less_often(client: Client, rooms: Rooms) -> None:
    rooms.now = RoomStatus(ROOM, RoomState.LIVE, viewers=100_000)
    status = await (await client.get("/live/kitchen.json")).json()
    assert 100_000 / status["pollAfter"] <= POLLS_PER_SECOND


async def test_a_room_without_low_latency_is_not_offered_by_whep_but_has_its_stage(
    aiohttp_client: AiohttpClient, rooms: Rooms
) -> None:
    app = create_http_app()
    add_pages(app, rooms, rooms, lambda: RTMP_PORT, has_webrtc=True)
    client = await aiohttp_client(app)
    rooms.now = replace(rooms.now, room=replace(ROOM, low_latency=False))
    document = await (await client.get("/live/kitchen.json")).json()
    assert [source["type"] for source in document["sources"]] == ["fmp4", "hls"]
    assert document["hasStage"] is True


async def test_list_of_live_rooms(client: Client) -> None:
    document = await (await client.get("/live.json")).json()
    assert [room["roomId"] for room in document["rooms"]] == [ROOM.room_id]


@pytest.mark.parametrize(
    "refusal", [web.HTTPNotFound, web.HTTPUnauthorized, web.HTTPForbidden, web.HTTPServiceUnavailable]
)
async def test_refused_room_gets_a_page_that_tells_nothing_of_it(
    client: Client, rooms: Rooms, refusal: type[web.HTTPException]
) -> None:
    rooms.refusal = refusal(text="no")
    status = await client.get("/live/kitchen.json")
    page = await client.get("/watch/kitchen")
    assert status.status == page.status == refusal.status_code
    assert page.content_type == "text/html"
    assert "Soup" not in await page.text()


@pytest.mark.parametrize("path", ["/watch/..%2f..%2fetc", "/watch/%00", "/watch/a%20b", "/live/%2e%2e.json"])
async def test_odd_room_names_are_no_rooms(client: Client, path: str) -> None:
    assert (await client.get(path)).status == 404


async def test_title_is_escaped(client: Client) -> None:
    page = await (await client.get("/watch/kitchen")).text()
    assert "Soup &amp; &lt;b&gt;bread&lt;/b&gt;" in page
    assert "<b>" not in page


@pytest.mark.parametrize("path", ["/", "/watch/kitchen", "/watch/nowhere"])
async def test_pages_are_locked_down(client: Client, path: str) -> None:
    answer = await client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    page = await answer.text()
    # What the policy forbids would only show in a browser.
    assert re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page) is None
    assert "{{" not in page


@pytest.mark.parametrize("path", ["/", "/watch/kitchen"])
async def test_page_is_sent_once(client: Client, path: str) -> None:
    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 304
    assert await again.read() == b""


@pytest.mark.parametrize("path", ["/", "/watch/kitchen"])
async def test_everything_a_page_names_is_there_for_ever(client: Client, path: str) -> None:
    addresses = set(ADDRESS.findall(await (await client.get(path)).text()))
    assert addresses
    for address in addresses:
        answer = await client.get(address)
        assert answer.status == 200, address
        assert "immutable" in answer.headers["Cache-Control"]


async def test_modules_find_each_other(client: Client) -> None:
    """Every import in every module, as a browser would resolve it."""
    prefix = await _static_prefix(client)
    for module in sorted(WEB_FOLDER.rglob("*.js")):
        name = module.relative_to(WEB_FOLDER).as_posix()
        base = URL(f"{prefix}/{name}")
        for imported in re.findall(r"from '([^']+)'", module.read_text()):
            assert imported.startswith("."), f"{name} imports {imported}"
            answer = await client.get(base.join(URL(imported)))
            assert answer.status == 200, f"{name} imports {imported}"


async def test_file_is_compressed_for_those_who_take_it(client: Client) -> None:
    address = f"{await _static_prefix(client)}/css/base.css"
    body = (WEB_FOLDER / "css/base.css").read_bytes()
    plain = await client.get(address, headers={"Accept-Encoding": "identity"})
    assert await plain.read() == body
    packed = await client.get(address, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(body)
    assert await packed.read() == body  # unpacked by the client


async def test_old_page_gets_new_files_uncached(client: Client) -> None:
    answer = await client.get("/static/0123456789ab/css/base.css")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["../pages.py", "css", "no.js", "%2e%2e/%2e%2e/setup.cfg", "package.json"])
async def test_only_the_pages_files_are_served(client: Client, path: str) -> None:
    assert (await client.get(f"/static/0123456789ab/{path}")).status == 404


async def _static_prefix(client: Client) -> str:
    page = await (await client.get("/")).text()
    return "/".join(ADDRESS.findall(page)[0].split("/")[:3])


async def test_pages_may_use_only_the_devices_that_they_need(client: Client) -> None:
    studio = await client.get("/studio")
    assert studio.status == 200
    assert "camera=(self), microphone=(self), display-capture=(self)" in studio.headers["Permissions-Policy"]
    assert studio.headers["Content-Security-Policy"].startswith("default-src 'none'")
    watch = await client.get("/watch/kitchen")
    assert "camera=(self), microphone=(self), display-capture=()" in watch.headers["Permissions-Policy"]
    for path in ("/", "/creator"):
        page = await client.get(path)
        assert page.status == 200
        assert "camera=(), microphone=(), display-capture=()" in page.headers["Permissions-Policy"]
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_real_time_is_offered_where_the_server_has_it(
    aiohttp_client: AiohttpClient, rooms: Rooms
) -> None:
    app = create_http_app()
    add_pages(app, rooms, rooms, lambda: RTMP_PORT, has_webrtc=True)
    client = await aiohttp_client(app)
    document = await (await client.get("/live/kitchen.json")).json()
    assert document["sources"][0] == {"type": "whep", "path": f"/whep/{ROOM.room_id}"}
