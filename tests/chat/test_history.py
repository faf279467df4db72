"""Messages and events that are too old are removed in slices; what is pinned or young stays."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from chat import history
from chat.history import History
from storage.database import Database
from storage.repositories.chat_log import ChatLog, NewEvent
from storage.repositories.chat_messages import ChatMessages, MessageState, first_id
from storage.repositories.chat_rooms import ChatRooms
from tests.storage.chat_world import add_room, event, message, texts

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def id_of(days_ago: float, number: int = 0) -> UUID:
    return UUID(int=first_id(NOW - timedelta(days=days_ago)).int + number)


def event_of(room: UUID, days_ago: float, kind: str = "follow") -> NewEvent:
    return replace(event(room, kind), created_at=NOW - timedelta(days=days_ago))


def history_of(database: Database, days: int) -> History:
    return History(database, days, lambda: NOW)


async def test_what_is_too_old_is_removed(database: Database) -> None:
    room = await add_room(database)
    old = [message(room, f"old {number}", id=id_of(91, number)) for number in range(3)]
    young = [message(room, "young", id=id_of(89)), message(room, "new")]
    await ChatLog(database).append([*old, event_of(room, 89), *young])
    await ChatMessages(database).add(message(room, id=id_of(91, 9)), MessageState.HELD, "link")
    assert await history_of(database, 90).purge() == 4
    assert texts(await ChatLog(database).since(room, 0, 10)) == ["follow", "young", "new"]
    assert await ChatMessages(database).held(room, 5) == []
    assert await history_of(database, 90).purge() == 0
    await ChatLog(database).append([message(room, "later")])
    assert (await ChatLog(database).since(room, 0, 10))[-1].offset == 7


async def test_events_that_are_too_old_are_removed(database: Database) -> None:
    room, other = await add_room(database), await add_room(database, "other")
    old = [event_of(room, 91, "tip"), event_of(other, 1_000, "ban"), event_of(other, 90.01)]
    await ChatLog(database).append([*old, event_of(room, 89.99, "young"), event_of(other, 0, "new")])
    assert await history_of(database, 90).purge() == 3
    assert texts(await ChatLog(database).since(room, 0, 10)) == ["young"]
    assert texts(await ChatLog(database).since(other, 0, 10)) == ["new"]
    assert await history_of(database, 90).purge() == 0
    await ChatLog(database).append([event_of(room, 0, "later")])
    assert (await ChatLog(database).since(room, 0, 10))[-1].offset == 3


async def test_a_pinned_message_stays_until_it_is_pinned_no_more(database: Database) -> None:
    room = await add_room(database)
    rules = message(room, "rules", id=id_of(100))
    await ChatLog(database).append([rules])
    await ChatRooms(database).pin(room, rules.id)
    assert await history_of(database, 90).purge() == 0
    await ChatRooms(database).pin(room, None)
    assert await history_of(database, 90).purge() == 1


async def test_for_good(database: Database) -> None:
    room = await add_room(database)
    await ChatLog(database).append([message(room, id=id_of(10_000)), event_of(room, 10_000)])
    assert await history_of(database, 0).purge() == 0


async def test_many_are_removed_in_slices(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(history, "PAUSE_SECONDS", 0)
    room = await add_room(database)
    await ChatLog(database).append([message(room, id=id_of(91, number)) for number in range(7)])
    await ChatLog(database).append([event_of(room, 91 + number) for number in range(5)])
    assert await history_of(database, 90).purge() == 12
    assert await ChatLog(database).since(room, 0, 20) == []


async def test_what_somebody_is_busy_with_is_left_for_the_next_time(database: Database) -> None:
    room = await add_room(database)
    waiting = message(room, id=id_of(91))
    await ChatMessages(database).add(waiting, MessageState.HELD, "link")
    async with database.transaction() as moderator:
        assert await ChatMessages(moderator).take_held(room, waiting.id)
        assert await history_of(database, 90).purge() == 0
    assert await history_of(database, 90).purge() == 1


async def test_an_event_that_is_being_changed_is_left_for_the_next_time(database: Database) -> None:
    room = await add_room(database)
    await ChatLog(database).append([event_of(room, 91, "tip"), event_of(room, 91)])
    async with database.transaction() as leaving:
        await leaving.execute("UPDATE chat_events SET data = '{}' WHERE kind = 'tip'")
        assert await history_of(database, 90).purge() == 1
    assert await history_of(database, 90).purge() == 1


def test_ids_are_bounded_by_their_time() -> None:
    assert first_id(datetime(1960, 1, 1, tzinfo=UTC)) == UUID(int=0)
    assert id_of(1) < id_of(0.99)
