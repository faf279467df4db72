"""What the tables of rooms take and refuse, and how lists of rooms are read."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.ids import new_id
from storage.repositories import Broadcasts, LiveFigures, StreamKeys, Users, Visibility
from storage.repositories.categories import Categories
from storage.repositories.room_lists import RoomFilter, RoomLists
from storage.repositories.rooms import STALE_SECONDS, Rooms, RoomSettings

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def owner(database: Database) -> UUID:
    return (await Users(database).add("alice", "a@example.com", "hash")).id


async def go_live(database: Database, room_id: UUID, viewers: int, seen: datetime | None = None) -> UUID:
    broadcast_id = new_id()
    seen = seen or datetime.now(UTC)
    await Broadcasts(database).open(broadcast_id, room_id, "node", seen)
    await Broadcasts(database).update([LiveFigures(broadcast_id, viewers, viewers)], seen)
    return broadcast_id


async def test_settings_come_back_as_they_were_given(database: Database, owner: UUID) -> None:
    category = await Categories(database).add("chess", "Chess")
    settings = RoomSettings(
        "Title", "slug", "text", category.id, ("a", "b"), Visibility.FOLLOWERS, True, 7, NOON, False
    )
    rooms = Rooms(database)
    room = await rooms.details(await rooms.create(owner, settings))
    assert room is not None
    assert room.settings == settings
    assert (room.category_slug, room.category_name, room.version) == ("chess", "Chess", 1)
    assert (room.owner.username, room.live_since, room.viewers, room.ended_at) == ("alice", None, 0, None)
    other = RoomSettings("Other")
    await rooms.change(room.id, other)
    changed = await rooms.details(room.id)
    assert changed is not None and (changed.settings, changed.version) == (other, 2)


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"title": ""}, "rooms_title_valid"),
        ({"title": "x" * 101}, "rooms_title_valid"),
        ({"slug": "A"}, "rooms_slug_valid"),
        ({"description": "x" * 5001}, "rooms_description_valid"),
        ({"category_id": new_id()}, "rooms_category_known"),
        ({"tags": ("x",) * 11}, "rooms_tags_valid"),
        ({"max_viewers": 0}, "rooms_max_viewers_valid"),
    ],
)
async def test_the_database_refuses_what_cannot_be(
    database: Database, owner: UUID, fields: dict[str, Any], constraint: str
) -> None:
    rooms = Rooms(database)
    with pytest.raises(InvalidValue) as refused:
        await rooms.create(owner, RoomSettings(**{"title": "A room", **fields}))
    assert refused.value.constraint == constraint


async def test_a_slug_is_taken_once(database: Database, owner: UUID) -> None:
    rooms = Rooms(database)
    await rooms.create(owner, RoomSettings("a", "night"))
    with pytest.raises(Conflict) as taken:
        await rooms.create(owner, RoomSettings("b", "night"))
    assert taken.value.constraint == "rooms_slug_unique"
    with pytest.raises(InvalidValue) as unknown:
        await rooms.create(new_id(), RoomSettings("c"))
    assert unknown.value.constraint == "rooms_owner_known"


async def test_live_rooms_are_ranked_and_silent_nodes_left_out(database: Database, owner: UUID) -> None:
    rooms, lists = Rooms(database), RoomLists(database)
    ids = [await rooms.create(owner, RoomSettings(f"{n}")) for n in range(4)]
    for room_id, viewers in zip(ids, (5, 9, 5, 1), strict=True):
        await go_live(database, room_id, viewers)
    silent = await rooms.create(owner, RoomSettings("silent"))
    await go_live(database, silent, 99, datetime.now(UTC) - timedelta(seconds=STALE_SECONDS + 5))

    ranked = await lists.live(RoomFilter(), 10)
    assert [(each.rank, each.room.id) for each in ranked] == [
        (9, ids[1]),
        (5, ids[2]),
        (5, ids[0]),
        (1, ids[3]),
    ]
    after = await lists.live(RoomFilter(), 10, (5, ids[2]))
    assert [each.room.id for each in after] == [ids[0], ids[3]]
    assert [room.id for room in await lists.newest(RoomFilter(), 10, is_live=False)] == [silent]
    assert [room.id for room in await lists.newest(RoomFilter(), 2, is_live=True)] == [ids[3], ids[2]]


async def test_a_tag_is_a_value_and_no_sql(database: Database, owner: UUID) -> None:
    rooms, lists = Rooms(database), RoomLists(database)
    strange = "x']} OR 1=1; --{0}"
    room_id = await rooms.create(owner, RoomSettings("a", tags=(strange,)))
    await rooms.create(owner, RoomSettings("b"))
    for room_filter in (RoomFilter(tag=strange), RoomFilter(tag=strange, taste_of=owner)):
        assert [room.id for room in await lists.newest(room_filter, 10)] == [room_id]


async def test_closing_a_room_leaves_later_broadcasts_alone(database: Database, owner: UUID) -> None:
    rooms, broadcasts = Rooms(database), Broadcasts(database)
    room_id = await rooms.create(owner, RoomSettings("a"))
    began = datetime.now(UTC)
    await go_live(database, room_id, 3, began)
    assert not await broadcasts.close_room(room_id, began, 0, "late")
    assert await broadcasts.close_room(room_id, began + timedelta(seconds=1), 2, "ended by owner")
    assert not await broadcasts.close_room(room_id, began + timedelta(seconds=1), 2, "again")
    (broadcast,) = await broadcasts.history(room_id, 10)
    assert (broadcast.peak_viewers, broadcast.end_reason) == (3, "ended by owner")
    room = await rooms.details(room_id)
    assert room is not None and (room.live_since, room.ended_at) == (None, broadcast.ended_at)
    assert await broadcasts.live(10) == []


async def test_an_announced_key_stays_the_same(database: Database, owner: UUID) -> None:
    room_id = await Rooms(database).create(owner, RoomSettings("a"))
    keys = StreamKeys(database)
    await keys.set(room_id, b"\1" * 32)
    await keys.announce(room_id)
    found = await keys.find(b"\1" * 32)
    assert found is not None and found.room_id == room_id


async def test_a_picture_is_replaced_by_name(database: Database, owner: UUID) -> None:
    rooms = Rooms(database)
    room_id = await rooms.create(owner, RoomSettings("a"))
    assert await rooms.set_thumbnail(room_id, "one") is None
    assert await rooms.set_thumbnail(room_id, "two") == "one"
    assert await rooms.set_thumbnail(new_id(), "three") is None


async def test_a_category_changes_and_goes(database: Database, owner: UUID) -> None:
    categories = Categories(database)
    category = await categories.add("chess", "Chess")
    room_id = await Rooms(database).create(owner, RoomSettings("a", category_id=category.id))
    assert await categories.change(category.id, None, "Schach") == await categories.find(category.id)
    assert await categories.change(new_id(), "x", None) is None
    assert await categories.delete(category.id)
    assert not await categories.delete(category.id)
    room = await Rooms(database).details(room_id)
    assert room is not None and room.settings.category_id is None
