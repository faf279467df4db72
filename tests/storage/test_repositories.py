"""What the tables take, refuse and find."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.ids import new_id
from storage.repositories import (
    Broadcasts,
    LiveFigures,
    Role,
    Rooms,
    StreamKeys,
    User,
    Users,
    UserState,
    Visibility,
)
from storage.repositories.stream_keys import FIND_BY_HASH

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def add_user(database: Database, name: str = "alice", role: Role = Role.USER) -> User:
    return await Users(database).add(name, f"{name}@example.com", "hash", role)


async def add_room(database: Database, slug: str | None = None) -> UUID:
    user = await Users(database).find_by_name("alice") or await add_user(database)
    return await Rooms(database).add(user.id, "A room", slug)


async def test_users_are_found_by_name_whatever_its_case(database: Database) -> None:
    added = await add_user(database, "Alice")
    assert await Users(database).find_by_name("aLICE") == added
    assert await Users(database).find_by_name("bob") is None
    assert (added.role, added.state, added.display_name) == (Role.USER, UserState.ACTIVE, "Alice")


@pytest.mark.parametrize(
    ("username", "email", "constraint"),
    [
        ("ALICE", "other@example.com", "users_username_unique"),
        ("other", "Alice@Example.com", "users_email_unique"),
    ],
)
async def test_a_taken_name_or_address_is_a_conflict(
    database: Database, username: str, email: str, constraint: str
) -> None:
    await add_user(database)
    with pytest.raises(Conflict) as conflict:
        await Users(database).add(username, email, "hash")
    assert conflict.value.constraint == constraint


@pytest.mark.parametrize(
    ("username", "email", "constraint"),
    [
        ("al", "a@example.com", "users_username_valid"),
        ("a" * 31, "a@example.com", "users_username_valid"),
        ("al ice", "a@example.com", "users_username_valid"),
        ("../alice", "a@example.com", "users_username_valid"),
        ("alice'; DROP TABLE users; --", "a@example.com", "users_username_valid"),
        ("alice", "example.com", "users_email_valid"),
        ("alice", "a@b@c", "users_email_valid"),
        ("alice", "a b@example.com", "users_email_valid"),
        ("alice", "a@" + "x" * 260, "users_email_valid"),
    ],
)
async def test_bad_names_and_addresses_are_refused(
    database: Database, username: str, email: str, constraint: str
) -> None:
    with pytest.raises(InvalidValue) as invalid:
        await Users(database).add(username, email, "hash")
    assert invalid.value.constraint == constraint


async def test_the_oldest_active_administrator_is_found(database: Database) -> None:
    users = Users(database)
    await add_user(database, "user")
    assert await users.find_administrator() is None
    first = await add_user(database, "first", Role.ADMIN)
    second = await add_user(database, "second", Role.SUPERADMIN)
    assert await users.find_administrator() == first
    await users.set_state(first.id, UserState.BANNED)
    assert await users.find_administrator() == second
    await users.set_role(second.id, Role.USER)
    assert await users.find_administrator() is None


async def test_rooms_are_found_by_id_and_slug(database: Database) -> None:
    room_id = await add_room(database, "my-room")
    other_id = await add_room(database)
    room = await Rooms(database).find_by_id(room_id)
    assert room is not None
    assert (room.slug, room.title, room.visibility, room.owner_name) == (
        "my-room",
        "A room",
        Visibility.PUBLIC,
        "alice",
    )
    assert await Rooms(database).find_by_slug("my-room") == room
    assert await Rooms(database).find_by_slug("none") is None
    found = await Rooms(database).find_many([room_id, other_id, new_id()])
    assert {room.id for room in found} == {room_id, other_id}
    await Rooms(database).set_visibility(room_id, Visibility.PRIVATE)
    changed = await Rooms(database).find_by_id(room_id)
    assert changed is not None and changed.visibility is Visibility.PRIVATE


@pytest.mark.parametrize(
    "slug", ["", "-a", "A", "a/b", "..", "a" * 64, "a b", "01a1fa90-8fd2-7bad-99de-df13dc736d90", "a\n"]
)
async def test_bad_slugs_are_refused(database: Database, slug: str) -> None:
    with pytest.raises(InvalidValue) as invalid:
        await add_room(database, slug)
    assert invalid.value.constraint == "rooms_slug_valid"


async def test_a_slug_is_given_once_and_a_room_needs_an_owner(database: Database) -> None:
    await add_room(database, "taken")
    with pytest.raises(Conflict):
        await add_room(database, "taken")
    with pytest.raises(InvalidValue):
        await Rooms(database).add(new_id(), "Nobody's", None)


async def test_a_stream_key_opens_its_room_until_it_is_rotated(database: Database) -> None:
    room_id = await add_room(database)
    keys = StreamKeys(database)
    old, new = b"\1" * 32, b"\2" * 32
    await keys.set(room_id, old)
    found = await keys.find(old)
    assert found is not None
    assert (found.room_id, found.key_hash, found.is_owner_active) == (room_id, old, True)
    await keys.set(room_id, new)
    assert await keys.find(old) is None
    assert [key.key_hash for key in await keys.find_many([room_id, new_id()])] == [new]
    rotated_at = await database.fetch_value("SELECT rotated_at FROM stream_keys WHERE room_id = $1", room_id)
    assert rotated_at is not None


async def test_a_stream_key_says_that_its_owner_is_banned(database: Database) -> None:
    room_id = await add_room(database)
    await StreamKeys(database).set(room_id, b"\1" * 32)
    owner = await Users(database).find_by_name("alice")
    assert owner is not None
    await Users(database).set_state(owner.id, UserState.BANNED)
    found = await StreamKeys(database).find(b"\1" * 32)
    assert found is not None and not found.is_owner_active


async def test_two_rooms_never_have_the_same_key(database: Database) -> None:
    await StreamKeys(database).set(await add_room(database), b"\1" * 32)
    with pytest.raises(Conflict):
        await StreamKeys(database).set(await add_room(database), b"\1" * 32)
    with pytest.raises(InvalidValue):
        await StreamKeys(database).set(new_id(), b"\2" * 32)


async def test_a_key_is_looked_up_by_an_index(database: Database) -> None:
    """With ten thousand rooms, no table is read from end to end."""
    owner = await add_user(database)
    await database.execute(
        """WITH made AS (INSERT INTO rooms (id, owner_id, title)
               SELECT gen_random_uuid(), $1, 'room' FROM generate_series(1, 10000) RETURNING id)
           INSERT INTO stream_keys (room_id, key_hash) SELECT id, sha256(id::text::bytea) FROM made""",
        owner.id,
    )
    await database.execute("ANALYZE")
    rows = await database.fetch(f"EXPLAIN {FIND_BY_HASH}".replace("$1", "sha256('x')"))
    plan = "\n".join(row[0] for row in rows)
    assert "stream_keys_hash_unique" in plan
    assert "Seq Scan on stream_keys" not in plan and "Seq Scan on rooms" not in plan


async def test_a_broadcast_is_recorded_from_start_to_end(database: Database) -> None:
    room_id, broadcasts = await add_room(database), Broadcasts(database)
    broadcast_id = new_id()
    await broadcasts.open(broadcast_id, room_id, "node", NOON)
    await broadcasts.open(broadcast_id, room_id, "node", NOON)
    await broadcasts.update([LiveFigures(broadcast_id, 3, 7)], NOON + timedelta(seconds=10))
    await broadcasts.update([LiveFigures(broadcast_id, 2, 5)], NOON + timedelta(seconds=20))
    state = await database.fetch_row("SELECT node, viewers, last_seen FROM room_live_state")
    assert tuple(state or ()) == ("node", 2, NOON + timedelta(seconds=20))

    for _ in range(2):
        await broadcasts.close(broadcast_id, NOON + timedelta(minutes=90), 6, "publisher stopped")
    (recorded,) = await broadcasts.history(room_id, 10)
    assert recorded.duration == timedelta(minutes=90)
    assert (recorded.peak_viewers, recorded.end_reason) == (7, "publisher stopped")
    assert await database.fetch("SELECT FROM room_live_state") == []


async def test_a_room_has_one_open_broadcast(database: Database) -> None:
    room_id, broadcasts = await add_room(database), Broadcasts(database)
    first, second = new_id(), new_id()
    await broadcasts.open(first, room_id, "lost node", NOON)
    await broadcasts.open(second, room_id, "node", NOON + timedelta(hours=1))
    newest, oldest = await broadcasts.history(room_id, 10)
    assert (newest.id, newest.ended_at) == (second, None)
    assert (oldest.id, oldest.duration, oldest.end_reason) == (first, timedelta(hours=1), "superseded")
    with pytest.raises(Conflict):
        await database.execute(
            "INSERT INTO broadcasts (id, room_id, started_at) VALUES ($1, $2, now())", new_id(), room_id
        )


async def test_what_a_dead_node_left_open_is_closed_as_of_when_it_was_seen(database: Database) -> None:
    broadcasts = Broadcasts(database)
    mine, other = await add_room(database), await add_room(database)
    left, running = new_id(), new_id()
    await broadcasts.open(left, mine, "dead", NOON)
    await broadcasts.open(running, other, "alive", NOON)
    await broadcasts.update([LiveFigures(left, 1, 1)], NOON + timedelta(minutes=5))
    assert await broadcasts.close_abandoned("dead", "server lost") == 1
    assert await broadcasts.close_abandoned("dead", "server lost") == 0
    (closed,) = await broadcasts.history(mine, 10)
    assert (closed.duration, closed.end_reason) == (timedelta(minutes=5), "server lost")
    assert [broadcast.ended_at for broadcast in await broadcasts.history(other, 10)] == [None]


async def test_a_clock_that_went_back_gives_no_negative_duration(database: Database) -> None:
    room_id, broadcasts = await add_room(database), Broadcasts(database)
    broadcast_id = new_id()
    await broadcasts.open(broadcast_id, room_id, "node", NOON)
    await broadcasts.close(broadcast_id, NOON - timedelta(hours=1), 0, "publisher stopped")
    (closed,) = await broadcasts.history(room_id, 10)
    assert closed.duration == timedelta(0)


async def test_what_belongs_to_a_room_goes_with_it(database: Database) -> None:
    room_id = await add_room(database)
    await StreamKeys(database).set(room_id, b"\1" * 32)
    await Broadcasts(database).open(new_id(), room_id, "node", NOON)
    await Rooms(database).delete(room_id)
    for table in ("rooms", "stream_keys", "broadcasts", "room_live_state"):
        assert await database.fetch_value(f"SELECT count(*) FROM {table}") == 0
    with pytest.raises(InvalidValue):
        await Broadcasts(database).open(new_id(), room_id, "node", NOON)
