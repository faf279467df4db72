"""The log of a room: its order holds whoever writes, and nothing in it is lost or made up."""

import asyncio
import random
from dataclasses import replace
from itertools import chain
from uuid import UUID

import pytest

from storage.database import Database, PoolOptions
from storage.errors import Conflict, InvalidValue
from storage.ids import new_id
from storage.repositories import Rooms
from storage.repositories.chat_log import ChatLog, Entry, LoggedEntry, Mention, NewEvent
from storage.repositories.chat_messages import ChatMessages
from tests.storage.chat_world import (
    TEXTS_POSTGRESQL_CANNOT_HOLD,
    add_room,
    event,
    message,
    offset_of,
    say,
    texts,
    until_somebody_waits,
)

MODERATOR = UUID(int=9)


async def test_entries_come_back_as_they_were_written_in_their_order(database: Database) -> None:
    room = await add_room(database)
    entries: list[Entry] = [
        message(room, "Grüße 👋", badge="owner", mentions=(Mention(UUID(int=3), "bob"),)),
        event(room, "gift", {"from": {"username": "bob"}, "coins": 3, "quantity": 1.5, "none": None}),
        message(room, "<b>x' OR 1=1;--\\u0000", reply_to=new_id()),
    ]
    log = ChatLog(database)
    assert await log.append(entries) == [1, 2, 3]
    logged = [LoggedEntry(offset, entry) for offset, entry in enumerate(entries, 1)]
    assert await log.since(room, 0, 10) == logged
    assert await log.since(room, 1, 1) == logged[1:2]
    assert await log.recent(room, 10) == [logged[0], logged[2]]


async def test_nothing_is_appended(database: Database) -> None:
    assert await ChatLog(database).append([]) == []


async def test_a_batch_of_many_rooms_is_numbered_in_each(database: Database) -> None:
    one, other = await add_room(database), await add_room(database)
    await say(database, other, "first")
    batch = [message(one), message(other), event(one), event(other), message(one)]
    assert await ChatLog(database).append(batch) == [1, 2, 2, 3, 3]
    positions = await ChatLog(database).positions([one, other])
    assert [positions[room].offset for room in (one, other)] == [3, 3]


async def test_a_room_that_does_not_exist_gets_no_offset_and_hinders_nobody(database: Database) -> None:
    room, gone = await add_room(database), new_id()
    assert await ChatLog(database).append([message(gone), message(room), event(gone)]) == [None, 1, None]
    assert await ChatLog(database).position(gone) is None
    assert await ChatLog(database).since(gone, 0, 10) == []
    assert await ChatLog(database).recent(gone, 10) == []


async def test_the_epoch_is_made_once_and_is_another_one_in_each_room(database: Database) -> None:
    rooms = [await add_room(database) for _ in range(3)]
    log = ChatLog(database)
    both = await asyncio.gather(log.positions(rooms), log.positions(rooms))
    assert both[0] == both[1]
    assert len({position.epoch for position in both[0].values()}) == 3
    await log.append([message(rooms[0])])
    assert (await log.positions(rooms))[rooms[0]] == replace(both[0][rooms[0]], offset=1)


async def test_two_processes_write_without_gaps_in_the_order_of_their_commits(
    database: Database, database_url: str
) -> None:
    """Batches name the rooms in any order, and a reader never sees a number before the ones below it."""
    rooms = [await add_room(database) for _ in range(4)]
    done = asyncio.Event()
    dice = random.Random(4)

    async def write(log: ChatLog) -> list[tuple[UUID, int | None]]:
        given = []
        for _ in range(25):
            batch = [message(dice.choice(rooms)) for _ in range(6)]
            given += zip((entry.room_id for entry in batch), await log.append(batch), strict=True)
        return given

    async def read() -> None:
        while not done.is_set():
            found = [entry.offset for entry in await ChatLog(database).since(rooms[0], 0, 10_000)]
            assert found == list(range(1, len(found) + 1))

    async with Database(database_url, PoolOptions(size=4)) as elsewhere:
        reading = asyncio.create_task(read())
        logs = [ChatLog(place) for place in (database, elsewhere, database, elsewhere)]
        given = list(chain(*await asyncio.gather(*(write(log) for log in logs))))
        done.set()
        await reading
    for room in rooms:
        offsets = sorted(offset for where, offset in given if where == room and offset is not None)
        assert offsets == list(range(1, await offset_of(database, room) + 1))
    assert len(given) == 4 * 25 * 6


