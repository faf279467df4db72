"""Broadcasts: announced, ended, kicked, listed and remembered."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from control_api.pagination import encode_cursor
from storage.bus import Bus, StreamKeyRotated
from storage.database import Database
from storage.ids import new_id
from storage.notifications import Notifications
from storage.repositories import Broadcasts
from tests.control_api.rooms_world import RoomsWorld, make_world
from tests.helpers.waiting import eventually

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def world(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> RoomsWorld:
    return await make_world(database, aiohttp_client)


async def test_start_announces_and_fulfils_the_schedule(world: RoomsWorld) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    room = await world.room(scheduledFor=soon)
    assert room["isReady"] is False
    ready = await world.ok("POST", f"/rooms/{room['id']}/start", "alice")
    assert (ready["isReady"], ready["isLive"], ready["scheduledFor"]) == (True, False, None)
    over = await world.ok("POST", f"/rooms/{room['id']}/end", "alice")
    assert over["isReady"] is False


async def test_a_broadcast_that_came_and_went_ends_the_announcement(world: RoomsWorld) -> None:
    room = await world.room()
    await world.ok("POST", f"/rooms/{room['id']}/start", "alice")
    broadcast_id = await world.go_live(room)
    assert (await world.ok("GET", f"/rooms/{room['id']}"))["isReady"] is False
    later = datetime.now(UTC) + timedelta(seconds=1)
    await Broadcasts(world.database).close(broadcast_id, later, 1, "publisher stopped")
    seen = await world.ok("GET", f"/rooms/{room['id']}")
    assert (seen["isReady"], seen["isLive"]) == (False, False)
    assert datetime.fromisoformat(seen["endedAt"]) == later


async def test_end_kicks_the_publisher_here_and_closes_the_broadcast(world: RoomsWorld) -> None:
    room = await world.room()
    room_id = UUID(room["id"])
    await world.go_live(room, 3)
    world.media.viewers[room_id] = 9
    over = await world.ok("POST", f"/rooms/{room['id']}/end", "alice")
    assert (over["isLive"], over["viewerCount"]) == (False, 0)
    assert over["endedAt"] is not None
    assert world.media.kicked == [(room_id, "ended by owner")]
    (broadcast,) = await world.ok("GET", f"/rooms/{room['id']}/broadcasts", "alice")
    assert (broadcast["peakViewers"], broadcast["endReason"]) == (9, "ended by owner")


async def test_an_administrator_who_ends_it_is_written_down(world: RoomsWorld) -> None:
    room = await world.room()
    await world.go_live(room)
    await world.ok("POST", f"/rooms/{room['id']}/end", "alice")
    assert await world.database.fetch_value("SELECT count(*) FROM audit_log") == 0
    await world.go_live(room)
    await world.ok("POST", f"/rooms/{room['id']}/end", "admin")
    (broadcast, _) = await world.ok("GET", f"/rooms/{room['id']}/broadcasts", "alice")
    assert broadcast["endReason"] == "ended by administrator"
    row = await world.database.fetch_row("SELECT actor_id, action, subject_id FROM audit_log")
    assert tuple(row or ()) == (world.users["admin"].id, "stream.end", room["id"])


@pytest.fixture
async def told(database: Database) -> AsyncIterator[list[StreamKeyRotated]]:
    """What every node hears."""
    bus, told = Bus(), list[StreamKeyRotated]()
    bus.subscribe(StreamKeyRotated, told.append)
    notifications = Notifications(database, bus)
    task = asyncio.create_task(notifications.run())
    async with asyncio.timeout(10):
        await notifications.listening.wait()
    yield told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_end_of_a_broadcast_on_another_node_tells_that_node(
    world: RoomsWorld, told: list[StreamKeyRotated]
) -> None:
    room = await world.room()
    await world.go_live(room)
    await eventually(lambda: told == [StreamKeyRotated(room["id"])])  # the first key
    await world.ok("POST", f"/rooms/{room['id']}/end", "alice")
    await eventually(lambda: told == [StreamKeyRotated(room["id"])] * 2)


async def test_end_of_what_is_not_live_changes_nothing(world: RoomsWorld) -> None:
    room = await world.room()
    assert (await world.ok("POST", f"/rooms/{room['id']}/end", "alice"))["isLive"] is False
    assert await world.ok("GET", f"/rooms/{room['id']}/broadcasts") == []


async def test_what_begins_after_the_end_is_left_alone(world: RoomsWorld, database: Database) -> None:
    room = await world.room()
    broadcast_id = await world.go_live(room)
    broadcasts = Broadcasts(database)
    before = datetime.now(UTC) - timedelta(minutes=1)
    assert not await broadcasts.close_room(UUID(room["id"]), before, 0, "too late")
    (broadcast,) = await broadcasts.history(UUID(room["id"]), 10)
    assert (broadcast.id, broadcast.ended_at) == (broadcast_id, None)


async def test_history_comes_in_pages_and_reasons_only_to_the_owner(
    world: RoomsWorld, database: Database
) -> None:
    room = await world.room()
    broadcasts = Broadcasts(database)
    for hour in range(3):
        broadcast_id = new_id()
        start = NOON + timedelta(hours=hour)
        await broadcasts.open(broadcast_id, UUID(room["id"]), "node", start)
        await broadcasts.close(broadcast_id, start + timedelta(seconds=90), hour, "publisher stopped")
    path = f"/rooms/{room['id']}/broadcasts"
    _, body, _ = await world.api.call("GET", f"{path}?limit=2", "alice")
    assert [each["peakViewers"] for each in body["data"]] == [2, 1]
    assert {each["durationSeconds"] for each in body["data"]} == {90.0}
    assert {each["endReason"] for each in body["data"]} == {"publisher stopped"}
    cursor = body["meta"]["nextCursor"]
    rest = await world.ok("GET", f"{path}?limit=2&cursor={cursor}")
    assert [(each["peakViewers"], each["endReason"]) for each in rest] == [(0, None)]
    assert await world.fields("GET", f"{path}?cursor=abc") == ["cursor"]


@pytest.mark.parametrize(
    ("moment", "status"),
    [
        ("0001-01-01T00:00:00+14:00", 400),
        ("9999-12-31T23:59:59-14:00", 400),
        ("2026-01-01T00:00:00", 400),
        ("now", 400),
        ("0001-01-01T00:00:00Z", 200),
        ("9999-12-31T23:59:59Z", 200),
    ],
)
async def test_a_cursor_of_no_time_is_refused(world: RoomsWorld, moment: str, status: int) -> None:
    room = await world.room()
    cursor = encode_cursor(moment, room["id"])
    answer = await world.api.call("GET", f"/rooms/{room['id']}/broadcasts?cursor={cursor}")
    assert answer[0] == status


async def test_administrators_see_all_that_is_live(world: RoomsWorld) -> None:
    for number, viewers in enumerate((1, 30, 2)):
        room = await world.room(title=f"{number}", visibility="private")
        await world.go_live(room, viewers, node=f"node {number}")
    _, body, _ = await world.api.call("GET", "/admin/streams?limit=2", "admin")
    assert [(each["title"], each["viewerCount"], each["node"]) for each in body["data"]] == [
        ("1", 30, "node 1"),
        ("2", 2, "node 2"),
    ]
    assert body["data"][0]["health"] is None
    rest = await world.ok("GET", f"/admin/streams?limit=2&cursor={body['meta']['nextCursor']}", "admin")
    assert [each["title"] for each in rest] == ["0"]


async def test_an_administrator_kicks_and_it_is_written_down(world: RoomsWorld, database: Database) -> None:
    room = await world.room()
    await world.go_live(room)
    world.media.viewers[UUID(room["id"])] = 1
    path = f"/admin/streams/{room['id']}"
    status, _, _ = await world.api.call("DELETE", path, "admin")
    assert status == 200
    assert world.media.kicked == [(UUID(room["id"]), "ended by administrator")]
    assert await world.refusal("DELETE", path, "admin") == (404, "stream_not_found")
    row = await database.fetch_row("SELECT actor_id, action, subject_id FROM audit_log")
    assert tuple(row or ()) == (world.users["admin"].id, "stream.kick", room["id"])


async def test_only_administrators_may(world: RoomsWorld) -> None:
    for method, path in (("GET", "/admin/streams"), ("DELETE", f"/admin/streams/{new_id()}")):
        assert (await world.refusal(method, path))[0] == 401
        assert (await world.refusal(method, path, "alice"))[0] == 403
    assert (await world.refusal("DELETE", f"/admin/streams/{new_id()}", "admin"))[0] == 404
    assert (await world.refusal("DELETE", "/admin/streams/x", "admin"))[0] == 404
