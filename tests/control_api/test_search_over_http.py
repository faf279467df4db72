"""Hits of a search are the rooms and users that the rest of the API shows."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from control_api.room_schemas import RoomViews
from control_api.routes.rooms import RoomsRoutes
from control_api.routes.search import SearchRoutes
from control_api.routes.users import UserRoutes
from control_api.services.account_export import AccountExport
from control_api.services.account_view import AccountViews
from control_api.services.rooms import RoomsService
from control_api.services.search import SearchService
from control_api.services.users import UserService
from storage.bus import Bus
from storage.database import Database
from tests.control_api.people_world import FakePasswords
from tests.control_api.plans import ExplainingDatabase
from tests.control_api.rooms_world import DIGESTER, FakeMedia, Nouns, RoomsWorld, make_users
from tests.control_api.serving import serve

SETTINGS = {
    "title": "Chess at night",
    "slug": "night",
    "description": "Slowly.",
    "tags": ["chess"],
    "maxViewers": 9,
    "ageRestricted": True,
}


@pytest.fixture
async def world(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> RoomsWorld:
    users, media = await make_users(database), FakeMedia()
    views, rooms = RoomViews(media), RoomsService(database, DIGESTER, 30)
    people: Any = UserService(database, Bus(), None, None, FakePasswords())  # type: ignore[arg-type]
    exports: AccountExport = None  # type: ignore[assignment]
    nouns = Nouns(
        SearchRoutes(SearchService(database), views),
        RoomsRoutes(rooms, views),
        UserRoutes(people, exports, AccountViews()),
    )
    return RoomsWorld(database, users, media, await serve(nouns, database, aiohttp_client, *users.values()))


async def test_a_room_is_found_as_the_rooms_routes_show_it(world: RoomsWorld) -> None:
    room = await world.room(**SETTINGS)
    for go_live in (None, "elsewhere", "here"):
        if go_live == "elsewhere":
            await world.go_live(room, viewers=4)
        if go_live == "here":
            world.media.viewers[UUID(room["id"])] = 7
        shown = await world.ok("GET", f"/rooms/{room['id']}")
        assert await world.ok("GET", "/search?q=chess") == [{"type": "room", "room": shown, "user": None}]
        assert (shown["isLive"], shown["viewerCount"]) == (
            go_live is not None,
            {None: 0, "elsewhere": 4, "here": 7}[go_live],
        )


async def test_a_room_whose_node_fell_silent_is_not_live(world: RoomsWorld) -> None:
    await world.go_live(await world.room(**SETTINGS), viewers=4)
    await world.database.execute("UPDATE room_live_state SET last_seen = now() - interval '2 minutes'")
    [hit] = await world.ok("GET", "/search?q=chess")
    assert (hit["room"]["isLive"], hit["room"]["viewerCount"]) == (False, 0)


@pytest.mark.parametrize(("viewer", "is_following"), [(None, None), ("alice", None), ("bob", True)])
async def test_a_user_is_found_as_the_users_routes_show_them(
    world: RoomsWorld, viewer: str | None, is_following: bool | None
) -> None:
    await world.follow("bob", "alice")
    shown = await world.ok("GET", "/users/alice", viewer)
    assert shown["isFollowing"] is is_following and shown["followers"] == 1
    hits = await world.ok("GET", "/search?q=ali", viewer)
    assert hits == [{"type": "user", "room": None, "user": shown}]


@pytest.mark.parametrize(
    ("wanted", "kinds"),
    [("", ["room", "user"]), ("all", ["room", "user"]), ("room", ["room"]), ("user", ["user"])],
)
async def test_kinds_are_asked_for_by_the_words_that_hits_name_them_by(
    world: RoomsWorld, wanted: str, kinds: list[str]
) -> None:
    await world.room(title="Alice plays")
    hits = await world.ok("GET", f"/search?q=alice{'&type=' * bool(wanted)}{wanted}")
    assert sorted(hit["type"] for hit in hits) == kinds
    assert all([field for field in ("room", "user") if hit[field]] == [hit["type"]] for hit in hits)


async def test_openapi_names_the_kinds(world: RoomsWorld) -> None:
    document = await (await world.api.client.get("/openapi.json")).json()
    parameters = document["paths"]["/api/v1/search"]["get"]["parameters"]
    [kind] = [parameter for parameter in parameters if parameter["name"] == "type"]
    assert (sorted(kind["schema"]["enum"]), kind["schema"]["default"]) == (["all", "room", "user"], "all")


async def test_a_page_takes_three_statements_however_many_hits_it_has(world: RoomsWorld) -> None:
    for number in range(6):
        await world.room(title=f"Alice {number}")
    async with ExplainingDatabase(world.database._url) as database:
        page = await SearchService(database).find("alice", "all", None, 20, world.users["bob"].id)
        assert (len(page.items), database.statements) == (7, 3)
