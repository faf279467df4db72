"""Changes in the database come over the bus, also after the connection was lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.bus import (
    Bus,
    ChangesMissed,
    Event,
    RoomChanged,
    RoomDeleted,
    RoomOwnerChanged,
    RoomRelationChanged,
    StreamKeyRotated,
    UserChanged,
)
from storage.database import Database
from storage.notifications import Notifications, parse_notification
from storage.repositories import Role, Rooms, StreamKeys, Users, UserState, Visibility
from storage.repositories.follows import Follows
from tests.helpers.waiting import eventually


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def events(bus: Bus) -> list[Event]:
    seen: list[Event] = []
    for kind in (StreamKeyRotated, RoomChanged, RoomDeleted, RoomOwnerChanged, ChangesMissed):
        bus.subscribe(kind, seen.append)
    return seen


@pytest.fixture
async def notifications(database: Database, bus: Bus, events: list[Event]) -> AsyncIterator[Notifications]:
    notifications = Notifications(database, bus)
    task = asyncio.create_task(notifications.run())
    async with asyncio.timeout(10):
        await notifications.listening.wait()
    yield notifications
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.usefixtures("notifications")
async def test_every_change_that_matters_is_told(database: Database, events: list[Event]) -> None:
    user = await Users(database).add("alice", "a@example.com", "hash")
    room_id = await Rooms(database).add(user.id, "A room", None)
    room = str(room_id)
    await StreamKeys(database).set(room_id, b"\1" * 32)
    await StreamKeys(database).set(room_id, b"\2" * 32)
    await Rooms(database).set_visibility(room_id, Visibility.PRIVATE)
    await Users(database).set_state(user.id, UserState.BANNED)
    await Users(database).set_state(user.id, UserState.ACTIVE)
    await Rooms(database).delete(room_id)
    expected = [
        ChangesMissed(),
        RoomChanged(room),
        StreamKeyRotated(room),
        StreamKeyRotated(room),
        RoomChanged(room),
        RoomOwnerChanged(room, is_active=False),
        RoomOwnerChanged(room, is_active=True),
        RoomDeleted(room),
    ]
    await eventually(lambda: len(events) >= len(expected))
    assert events == expected


async def test_a_lost_connection_is_made_again_and_said(
    database: Database, events: list[Event], notifications: Notifications
) -> None:
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    )
    await eventually(lambda: events.count(ChangesMissed()) == 2)
    await eventually(notifications.listening.is_set)
    user = await Users(database).add("alice", "a@example.com", "hash")
    await Rooms(database).add(user.id, "A room", None)
    await eventually(lambda: isinstance(events[-1], RoomChanged))


@pytest.mark.usefixtures("notifications")
async def test_what_nobody_understands_is_passed_over(database: Database, events: list[Event]) -> None:
    await database.execute("SELECT pg_notify('mediaserver', 'nonsense')")
    await database.execute('SELECT pg_notify(\'mediaserver\', \'{"kind": "stream_key", "room_id": "r"}\')')
    await eventually(lambda: StreamKeyRotated("r") in events)
    assert events == [ChangesMissed(), StreamKeyRotated("r")]


@pytest.mark.usefixtures("notifications")
async def test_who_may_see_more_of_whom_is_told_once(database: Database, bus: Bus) -> None:
    told: list[RoomRelationChanged] = []
    bus.subscribe(RoomRelationChanged, told.append)
    users, follows = Users(database), Follows(database)
    ids = [(await users.add(name, f"{name}@example.com", "hash")).id for name in ("alice", "bob", "carol")]
    assert [await follows.add(ids[0], ids[1]) for _ in range(2)] == [True, False]
    assert await follows.add(ids[0], ids[2])
    expected = [RoomRelationChanged(str(ids[0]), str(other)) for other in ids[1:]]
    await eventually(lambda: expected[-1] in told)
    assert told == expected


@pytest.mark.usefixtures("notifications")
async def test_a_new_name_is_told_and_a_new_text_is_not(database: Database, bus: Bus) -> None:
    told: list[UserChanged] = []
    bus.subscribe(UserChanged, told.append)
    users = Users(database)
    alice, bob = [(await users.add(name, f"{name}@example.com", "hash")).id for name in ("alice", "bob")]
    assert await users.change_profile(alice, None, "I bake.")
    assert not await users.change_profile(alice, "Alice", None, version=7)
    assert await users.change_profile(bob, "Bob the baker", None)
    await eventually(lambda: UserChanged(str(bob)) in told)
    assert told == [UserChanged(str(bob))]


@pytest.mark.usefixtures("notifications")
async def test_who_may_see_less_of_whom_is_told(database: Database, bus: Bus) -> None:
    told: list[Event] = []
    bus.subscribe(UserChanged, told.append)
    bus.subscribe(RoomRelationChanged, told.append)
    alice = await Users(database).add("alice", "a@example.com", "hash")
    bob = await Users(database).add("bob", "b@example.com", "hash")
    await database.execute("INSERT INTO follows VALUES ($1, $2)", bob.id, alice.id)
    await database.execute("DELETE FROM follows WHERE follower_id = $1", bob.id)
    await database.execute("INSERT INTO blocks VALUES ($1, $2)", alice.id, bob.id)
    await Users(database).set_role(bob.id, Role.ADMIN)
    await Users(database).set_state(bob.id, UserState.BANNED)
    left = RoomRelationChanged(str(bob.id), str(alice.id))
    changed = UserChanged(str(bob.id))
    await eventually(lambda: told.count(changed) == 2)
    assert [event for event in told if event != changed].count(left) >= 2


def test_users_and_relations_are_understood() -> None:
    assert parse_notification('{"kind": "user", "user_id": "u"}') == UserChanged("u")
    payload = '{"kind": "relation", "user_id": "u", "owner_id": "o"}'
    assert parse_notification(payload) == RoomRelationChanged("u", "o")


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"kind": "stream_key"}',
        '{"kind": "stream_key", "room_id": 3}',
        '{"kind": "owner", "room_id": "r", "is_active": "yes"}',
        '{"kind": "user", "user_id": null}',
        '{"kind": "relation", "user_id": "u"}',
        '{"kind": "later", "room_id": "r"}',
        "[" * 100_000,
    ],
)
def test_a_malformed_payload_is_no_event(payload: str) -> None:
    assert parse_notification(payload) is None


@given(st.text(max_size=200))
def test_any_text_is_an_event_or_nothing(payload: str) -> None:
    parse_notification(payload)
