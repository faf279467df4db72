"""Following and blocking over HTTP: who may, what is told, and what holds when both happen at once."""

import asyncio

import pytest

from control_api.pagination import encode_cursor
from storage.bus import RoomRelationChanged, UserFollowed
from storage.repositories import Users, UserState
from storage.repositories.follows import Follows
from tests.control_api.people_world import PASSWORD, PeopleWorld, world

__all__ = ["world"]


async def test_a_follow_is_told_once(world: PeopleWorld) -> None:
    alice, bob = world.id("alice"), world.id("bob")
    path = f"/users/{bob}/follow"
    assert await world.call("GET", path, "alice") == (200, {"isFollowing": False, "followers": 0})
    for _ in range(2):
        assert await world.call("POST", path, "alice") == (200, {"isFollowing": True, "followers": 1})
    assert world.events == [UserFollowed(alice, bob), RoomRelationChanged(alice, bob)]
    assert await world.call("GET", path, "alice") == (200, {"isFollowing": True, "followers": 1})
    world.events.clear()
    for _ in range(2):
        assert await world.call("DELETE", path, "alice") == (200, {"isFollowing": False, "followers": 0})
    assert world.events == [RoomRelationChanged(alice, bob)]


@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
async def test_following_needs_somebody(world: PeopleWorld, method: str) -> None:
    assert await world.call(method, f"/users/{world.id('bob')}/follow") == (401, "unauthorized")


async def test_nobody_follows_or_blocks_himself(world: PeopleWorld) -> None:
    for verb in ("follow", "block"):
        path = f"/users/{world.id('alice')}/{verb}"
        assert await world.call("POST", path, "alice") == (400, "invalid_request")


@pytest.mark.parametrize("user_id", ["bob", "1", "x' OR 1=1", "01a1fa90-8fd2-7bad-99de-df13dc736d90"])
async def test_who_is_not_there_cannot_be_followed_or_blocked(world: PeopleWorld, user_id: str) -> None:
    for method, verb in (("POST", "follow"), ("GET", "follow"), ("DELETE", "follow"), ("POST", "block")):
        assert await world.call(method, f"/users/{user_id}/{verb}", "alice") == (404, "user_not_found")


async def test_who_is_banned_cannot_be_followed(world: PeopleWorld) -> None:
    await Users(world.database).set_state(world.people["bob"].id, UserState.BANNED)
    assert await world.call("POST", f"/users/{world.id('bob')}/follow", "alice") == (404, "user_not_found")
    assert world.events == []


async def test_a_list_goes_on_where_it_ended_whatever_comes_in_between(world: PeopleWorld) -> None:
    star = world.id("bob")
    for name in ("alice", "mod", "admin"):
        await world.call("POST", f"/users/{star}/follow", name)
    first, cursor = await world.page(f"/users/{star}/followers?limit=2")
    await world.call("POST", f"/users/{star}/follow", "root")
    rest, end = await world.page(f"/users/{star}/followers?limit=2&cursor={cursor}")
    assert [user["username"] for user in first + rest] == ["admin", "mod", "alice"]
    assert end is None
    assert set(first[0]) == {"id", "username", "displayName", "avatar", "since"}
    following, _ = await world.page(f"/users/{world.id('alice')}/following")
    assert [user["username"] for user in following] == ["bob"]


@pytest.mark.parametrize(
    "cursor", ["x", "W10", "bnVsbA", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwiMSJd", "%00", "a" * 600, "WyJhIl0"]
)
async def test_a_foreign_cursor_is_refused(world: PeopleWorld, cursor: str) -> None:
    for path, user in ((f"/users/{world.id('bob')}/followers", None), ("/blocks", "alice")):
        assert (await world.call("GET", f"{path}?cursor={cursor}", user))[0] == 400


@pytest.mark.parametrize(
    "since", ["2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "now", ""]
)
async def test_a_cursor_of_no_time_is_refused(world: PeopleWorld, since: str) -> None:
    cursor = encode_cursor(since, world.id("bob"))
    assert (await world.call("GET", f"/blocks?cursor={cursor}", "alice"))[0] == 400


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_a_cursor_of_a_far_time_finds_what_is_there(world: PeopleWorld, since: str) -> None:
    cursor = encode_cursor(since, world.id("bob"))
    assert (await world.call("GET", f"/blocks?cursor={cursor}", "alice"))[0] == 200


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.5", "99999999999999999999"])
async def test_a_page_has_a_bounded_size(world: PeopleWorld, limit: str) -> None:
    assert (await world.call("GET", f"/users/{world.id('bob')}/followers?limit={limit}"))[0] == 400


async def test_a_block_ends_follows_both_ways_and_keeps_new_ones_out(world: PeopleWorld) -> None:
    alice, bob = world.id("alice"), world.id("bob")
    await world.call("POST", f"/users/{bob}/follow", "alice")
    await world.call("POST", f"/users/{alice}/follow", "bob")
    world.events.clear()
    for _ in range(2):
        assert await world.call("POST", f"/users/{bob}/block", "alice") == (200, None)
    assert world.events == [RoomRelationChanged(bob, alice), RoomRelationChanged(alice, bob)]
    for name in ("alice", "bob"):
        _, shown = await world.call("GET", f"/users/{name}")
        assert (shown["followers"], shown["following"]) == (0, 0)
    assert await world.call("POST", f"/users/{alice}/follow", "bob") == (403, "blocked")
    assert await world.call("POST", f"/users/{bob}/follow", "alice") == (409, "unblock_first")
    blocked, _ = await world.page("/blocks", "alice")
    assert [user["username"] for user in blocked] == ["bob"]
    assert (await world.page("/blocks", "bob"))[0] == []
    world.events.clear()
    for _ in range(2):
        assert await world.call("DELETE", f"/users/{bob}/block", "alice") == (200, None)
    assert world.events == [RoomRelationChanged(bob, alice)]
    assert (await world.call("POST", f"/users/{alice}/follow", "bob"))[0] == 200


async def test_a_follow_and_a_block_at_once_leave_no_follow(world: PeopleWorld) -> None:
    alice, bob = world.id("alice"), world.id("bob")
    for _ in range(10):
        await asyncio.gather(
            world.call("POST", f"/users/{bob}/follow", "alice"),
            world.call("POST", f"/users/{alice}/follow", "bob"),
            world.call("POST", f"/users/{alice}/block", "bob"),
        )
        follows = Follows(world.database)
        assert not await follows.is_following(world.people["alice"].id, world.people["bob"].id)
        assert not await follows.is_following(world.people["bob"].id, world.people["alice"].id)
        await world.call("DELETE", f"/users/{alice}/block", "bob")


@pytest.mark.parametrize("leaving", ["alice", "bob"])
async def test_who_is_being_deleted_gets_no_new_relation(world: PeopleWorld, leaving: str) -> None:
    path = f"/users/{world.id('bob')}/follow"
    await asyncio.gather(
        *(world.call("POST", path, "alice") for _ in range(3)),
        world.call("DELETE", "/users/me", leaving, json={"password": PASSWORD}),
        *(world.call("POST", path, "alice") for _ in range(3)),
    )
    assert await world.database.fetch_value("SELECT count(*) FROM follows") == 0
    assert await world.database.fetch_value("SELECT sum(followers + following) FROM follow_counts") in (
        0,
        None,
    )