async def test_what_is_rolled_back_leaves_no_gap_to_one_who_waited(database: Database) -> None:
    room = await add_room(database)
    await say(database, room, "first")
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as transaction:
            assert await ChatLog(transaction).append([message(room), message(room)]) == [2, 3]
            other = asyncio.create_task(ChatLog(database).append([message(room, "second")]))
            await until_somebody_waits(database)
            raise ZeroDivisionError
    assert await other == [2]
    assert texts(await ChatLog(database).since(room, 0, 10)) == ["first", "second"]


async def test_an_entry_is_written_with_the_rest_of_its_transaction(database: Database) -> None:
    room = await add_room(database)
    (said,) = await say(database, room, "rude")
    async with database.transaction() as transaction:
        assert await ChatMessages(transaction).delete(room, said.id, MODERATOR)
        await ChatLog(transaction).append([event(room, "message-deleted")])
        assert texts(await ChatLog(database).since(room, 0, 10)) == ["rude"]
    assert texts(await ChatLog(database).since(room, 0, 10)) == ["message-deleted"]


async def test_a_message_is_stored_once_and_its_batch_not_at_all(database: Database) -> None:
    room = await add_room(database)
    (said,) = await say(database, room, "once")
    with pytest.raises(Conflict) as refused:
        await ChatLog(database).append([message(room, "with it"), said])
    assert refused.value.constraint == "chat_messages_id_unique"
    assert await offset_of(database, room) == 1
    assert await ChatLog(database).append([message(room)]) == [2]


async def test_a_room_that_is_deleted_meanwhile_hinders_nobody(database: Database) -> None:
    room, gone = await add_room(database), await add_room(database)
    await say(database, gone, "last words")
    async with database.transaction() as transaction:
        await Rooms(transaction).delete(gone)
        writing = asyncio.create_task(ChatLog(database).append([message(gone), message(room)]))
        await until_somebody_waits(database)
    assert await writing == [None, 1]


async def test_a_room_is_not_made_for_one_that_is_deleted_meanwhile(database: Database) -> None:
    room, gone = await add_room(database), await add_room(database)
    async with database.transaction() as transaction:
        await Rooms(transaction).delete(gone)
        writing = asyncio.create_task(ChatLog(database).append([message(gone), message(room)]))
        await until_somebody_waits(database)
    assert await writing == [None, 1]
    with pytest.raises(InvalidValue):
        await database.execute("INSERT INTO chat_rooms (room_id) VALUES ($1)", gone)


async def test_who_writes_and_who_deletes_the_room_do_not_wait_for_each_other(database: Database) -> None:
    """A moderation that has its number already ends before the room does."""
    room = await add_room(database)
    (said,) = await say(database, room, "hello")
    async with database.transaction() as transaction:
        await ChatLog(transaction).append([event(room)])
        deleting = asyncio.create_task(Rooms(database).delete(room))
        await until_somebody_waits(database)
        await ChatMessages(transaction).delete(room, said.id, MODERATOR)
        assert await ChatLog(transaction).append([message(room)]) == [3]
    await deleting
    assert await ChatLog(database).position(room) is None


async def test_a_held_message_takes_the_next_place(database: Database) -> None:
    room = await add_room(database)
    assert await ChatLog(database).reserve(new_id()) is None
    assert [await ChatLog(database).reserve(room) for _ in range(2)] == [1, 2]
    assert await ChatLog(database).append([message(room)]) == [3]


async def test_deleted_and_cleared_messages_are_left_out(database: Database) -> None:
    room = await add_room(database)
    said = await say(database, room, "one", "two", "three")
    log, messages = ChatLog(database), ChatMessages(database)
    await messages.delete(room, said[1].id, MODERATOR)
    assert [entry.offset for entry in await log.since(room, 0, 10)] == [1, 3]
    await messages.clear(room, MODERATOR)
    await log.append([event(room, "chat-cleared"), message(room, "new")])
    assert texts(await log.since(room, 0, 10)) == ["chat-cleared", "new"]
    assert texts(await log.since(room, 0, 1)) == ["chat-cleared"]
    assert texts(await log.recent(room, 10)) == ["new"]


