"""Messages: what is shown, what no longer is, and what waits for a moderator."""

import asyncio
from uuid import UUID

import pytest

from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.ids import new_id
from storage.repositories import Rooms
from storage.repositories.chat_log import ChatLog, Mention, NewMessage
from storage.repositories.chat_messages import ChatMessages, MessageState, StoredMessage
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


def shown(messages: list[StoredMessage]) -> list[str]:
    return [found.message for found in messages]


async def hold(database: Database, room_id: UUID, text: str) -> NewMessage:
    held = message(room_id, text, mentions=(Mention(UUID(int=1), "bob"),))
    await ChatMessages(database).add(held, MessageState.HELD, "a link")
    return held


async def test_a_message_is_found_in_its_room_only(database: Database) -> None:
    room, other = await add_room(database), await add_room(database)
    said = message(room, badge="staff", reply_to=new_id(), mentions=(Mention(UUID(int=3), "bob"),))
    await ChatLog(database).append([said])
    found = await ChatMessages(database).find(room, said.id)
    assert found is not None and found.as_new() == said
    assert (found.offset, found.state, found.deleted_at, found.hold_reason) == (
        1,
        MessageState.VISIBLE,
        None,
        None,
    )
    assert await ChatMessages(database).find(other, said.id) is None
    assert await ChatMessages(database).find(room, new_id()) is None


async def test_pages_go_back_from_the_newest_message(database: Database) -> None:
    room = await add_room(database)
    await say(database, room, "one", "two")
    await ChatLog(database).append([event(room)])
    await say(database, room, "four", "five")
    messages = ChatMessages(database)
    first = await messages.page(room, 2)
    assert shown(first) == ["five", "four"]
    assert shown(await messages.page(room, 2, first[-1].offset)) == ["two", "one"]
    assert await messages.page(room, 2, 1) == []
    assert shown(await messages.page(room, 1, 2**70)) == ["five"]


async def test_a_message_is_deleted_once(database: Database) -> None:
    room, other = await add_room(database), await add_room(database)
    said = await say(database, room, "one", "two")
    messages = ChatMessages(database)
    assert not await messages.delete(other, said[0].id, MODERATOR)
    assert not await messages.delete(room, new_id(), MODERATOR)
    both = (messages.delete(room, said[0].id, MODERATOR) for _ in range(2))
    assert sorted(await asyncio.gather(*both)) == [False, True]
    assert shown(await messages.page(room, 5)) == ["two"]
    deleted = await messages.find(room, said[0].id)
    assert deleted is not None and deleted.deleted_at is not None and deleted.message == "one"


async def test_what_was_said_until_now_is_cleared(database: Database) -> None:
    room, other = await add_room(database), await add_room(database)
    said = await say(database, room, "one", "two", "three")
    await say(database, other, "elsewhere")
    messages = ChatMessages(database)
    await messages.delete(room, said[0].id, MODERATOR)
    assert await messages.clear(room, MODERATOR) == 2
    assert await messages.clear(room, MODERATOR) == 0
    await say(database, room, "new")
    assert shown(await messages.page(room, 5)) == ["new"]
    assert shown(await messages.page(other, 5)) == ["elsewhere"]
    cleared = await messages.find(room, said[1].id)
    assert cleared is not None and cleared.deleted_at is not None
    assert not await messages.delete(room, said[1].id, MODERATOR)


async def test_an_empty_chat_may_be_cleared(database: Database) -> None:
    room = await add_room(database)
    assert await ChatMessages(database).clear(room, MODERATOR) == 0
    await offset_of(database, room)
    assert await ChatMessages(database).clear(room, MODERATOR) == 0
    assert await ChatMessages(database).clear(new_id(), MODERATOR) == 0


async def test_held_messages_wait_in_their_order_and_are_not_shown(database: Database) -> None:
    room, other = await add_room(database), await add_room(database)
    held = [await hold(database, room, text) for text in ("one", "two", "three")]
    await hold(database, other, "elsewhere")
    await ChatMessages(database).add(message(room, "shadow"), MessageState.SHADOWED)
    messages = ChatMessages(database)
    first = await messages.held(room, 2)
    assert [found.as_new() for found in first] == held[:2]
    assert {(found.state, found.offset, found.hold_reason) for found in first} == {
        (MessageState.HELD, None, "a link")
    }
    assert shown(await messages.held(room, 2, first[-1].id)) == ["three"]
    assert await messages.page(room, 5) == []
    assert await ChatLog(database).since(room, 0, 5) == []
    assert not await messages.delete(room, held[0].id, MODERATOR)


