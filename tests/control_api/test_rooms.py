"""Rooms through the API: who may make, see, change and delete them, and what is refused."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from storage.database import Database
from storage.repositories import StreamKeys, Users, UserState
from tests.control_api.hostile_values import NOBODY
from tests.control_api.rooms_world import DIGESTER, MAX_ROOMS, RoomsWorld, make_world


@pytest.fixture
async def world(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> RoomsWorld:
    return await make_world(database, aiohttp_client)


async def category(world: RoomsWorld) -> Any:
    return await world.ok("POST", "/admin/categories", "admin", json={"slug": "chess", "name": "Chess"})


async def test_a_room_is_made_with_all_that_its_owner_says(world: RoomsWorld) -> None:
    await category(world)
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    given = {
        "title": "  Chess at night ",
        "slug": "chess-night",
        "description": "Blitz\r\nand more",
        "category": "chess",
        "tags": ["Blitz", "blitz", "EN"],
        "visibility": "unlisted",
        "ageRestricted": True,
        "maxViewers": 50,
        "lowLatency": False,
        "scheduledFor": soon,
    }
    made = await world.ok("POST", "/rooms", "alice", json=given)
    assert made.pop("streamKey")
    seen = await world.ok("GET", f"/rooms/{made['id']}")
    assert seen == made
    assert seen["title"] == "Chess at night"
    assert (seen["description"], seen["tags"]) == ("Blitz\nand more", ["blitz", "en"])
    assert (seen["category"], seen["categoryName"]) == ("chess", "Chess")
    assert (seen["visibility"], seen["ageRestricted"], seen["maxViewers"]) == ("unlisted", True, 50)
    assert seen["lowLatency"] is False
    assert datetime.fromisoformat(seen["scheduledFor"]) == datetime.fromisoformat(soon)
    assert (seen["isLive"], seen["viewerCount"], seen["startedAt"], seen["endedAt"]) == (False, 0, None, None)
    owner = world.users["alice"]
    assert seen["streamer"] == {
        "id": str(owner.id),
        "username": "alice",
        "displayName": "alice",
        "avatar": None,
    }


async def test_a_title_is_enough_and_the_key_opens_the_room(world: RoomsWorld, database: Database) -> None:
    made = await world.room()
    assert (made["visibility"], made["tags"], made["category"]) == ("public", [], None)
    assert made["lowLatency"] is True
    state = await StreamKeys(database).find(DIGESTER.digest(made["streamKey"]))
    assert state is not None and state.room_id == UUID(made["id"])


async def test_a_room_is_found_by_its_slug_in_any_case(world: RoomsWorld) -> None:
    made = await world.room(slug="night")
    assert (await world.ok("GET", "/rooms/NIGHT"))["id"] == made["id"]
    assert (await world.ok("GET", f"/rooms/{made['id'].upper()}"))["id"] == made["id"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"title": ""}, "title"),
        ({"title": "   "}, "title"),
        ({"title": "x" * 101}, "title"),
        ({"title": "a\nb"}, "title"),
        ({"title": "a\u202eb"}, "title"),
        ({"title": 5}, "title"),
        ({"title": None}, "title"),
        ({"slug": "Upper"}, "slug"),
        ({"slug": "../etc"}, "slug"),
        ({"slug": "line\n"}, "slug"),
        ({"slug": "recommended"}, "slug"),
        ({"slug": "01890a5d-ac96-774b-bcce-b302099a8057"}, "slug"),
        ({"slug": "x" * 64}, "slug"),
        ({"description": "x" * 5001}, "description"),
        ({"description": "bell\x07"}, "description"),
        ({"category": "unheard-of"}, "category"),
        ({"tags": ["x"] * 11}, "tags"),
        ({"tags": ["x" * 31]}, "tags[0]"),
        ({"tags": ["ok", "  "]}, "tags[1]"),
        ({"tags": "chess"}, "tags"),
        ({"visibility": "secret"}, "visibility"),
        ({"ageRestricted": "yes"}, "ageRestricted"),
        ({"maxViewers": 0}, "maxViewers"),
        ({"lowLatency": "no"}, "lowLatency"),
        ({"lowLatency": 0}, "lowLatency"),
        ({"lowLatency": None}, "lowLatency"),
        ({"maxViewers": 1_000_001}, "maxViewers"),
        ({"scheduledFor": "tomorrow"}, "scheduledFor"),
        ({"scheduledFor": "2030-01-01T12:00:00"}, "scheduledFor"),
        ({"scheduledFor": "0001-01-01T00:00:00+14:00"}, "scheduledFor"),
        ({"scheduledFor": "9999-12-31T23:59:59-12:00"}, "scheduledFor"),
        ({"ownerId": "x"}, "ownerId"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(
    world: RoomsWorld, fields: dict[str, Any], named: str
) -> None:
    assert await world.fields("POST", "/rooms", "alice", json={"title": "A room", **fields}) == [named]
    room = await world.room()
    assert await world.fields("PATCH", f"/rooms/{room['id']}", "alice", json=fields) == [named]


async def test_halves_of_surrogate_pairs_and_nul_are_refused(world: RoomsWorld) -> None:
    headers = {"Content-Type": "application/json"}
    for text in (rb'{"title": "\ud800"}', rb'{"title": "a\u0000b"}', b'{"title": "\xff"}', b'{"title": "a'):
        status, _ = await world.refusal("POST", "/rooms", "alice", data=text, headers=headers)
        assert status == 400


async def test_people_may_write_as_they_do(world: RoomsWorld) -> None:
    title = "Größe 日本語 👩‍👩‍👧 '; DROP TABLE rooms; --"
    assert (await world.room(title=title))["title"] == title


async def test_a_slug_belongs_to_one_room(world: RoomsWorld) -> None:
    await world.room(slug="night")
    other = await world.room("bob")
    taken = (409, "slug_taken")
    assert await world.refusal("POST", "/rooms", "bob", json={"title": "x", "slug": "night"}) == taken
    assert await world.refusal("PATCH", f"/rooms/{other['id']}", "bob", json={"slug": "night"}) == taken


async def test_a_user_has_so_many_rooms_and_no_more_even_at_once(world: RoomsWorld) -> None:
    answers = await asyncio.gather(
        *(
            world.api.call("POST", "/rooms", "alice", json={"title": f"Room {n}"})
            for n in range(MAX_ROOMS + 3)
        )
    )
    codes = sorted(status for status, _, _ in answers)
    assert codes == [201] * MAX_ROOMS + [409] * 3
    assert {body["code"] for status, body, _ in answers if status == 409} == {"too_many_rooms"}
    await world.room("bob")


async def test_nobody_makes_rooms_without_signing_in(world: RoomsWorld) -> None:
    assert (await world.refusal("POST", "/rooms", json={"title": "x"}))[0] == 401


async def test_changes_keep_the_rest_and_null_removes(world: RoomsWorld) -> None:
    await category(world)
    room = await world.room(category="chess", maxViewers=5, tags=["a"], slug="night")
    path = f"/rooms/{room['id']}"
    changed = await world.ok("PATCH", path, "alice", json={"title": "New", "visibility": "followers"})
    assert (changed["title"], changed["visibility"]) == ("New", "followers")
    assert (changed["category"], changed["maxViewers"], changed["tags"]) == ("chess", 5, ["a"])
    nulls = {"category": None, "maxViewers": None, "slug": None, "tags": []}
    changed = await world.ok("PATCH", path, "alice", json=nulls)
    assert [changed[name] for name in nulls] == [None, None, None, []]


async def test_low_latency_is_switched_by_the_owner_alone(world: RoomsWorld) -> None:
    path = f"/rooms/{(await world.room())['id']}"
    assert await world.refusal("PATCH", path, "bob", json={"lowLatency": False}) == (403, "not_room_owner")
    assert (await world.ok("PATCH", path, "alice", json={"lowLatency": False}))["lowLatency"] is False
    assert (await world.ok("PATCH", path, "alice", json={"title": "New"}))["lowLatency"] is False
    assert (await world.ok("GET", path))["lowLatency"] is False
    assert (await world.ok("PATCH", path, "alice", json={"lowLatency": True}))["lowLatency"] is True


async def test_nobody_overwrites_what_they_have_not_seen(world: RoomsWorld) -> None:
    room = await world.room()
    path = f"/rooms/{room['id']}"
    _, _, headers = await world.api.call("GET", path)
    seen = {"If-Match": headers["ETag"]}
    await world.ok("PATCH", path, "alice", json={"title": "First"}, headers=seen)
    late = await world.refusal("PATCH", path, "alice", json={"title": "Second"}, headers=seen)
    assert late == (412, "version_mismatch")
    assert await world.refusal("DELETE", path, "alice", headers=seen) == (412, "version_mismatch")
    foreign = {"If-Match": '"abc"'}
    assert (await world.refusal("PATCH", path, "alice", json={"title": "x"}, headers=foreign))[0] == 412
    assert (await world.ok("GET", path))["title"] == "First"
    _, _, headers = await world.api.call("GET", path)
    await world.ok("PATCH", path, "alice", json={"title": "Third"}, headers={"If-Match": headers["ETag"]})


async def test_of_two_changes_at_once_with_one_version_one_wins(world: RoomsWorld) -> None:
    room = await world.room()
    headers = {"If-Match": '"1"'}
    answers = await asyncio.gather(
        *(
            world.api.call("PATCH", f"/rooms/{room['id']}", "alice", json={"title": title}, headers=headers)
            for title in ("One", "Two", "Three", "Four")
        )
    )
    assert sorted(status for status, _, _ in answers) == [200, 412, 412, 412]


@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [
        ("PATCH", "", {"title": "Mine"}),
        ("DELETE", "", None),
        ("POST", "/stream-key", None),
        ("GET", "/ingest", None),
        ("POST", "/start", None),
        ("POST", "/end", None),
    ],
)
async def test_a_room_is_its_owners_and_the_administrators(
    world: RoomsWorld, method: str, tail: str, body: Any
) -> None:
    options = {"json": body} if body else {}
    room = await world.room()
    path = f"/rooms/{room['id']}{tail}"
    assert (await world.refusal(method, path, **options))[0] == 401
    assert await world.refusal(method, path, "bob", **options) == (403, "not_room_owner")
    private = await world.room(visibility="private")
    secret = f"/rooms/{private['id']}{tail}"
    assert await world.refusal(method, secret, "bob", **options) == (404, "room_not_found")
    status, _, _ = await world.api.call(method, path, "admin", **options)
    assert status == 200
    status, _, _ = await world.api.call(method, secret, "alice", **options)
    assert status == 200


async def test_private_rooms_and_those_of_banned_owners_are_not_there(world: RoomsWorld) -> None:
    private = await world.room(visibility="private")
    public = await world.room(slug="night")
    for path in (f"/rooms/{private['id']}", f"/rooms/{private['id']}/broadcasts"):
        assert await world.refusal("GET", path) == (404, "room_not_found")
        assert await world.refusal("GET", path, "bob") == (404, "room_not_found")
        await world.ok("GET", path, "alice")
        await world.ok("GET", path, "admin")
    await Users(world.database).set_state(world.users["alice"].id, UserState.BANNED)
    assert await world.refusal("GET", f"/rooms/{public['id']}", "bob") == (404, "room_not_found")
    assert await world.refusal("GET", "/rooms/night") == (404, "room_not_found")
    await world.ok("GET", "/rooms/night", "admin")


@pytest.mark.parametrize("reference", ["nope", NOBODY, "%2e%2e%2fetc", "a'b", "x" * 300, "%F0%9F%98%80"])
async def test_what_is_no_room_is_not_found(world: RoomsWorld, reference: str) -> None:
    for method, tail in (("GET", ""), ("DELETE", ""), ("POST", "/stream-key"), ("GET", "/broadcasts")):
        assert (await world.refusal(method, f"/rooms/{reference}{tail}", "admin"))[0] == 404


async def test_another_stream_key_replaces_the_first(world: RoomsWorld, database: Database) -> None:
    room = await world.room()
    rotated = await world.ok("POST", f"/rooms/{room['id']}/stream-key", "alice")
    keys = StreamKeys(database)
    assert await keys.find(DIGESTER.digest(room["streamKey"])) is None
    assert await keys.find(DIGESTER.digest(rotated["streamKey"])) is not None


async def test_a_deleted_room_is_gone_with_its_key(world: RoomsWorld, database: Database) -> None:
    room = await world.room()
    await world.go_live(room)
    status, _, _ = await world.api.call("DELETE", f"/rooms/{room['id']}", "alice")
    assert status == 200
    assert await world.refusal("GET", f"/rooms/{room['id']}", "alice") == (404, "room_not_found")
    assert await StreamKeys(database).find(DIGESTER.digest(room["streamKey"])) is None


async def test_what_matters_is_audited(world: RoomsWorld, database: Database) -> None:
    room = await world.room("alice")
    path = f"/rooms/{room['id']}"
    await world.ok("POST", f"{path}/stream-key", "alice")
    await world.ok("PATCH", path, "alice", json={"title": "Not worth a line"})
    await world.ok("PATCH", path, "alice", json={"visibility": "private"})
    await world.ok("PATCH", path, "admin", json={"title": "Somebody else's"})
    await world.ok("DELETE", path, "admin")
    rows = await database.fetch("SELECT action, subject_id, actor_id FROM audit_log ORDER BY id")
    assert [row["action"] for row in rows] == [
        "room.stream_key_rotated",
        "room.visibility_changed",
        "room.changed",
        "room.deleted",
    ]
    assert {row["subject_id"] for row in rows} == {room["id"]}
    assert len({row["actor_id"] for row in rows}) == 2
