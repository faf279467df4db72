"""Pictures of rooms: taken from owners, made anew, given to all."""

from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from obstore.store import MemoryStore
from PIL import Image

from control_api.images import MAX_PICTURE_BYTES, Images
from control_api.room_schemas import RoomViews
from control_api.routes.rooms import RoomsRoutes
from control_api.routes.thumbnails import ThumbnailsRoutes
from control_api.services.rooms import RoomsService
from control_api.services.thumbnails import ThumbnailsService
from storage.database import Database
from storage.objects import Objects, ObjectsUnavailable
from tests.control_api.rooms_world import DIGESTER, FakeMedia, Nouns, RoomsWorld, make_users
from tests.control_api.serving import serve

PNG = {"Content-Type": "image/png"}


def picture(width: int = 40, height: int = 40) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def objects(store: MemoryStore) -> Objects:
    return Objects(store)


@pytest.fixture
async def world(
    database: Database, aiohttp_client: Callable[..., Awaitable[Any]], objects: Objects
) -> RoomsWorld:
    users = await make_users(database)
    media = FakeMedia()
    views = RoomViews(media)
    rooms = RoomsService(database, DIGESTER, objects=objects)
    thumbnails = ThumbnailsService(database, rooms, objects, Images())
    nouns = Nouns(RoomsRoutes(rooms, views), ThumbnailsRoutes(thumbnails, views))
    return RoomsWorld(database, users, media, await serve(nouns, database, aiohttp_client, *users.values()))


def names(store: MemoryStore) -> list[str]:
    return [str(each["path"]) for each in store.list().collect()]


async def put(world: RoomsWorld, room: Any, data: bytes, user: str = "alice") -> Any:
    return await world.ok("PUT", f"/rooms/{room['id']}/thumbnail", user, data=data, headers=PNG)


async def fetch(world: RoomsWorld, address: str) -> Any:
    return await world.api.client.get(address)


async def test_a_picture_is_made_anew_and_shown_to_all(world: RoomsWorld) -> None:
    room = await put(world, await world.room(), picture())
    response = await fetch(world, room["thumbnail"])
    assert (response.status, response.content_type) == (200, "image/webp")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in response.headers["Cache-Control"]
    shown = Image.open(BytesIO(await response.read()))
    assert (shown.format, shown.size) == ("WEBP", (1280, 720))


async def test_another_picture_replaces_the_first_and_none_outlives_the_room(
    world: RoomsWorld, store: MemoryStore
) -> None:
    room = await put(world, await world.room(), picture())
    replaced = await put(world, room, picture(80, 20))
    assert replaced["thumbnail"] != room["thumbnail"]
    assert (await fetch(world, room["thumbnail"])).status == 404
    assert len(names(store)) == 1
    await world.api.call("DELETE", f"/rooms/{room['id']}", "alice")
    assert names(store) == []


async def test_only_owners_and_administrators_set_one(world: RoomsWorld, store: MemoryStore) -> None:
    room = await world.room()
    path = f"/rooms/{room['id']}/thumbnail"
    options = {"data": picture(), "headers": PNG}
    assert (await world.refusal("PUT", path, **options))[0] == 401
    assert await world.refusal("PUT", path, "bob", **options) == (403, "not_room_owner")
    assert names(store) == []
    await put(world, room, picture(), "admin")
    private = await world.room(visibility="private")
    path = f"/rooms/{private['id']}/thumbnail"
    assert await world.refusal("PUT", path, "bob", **options) == (404, "room_not_found")


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"no picture", "image/png", 400),
        (b"", "image/png", 400),
        (b"<svg/>", "image/svg+xml", 415),
        (b"{}", "application/json", 415),
        (b"x" * (MAX_PICTURE_BYTES + 1), "image/png", 413),
    ],
)
async def test_what_is_no_picture_is_refused(
    world: RoomsWorld, store: MemoryStore, data: bytes, content_type: str, status: int
) -> None:
    room = await world.room()
    headers = {"Content-Type": content_type}
    refused = await world.refusal(
        "PUT", f"/rooms/{room['id']}/thumbnail", "alice", data=data, headers=headers
    )
    assert refused[0] == status
    assert names(store) == []


@pytest.mark.parametrize(
    "name", ["x.webp", "0" * 32 + ".webp", "..%2f..%2fetc%2fpasswd", "%2e%2e", "a" * 300]
)
async def test_what_is_no_thumbnail_is_not_found(world: RoomsWorld, name: str) -> None:
    assert (await fetch(world, f"/api/v1/thumbnails/{name}")).status == 404


async def test_a_lost_store_is_said_and_changes_nothing(
    world: RoomsWorld, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await put(world, await world.room(), picture())

    async def fail(*_: object) -> None:
        raise ObjectsUnavailable("away")

    for method in ("put", "get", "delete"):
        monkeypatch.setattr(objects, method, fail)
    path = f"/rooms/{before['id']}/thumbnail"
    refused = await world.refusal("PUT", path, "alice", data=picture(), headers=PNG)
    assert refused == (503, "unavailable")
    assert (await world.ok("GET", f"/rooms/{before['id']}"))["thumbnail"] == before["thumbnail"]
    assert (await fetch(world, before["thumbnail"])).status == 503
    # The picture stays behind, the room goes.
    status, _, _ = await world.api.call("DELETE", f"/rooms/{UUID(before['id'])}", "alice")
    assert status == 200