async def test_an_allowed_message_takes_its_place_now(database: Database) -> None:
    room = await add_room(database)
    held = await hold(database, room, "fine")
    await say(database, room, "later")
    async with database.transaction() as transaction:
        found = await ChatMessages(transaction).take_held(room, held.id)
        assert found is not None and found.as_new() == held
        offset = await ChatLog(transaction).reserve(room)
        assert offset == 2
        assert await ChatMessages(transaction).allow(held.id, offset)
    assert texts(await ChatLog(database).since(room, 0, 5)) == ["later", "fine"]
    assert await ChatMessages(database).held(room, 5) == []
    assert not await ChatMessages(database).allow(held.id, 3)


async def test_a_denied_message_is_never_shown(database: Database) -> None:
    room = await add_room(database)
    held = await hold(database, room, "bad")
    messages = ChatMessages(database)
    assert await messages.deny(held.id, MODERATOR)
    assert not await messages.deny(held.id, MODERATOR)
    assert not await messages.allow(held.id, 1)
    assert await messages.take_held(room, held.id) is None
    assert await messages.held(room, 5) == []
    denied = await messages.find(room, held.id)
    assert denied is not None and denied.state is MessageState.DENIED and denied.deleted_at is not None


async def test_one_moderator_decides(database: Database) -> None:
    room = await add_room(database)
    held = await hold(database, room, "which?")

    async def deny() -> bool:
        async with database.transaction() as other:
            return await ChatMessages(other).take_held(room, held.id) is not None

    async with database.transaction() as transaction:
        assert await ChatMessages(transaction).take_held(room, held.id)
        denying = asyncio.create_task(deny())
        await until_somebody_waits(database)
        await ChatMessages(transaction).allow(held.id, await ChatLog(transaction).reserve(room) or 0)
    assert not await denying


async def test_what_is_held_is_only_taken_in_its_room(database: Database) -> None:
    room, other = await add_room(database), await add_room(database)
    held = await hold(database, room, "held")
    (said,) = await say(database, room, "shown")
    messages = ChatMessages(database)
    assert await messages.take_held(other, held.id) is None
    assert await messages.take_held(room, said.id) is None
    assert await messages.take_held(room, new_id()) is None


async def test_two_messages_never_have_one_place(database: Database) -> None:
    room = await add_room(database)
    await say(database, room, "first")
    held = await hold(database, room, "held")
    with pytest.raises(Conflict) as refused:
        await ChatMessages(database).allow(held.id, 1)
    assert refused.value.constraint == "chat_messages_order"


async def test_what_is_held_is_checked_as_what_is_shown(database: Database) -> None:
    room = await add_room(database)
    messages = ChatMessages(database)
    held = await hold(database, room, "held")
    with pytest.raises(Conflict):
        await messages.add(held, MessageState.HELD)
    for text in TEXTS_POSTGRESQL_CANNOT_HOLD:
        with pytest.raises(InvalidValue):
            await messages.add(message(room, text), MessageState.HELD)
        with pytest.raises(InvalidValue):
            await messages.add(message(room), MessageState.HELD, text)
    refused = {
        "chat_messages_message_valid": (message(room, "x" * 2001), MessageState.HELD, None),
        "chat_messages_hold_reason_valid": (message(room), MessageState.HELD, "x" * 501),
        "chat_messages_place_valid": (message(room), MessageState.VISIBLE, None),
        "chat_messages_room_known": (message(new_id()), MessageState.HELD, None),
    }
    for constraint, arguments in refused.items():
        with pytest.raises(InvalidValue) as error:
            await messages.add(*arguments)
        assert error.value.constraint == constraint


async def test_a_moderator_and_the_deletion_of_the_room_do_not_wait_for_each_other(
    database: Database,
) -> None:
    room = await add_room(database)
    (said,) = await say(database, room, "hello")
    held = await hold(database, room, "held")
    async with database.transaction() as transaction:
        assert await ChatMessages(transaction).delete(room, said.id, MODERATOR)
        assert await ChatMessages(transaction).take_held(room, held.id)
        deleting = asyncio.create_task(Rooms(database).delete(room))
        await until_somebody_waits(database)
        assert await ChatLog(transaction).append([event(room, "message-deleted")]) == [2]
    await deleting
    assert await database.fetch_value("SELECT count(*) FROM chat_messages") == 0