async def test_the_last_messages_come_oldest_first(database: Database) -> None:
    room = await add_room(database)
    await say(database, room, "one", "two", "three")
    assert texts(await ChatLog(database).recent(room, 2)) == ["two", "three"]


@pytest.mark.parametrize("offset", [-(2**70), -1, 2**63, 2**70])
async def test_any_number_may_be_asked_for(database: Database, offset: int) -> None:
    room = await add_room(database)
    await say(database, room, "one")
    assert texts(await ChatLog(database).since(room, offset, 10)) == (["one"] if offset < 0 else [])


@pytest.mark.parametrize("text", TEXTS_POSTGRESQL_CANNOT_HOLD)
@pytest.mark.parametrize("field", ["message", "username", "display_name", "badge"])
async def test_text_that_cannot_be_stored_is_an_invalid_value(
    database: Database, field: str, text: str
) -> None:
    room = await add_room(database)
    with pytest.raises(InvalidValue):
        await ChatLog(database).append([message(room), message(room, **{field: text})])
    assert await offset_of(database, room) == 0


@pytest.mark.parametrize(
    ("field", "value", "constraint"),
    [
        ("message", "x" * 2001, "chat_messages_message_valid"),
        ("message", "", "chat_messages_present"),
        ("username", "", "chat_messages_username_valid"),
        ("username", "x" * 31, "chat_messages_username_valid"),
        ("display_name", "x" * 51, "chat_messages_display_name_valid"),
        ("badge", "king", "chat_messages_badge_known"),
        ("mentions", (Mention(UUID(int=1), "x" * 10_000),), "chat_messages_mentions_valid"),
        ("mentions", (Mention(UUID(int=1), "x\0"),), "chat_messages_mentions_valid"),
    ],
)
async def test_messages_have_limits(database: Database, field: str, value: object, constraint: str) -> None:
    room = await add_room(database)
    with pytest.raises(InvalidValue) as refused:
        await ChatLog(database).append([message(room, **{field: value})])
    assert refused.value.constraint == constraint


@pytest.mark.parametrize(
    ("kind", "data", "constraint"),
    [
        ("", {}, "chat_events_kind_valid"),
        ("Not-A-Kind", {}, "chat_events_kind_valid"),
        ("x" * 41, {}, "chat_events_kind_valid"),
        ("a\0", {}, "chat_events_kind_valid"),
        ("tip", {"message": "x" * 10_000}, "chat_events_data_valid"),
        ("tip", {"message": "close \ud800"}, "chat_events_data_valid"),
        ("tip", {"from": [{"a\0": 1}]}, "chat_events_data_valid"),
        ("tip", {"message": "\\\0"}, "chat_events_data_valid"),
        ("tip", {"message": object()}, "chat_events_data_valid"),
    ],
)
async def test_events_have_limits(
    database: Database, kind: str, data: dict[str, object], constraint: str
) -> None:
    room = await add_room(database)
    with pytest.raises(InvalidValue) as refused:
        await ChatLog(database).append([event(room, kind, data)])
    assert refused.value.constraint == constraint


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", '"\\', "\U0001f600", "\x1f"])
async def test_what_only_looks_like_nul_is_kept(database: Database, text: str) -> None:
    room = await add_room(database)
    await ChatLog(database).append([event(room, "tip", {"message": text})])
    (found,) = await ChatLog(database).since(room, 0, 1)
    assert isinstance(found.entry, NewEvent) and found.entry.data == {"message": text}


async def test_all_of_the_chat_goes_with_its_room(database: Database) -> None:
    room = await add_room(database)
    await ChatLog(database).append([message(room), event(room)])
    await Rooms(database).delete(room)
    for table in ("chat_rooms", "chat_messages", "chat_events"):
        assert await database.fetch_value(f"SELECT count(*) FROM {table}") == 0
