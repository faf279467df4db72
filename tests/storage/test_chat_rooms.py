"""A room's modes, its pinned message, its blocked terms, and all of that at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.ids import new_id
from storage.repositories import Rooms, Users
from storage.repositories.blocked_terms import BlockedTerm, BlockedTerms, TermAction
from storage.repositories.chat_log import ChatLog, Position
from storage.repositories.chat_messages import ChatMessages, MessageState
from storage.repositories.chat_rooms import ChatRooms, ChatSettings, LinkPolicy
from tests.storage.chat_world import TEXTS_POSTGRESQL_CANNOT_HOLD, add_room, message, say

MODERATOR = UUID(int=9)
STRICT = ChatSettings(120, 0, True, True, True, LinkPolicy.REFUSE)
TERMS = (
    BlockedTerm("zebra", False, TermAction.REFUSE),
    BlockedTerm("(a+)+$", True, TermAction.HOLD),
    BlockedTerm("zebra", True, TermAction.HOLD),
)


async def test_settings_are_saved_with_a_version(database: Database) -> None:
    room = await add_room(database)
    rooms = ChatRooms(database)
    assert await rooms.settings(room) == (ChatSettings(), 1)
    assert await rooms.save_settings(room, STRICT, 1) == 2
    assert await rooms.settings(room) == (STRICT, 2)
    assert await rooms.save_settings(room, ChatSettings()) == 3
    assert await rooms.settings(room) == (ChatSettings(), 3)
    assert await rooms.settings(new_id()) == (ChatSettings(), 1)


async def test_of_two_changes_of_one_version_one_is_refused(database: Database) -> None:
    room = await add_room(database)
    changes = (ChatRooms(database).save_settings(room, STRICT, 1) for _ in range(2))
    results = await asyncio.gather(*changes, return_exceptions=True)
    assert sorted(map(str, results)) == ["2", "already taken: chat_rooms_version"]


@pytest.mark.parametrize("seconds", [0, 3, 120])
async def test_slow_mode_may_be(database: Database, seconds: int) -> None:
    room = await add_room(database)
    await ChatRooms(database).save_settings(room, ChatSettings(slow_mode_seconds=seconds))


@pytest.mark.parametrize(
    ("settings", "constraint"),
    [
        *(
            (ChatSettings(slow_mode_seconds=seconds), "chat_rooms_slow_mode_valid")
            for seconds in (-1, 1, 2, 121, 2**31, -(2**70))
        ),
        *(
            (ChatSettings(followers_only_seconds=seconds), "chat_rooms_followers_only_valid")
            for seconds in (-1, 2**31, 2**70)
        ),
    ],
)
async def test_settings_have_limits(database: Database, settings: ChatSettings, constraint: str) -> None:
    room = await add_room(database)
    with pytest.raises(InvalidValue) as refused:
        await ChatRooms(database).save_settings(room, settings)
    assert refused.value.constraint == constraint


async def test_a_room_that_does_not_exist_has_no_settings_to_save(database: Database) -> None:
    with pytest.raises(InvalidValue) as refused:
        await ChatRooms(database).save_settings(new_id(), STRICT, 1)
    assert refused.value.constraint == "chat_rooms_room_known"


async def test_a_message_is_pinned_until_it_is_no_longer_shown(database: Database) -> None:
    room = await add_room(database)
    one, two = await say(database, room, "one", "two")
    rooms = ChatRooms(database)
    assert await rooms.pinned(room) is None
    await rooms.pin(room, one.id)
    assert await rooms.pinned(room) == one.id
    await ChatMessages(database).delete(room, one.id, MODERATOR)
    assert await rooms.pinned(room) is None
    await rooms.pin(room, two.id)
    await ChatMessages(database).clear(room, MODERATOR)
    assert await rooms.pinned(room) is None
    (three,) = await say(database, room, "three")
    await rooms.pin(room, three.id)
    await rooms.pin(room, None)
    assert await rooms.pinned(room) is None


async def test_only_what_is_shown_in_the_room_is_pinned(database: Database) -> None:
    room, other = await add_room(database), await add_room(database)
    (elsewhere,) = await say(database, other, "elsewhere")
    (deleted,) = await say(database, room, "deleted")
    await ChatMessages(database).delete(room, deleted.id, MODERATOR)
    held = message(room, "held")
    await ChatMessages(database).add(held, MessageState.HELD)
    for message_id in (elsewhere.id, deleted.id, held.id, new_id()):
        with pytest.raises(InvalidValue) as refused:
            await ChatRooms(database).pin(room, message_id)
        assert refused.value.constraint == "chat_rooms_pinned_known"


async def test_the_database_itself_knows_where_a_pinned_message_belongs(database: Database) -> None:
    room, other = await add_room(database), await add_room(database)
    (elsewhere,) = await say(database, other, "elsewhere")
    await say(database, room, "here")
    with pytest.raises(InvalidValue) as refused:
        await database.execute("UPDATE chat_rooms SET pinned_id = $2 WHERE room_id = $1", room, elsewhere.id)
    assert refused.value.constraint == "chat_rooms_pinned_known"


async def test_a_room_is_opened_with_all_that_belongs_to_it(database: Database) -> None:
    room = await add_room(database)
    (said,) = await say(database, room, "pinned")
    rooms = ChatRooms(database)
    await rooms.pin(room, said.id)
    await rooms.save_settings(room, STRICT)
    await BlockedTerms(database).replace(room, TERMS)
    state = await rooms.state(room)
    owner = await Users(database).find_by_name("owner")
    assert state is not None and owner is not None and state.pinned is not None
    assert (state.room_id, state.owner_id, state.settings, state.version) == (room, owner.id, STRICT, 2)
    assert (state.pinned.as_new(), state.terms) == (said, TERMS)
    assert state.position == await ChatLog(database).position(room)


async def test_a_room_is_opened_for_the_first_time(database: Database) -> None:
    room = await add_room(database)
    opened = await asyncio.gather(*(ChatRooms(database).state(room) for _ in range(3)))
    assert opened[0] is not None and opened[0] == opened[1] == opened[2]
    assert (opened[0].settings, opened[0].pinned, opened[0].terms) == (ChatSettings(), None, ())
    assert opened[0].position == Position(opened[0].position.epoch, 0)
    assert await ChatRooms(database).state(new_id()) is None


async def test_the_rooms_of_an_owner(database: Database) -> None:
    rooms = {await add_room(database) for _ in range(2)}
    await add_room(database, "somebody")
    owner = await Users(database).find_by_name("owner")
    assert owner is not None
    assert set(await ChatRooms(database).owned_by(owner.id)) == rooms
    assert await ChatRooms(database).owned_by(new_id()) == []


async def test_terms_are_replaced_as_a_whole(database: Database) -> None:
    room, other = await add_room(database), await add_room(database)
    terms = BlockedTerms(database)
    assert await terms.list(room) == []
    await terms.replace(room, TERMS)
    assert await terms.list(room) == list(TERMS)
    assert await terms.list(other) == []
    await terms.replace(room, TERMS[:1])
    assert await terms.list(room) == [TERMS[0]]
    await terms.replace(room, [])
    assert await terms.list(room) == []


async def test_who_replaces_the_terms_at_once_does_not_mix_them(database: Database) -> None:
    room = await add_room(database)
    lists = [[BlockedTerm(f"{name}{n}", False, TermAction.HOLD) for n in range(50)] for name in "abcd"]
    await asyncio.gather(*(BlockedTerms(database).replace(room, terms) for terms in lists))
    assert await BlockedTerms(database).list(room) in lists


def term(text: str) -> BlockedTerm:
    return BlockedTerm(text, False, TermAction.HOLD)


@pytest.mark.parametrize(
    ("terms", "constraint"),
    [
        ([term(str(number)) for number in range(501)], "chat_blocked_terms_count"),
        ([term("")], "chat_blocked_terms_text_valid"),
        ([term("x" * 201)], "chat_blocked_terms_text_valid"),
        *(([term(text)], "chat_blocked_terms_text_valid") for text in TEXTS_POSTGRESQL_CANNOT_HOLD),
    ],
)
async def test_terms_have_limits(database: Database, terms: Sequence[BlockedTerm], constraint: str) -> None:
    room = await add_room(database)
    await BlockedTerms(database).replace(room, TERMS)
    with pytest.raises(InvalidValue) as refused:
        await BlockedTerms(database).replace(room, terms)
    assert refused.value.constraint == constraint
    assert await BlockedTerms(database).list(room) == list(TERMS)


async def test_a_term_is_there_once(database: Database) -> None:
    room = await add_room(database)
    with pytest.raises(Conflict) as refused:
        await BlockedTerms(database).replace(room, [TERMS[0], replace(TERMS[0], action=TermAction.HOLD)])
    assert refused.value.constraint == "chat_blocked_terms_once"


async def test_the_most_and_longest_terms_fit(database: Database) -> None:
    room = await add_room(database)
    terms = [term(f"{number:0200}") for number in range(500)]
    await BlockedTerms(database).replace(room, terms)
    state = await ChatRooms(database).state(room)
    assert state is not None and list(state.terms) == terms


async def test_a_room_that_does_not_exist_has_no_terms(database: Database) -> None:
    with pytest.raises(InvalidValue):
        await BlockedTerms(database).replace(new_id(), TERMS)
    await BlockedTerms(database).replace(new_id(), [])


async def test_settings_and_terms_go_with_the_room(database: Database) -> None:
    room = await add_room(database)
    (said,) = await say(database, room, "pinned")
    await ChatRooms(database).pin(room, said.id)
    await BlockedTerms(database).replace(room, TERMS)
    await Rooms(database).delete(room)
    for table in ("chat_rooms", "chat_messages", "chat_blocked_terms"):
        assert await database.fetch_value(f"SELECT count(*) FROM {table}") == 0
