"""Lists of rooms: what is in them, in which order, and that pages hold together."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from control_api.pagination import encode_cursor
from storage.database import Database
from storage.repositories import Broadcasts, Users, UserState
from tests.control_api.rooms_world import RoomsWorld, make_world


@pytest.fixture
async def world(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> RoomsWorld:
    return await make_world(database, aiohttp_client, max_rooms=100)


async def titles(world: RoomsWorld, path: str, user: str | None = None) -> list[str]:
    return [room["title"] for room in await world.ok("GET", path, user)]


async def paged(world: RoomsWorld, path: str, user: str | None = None) -> list[str]:
    """The titles of all pages, two at a time."""
    found: list[str] = []
    cursor = ""
    while True:
        status, body, _ = await world.api.call("GET", f"{path}limit=2{cursor}", user)
        assert status == 200, body
        assert len(body["data"]) <= 2
        found += [room["title"] for room in body["data"]]
        following = (body.get("meta") or {}).get("nextCursor")
        if following is None:
            return found
        cursor = f"&cursor={following}"


async def some_rooms(world: RoomsWorld) -> None:
    """Three live with 5, 5 and 50 viewers, between three that are not."""
    for number, viewers in enumerate((None, 5, None, 50, 5, None)):
        room = await world.room(title=f"{number}")
        if viewers is not None:
            await world.go_live(room, viewers)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["3", "4", "1", "5", "2", "0"]),
        ("live=true&", ["3", "4", "1"]),
        ("live=false&", ["5", "2", "0"]),
        ("sort=newest&", ["5", "4", "3", "2", "1", "0"]),
        ("sort=newest&live=true&", ["4", "3", "1"]),
        ("sort=newest&live=false&", ["5", "2", "0"]),
    ],
)
async def test_rooms_come_in_order_whatever_the_page(
    world: RoomsWorld, query: str, expected: list[str]
) -> None:
    await some_rooms(world)
    assert await titles(world, f"/rooms?{query}") == expected
    assert await paged(world, f"/rooms?{query}") == expected


async def test_a_new_room_moves_no_page(world: RoomsWorld) -> None:
    for number in range(4):
        await world.room(title=f"{number}")
    _, body, _ = await world.api.call("GET", "/rooms?limit=2")
    await world.room(title="new")
    rest = await titles(world, f"/rooms?limit=10&cursor={body['meta']['nextCursor']}")
    assert rest == ["1", "0"]


async def test_only_public_rooms_of_active_owners_are_listed(world: RoomsWorld) -> None:
    for visibility in ("public", "unlisted", "followers", "subscribers", "private"):
        await world.go_live(await world.room(title=visibility, visibility=visibility))
    await world.room("bob", title="banned")
    await Users(world.database).set_state(world.users["bob"].id, UserState.BANNED)
    for path in ("/rooms", "/rooms?sort=newest", "/rooms/recommended"):
        for user in (None, "alice", "admin"):
            assert await titles(world, path, user) == ["public"]


async def test_ones_own_rooms_are_all_there(world: RoomsWorld) -> None:
    await world.room(title="mine", visibility="private")
    await world.room("bob", title="his")
    assert await titles(world, "/rooms?mine=true", "alice") == ["mine"]
    assert (await world.refusal("GET", "/rooms?mine=true"))[0] == 401


async def test_rooms_are_found_by_category_and_tag(world: RoomsWorld) -> None:
    for slug in ("chess", "music"):
        await world.ok("POST", "/admin/categories", "admin", json={"slug": slug, "name": slug})
    await world.room(title="a", category="chess", tags=["Blitz", "en"])
    live = await world.room(title="b", category="chess", tags=["en"])
    await world.room(title="c", category="music", tags=["en"])
    await world.go_live(live, 3)
    assert await titles(world, "/rooms?category=chess") == ["b", "a"]
    assert await titles(world, "/rooms?tag=BLITZ") == ["a"]
    assert await titles(world, "/rooms?tag=en&category=music") == ["c"]
    assert await titles(world, "/rooms?tag=en&live=true&sort=newest") == ["b"]
    assert await titles(world, "/rooms?category=unheard-of") == []
    assert await titles(world, "/rooms?tag=en'%20OR%20true--") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("live=maybe", "live"),
        ("sort=title", "sort"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("cursor=abc", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=WzFd", "cursor"),
        ("cursor=" + "x" * 600, "cursor"),
        ("category=A%20B", "category"),
        ("tag=", "tag"),
        ("tag=" + "x" * 31, "tag"),
        ("tag=a%0Ab", "tag"),
        ("unknown=1", "unknown"),
        ("limit=1&limit=2", "limit"),
    ],
)
async def test_bad_queries_are_refused_by_name(world: RoomsWorld, query: str, field: str) -> None:
    assert await world.fields("GET", f"/rooms?{query}") == [field]


async def test_a_cursor_of_another_list_or_beyond_all_numbers_is_refused(world: RoomsWorld) -> None:
    await some_rooms(world)
    _, body, _ = await world.api.call("GET", "/rooms?limit=1")
    cursor = body["meta"]["nextCursor"]
    assert await world.fields("GET", f"/rooms?sort=newest&cursor={cursor}") == ["cursor"]
    for rank in (99_999_999_999, -1, 2**70):
        bad = encode_cursor("live", rank, "01890a5d-ac96-774b-bcce-b302099a8057")
        assert await world.fields("GET", f"/rooms?cursor={bad}") == ["cursor"]


async def test_what_is_live_here_is_told_from_memory(world: RoomsWorld) -> None:
    room = await world.room()
    world.media.viewers[UUID(room["id"])] = 12
    seen = await world.ok("GET", f"/rooms/{room['id']}")
    assert (seen["isLive"], seen["viewerCount"], seen["endedAt"]) == (True, 12, None)
    assert seen["startedAt"] is not None


async def test_what_is_live_elsewhere_is_told_from_the_database_until_its_node_is_silent(
    world: RoomsWorld,
) -> None:
    room = await world.room()
    await world.go_live(room, 7)
    seen = await world.ok("GET", f"/rooms/{room['id']}")
    assert (seen["isLive"], seen["viewerCount"]) == (True, 7)
    await world.database.execute("UPDATE room_live_state SET last_seen = now() - interval '2 minutes'")
    seen = await world.ok("GET", f"/rooms/{room['id']}")
    assert (seen["isLive"], seen["viewerCount"], seen["startedAt"]) == (False, 0, None)
    assert await titles(world, "/rooms?live=true") == []
    assert await titles(world, "/rooms?live=false") == [room["title"]]


async def test_what_ended_here_is_over_before_the_database_hears_of_it(world: RoomsWorld) -> None:
    room = await world.room()
    await world.go_live(room, 7)
    ended = world.media.ended[UUID(room["id"])] = datetime.now(UTC)
    seen = await world.ok("GET", f"/rooms/{room['id']}")
    assert (seen["isLive"], seen["viewerCount"], seen["startedAt"]) == (False, 0, None)
    assert datetime.fromisoformat(seen["endedAt"]) == ended
    elsewhere = await world.go_live(room, 8)
    assert (await world.ok("GET", f"/rooms/{room['id']}"))["viewerCount"] == 8
    later = ended + timedelta(minutes=1)
    await Broadcasts(world.database).close(elsewhere, later, 8, "publisher stopped")
    seen = await world.ok("GET", f"/rooms/{room['id']}")
    assert datetime.fromisoformat(seen["endedAt"]) == later


async def test_following_lists_those_whom_one_follows(world: RoomsWorld) -> None:
    await world.room("bob", title="open")
    live = await world.room("bob", title="for followers", visibility="followers")
    await world.room("bob", title="secret", visibility="private")
    await world.room("admin", title="other")
    await world.go_live(live, 1)
    assert await titles(world, "/rooms/following", "alice") == []
    await world.follow("alice", "bob")
    assert await paged(world, "/rooms/following?", "alice") == ["for followers", "open"]
    assert (await world.refusal("GET", "/rooms/following"))[0] == 401


async def test_recommended_prefers_the_categories_of_those_whom_one_follows(world: RoomsWorld) -> None:
    await world.ok("POST", "/admin/categories", "admin", json={"slug": "chess", "name": "Chess"})
    await world.room("bob", title="followed", category="chess")
    await world.go_live(await world.room("admin", title="popular"), 30)
    await world.go_live(await world.room("admin", title="chess", category="chess"), 2)
    assert await paged(world, "/rooms/recommended?", "alice") == ["popular", "chess", "followed"]
    await world.follow("alice", "bob")
    assert await paged(world, "/rooms/recommended?", "alice") == ["chess", "popular", "followed"]
    assert await paged(world, "/rooms/recommended?") == ["popular", "chess", "followed"]


async def test_recommended_leaves_out_who_is_blocked(world: RoomsWorld) -> None:
    await world.room("bob", title="blocked")
    await world.room("admin", title="other")
    await world.database.execute(
        "INSERT INTO blocks (user_id, blocked_id) VALUES ($1, $2)",
        world.users["alice"].id,
        world.users["bob"].id,
    )
    assert await titles(world, "/rooms/recommended", "alice") == ["other"]
    assert await titles(world, "/rooms/recommended", "bob") == ["other", "blocked"]
