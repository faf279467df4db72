"""A tip's message goes through what the room's chat goes through."""

import pytest

from mediaserver.tip_words import ChatTipWords
from storage.bus import TipSent
from storage.repositories.blocked_terms import BlockedTerm, BlockedTerms, TermAction
from storage.repositories.chat_people import ChatPeople
from storage.repositories.chat_rooms import ChatRooms, ChatSettings, LinkPolicy
from tests.control_api.money_world import money_world

REFUSED = (403, "message_refused")


@pytest.fixture
async def world(database, aiohttp_client):
    made = await money_world(database, aiohttp_client, words=ChatTipWords(database))
    await made.endow("bob", 1000)
    await BlockedTerms(database).replace(
        made.room_id,
        [
            BlockedTerm("spam", False, TermAction.REFUSE),
            BlockedTerm("maybe", False, TermAction.HOLD),
            BlockedTerm("bad+", True, TermAction.REFUSE),
        ],
    )
    return made


async def settings(world, **fields) -> None:
    await ChatRooms(world.database).save_settings(world.room_id, ChatSettings(**fields))


@pytest.mark.parametrize("message", ["spam", "Buy SPAM now", "s p a m is maybe", "baddd", "maybe"])
async def test_blocked_words_are_refused_and_nothing_is_paid(world, message):
    assert await world.tip(10, message=message) == REFUSED
    assert await world.coins("bob") == 1000


async def test_other_words_and_none_are_taken(world):
    for message in ("Well done", "", "spammer"):
        assert (await world.tip(10, message=message))[0] == 201


async def test_what_was_paid_stays_when_the_terms_change(world):
    _, first = await world.tip(10, message="fine", key="once")
    await BlockedTerms(world.database).replace(world.room_id, [BlockedTerm("fine", False, TermAction.REFUSE)])
    status, again = await world.tip(10, message="fine", key="once")
    assert (status, again["giftTransaction"]) == (201, first["giftTransaction"])
    assert await world.tip(10, message="fine") == REFUSED


async def test_the_modes_of_the_chat_are_for_tips_too(world):
    await settings(world, links=LinkPolicy.REFUSE)
    assert await world.tip(10, message="see https://example.com") == REFUSED
    await settings(world, subscribers_only=True)
    assert await world.tip(10, message="Hello") == REFUSED
    assert (await world.tip(10))[0] == 201


async def test_moderators_may_write_what_they_like(world):
    await world.database.execute("UPDATE users SET role = 'moderator' WHERE username = 'bob'")
    assert (await world.tip(10, message="spam"))[0] == 201


async def test_the_words_of_the_shadow_banned_reach_nobody(world):
    bob, alice = world.people["bob"], world.people["alice"]
    await ChatPeople(world.database).ban(world.room_id, bob.id, alice.id, is_shadow=True)
    status, paid = await world.tip(10, message="Hello")
    assert (status, paid["giftTransaction"]["message"]) == (201, "Hello")
    await world.money.news.tell_once()
    (told,) = world.money.events
    assert isinstance(told, TipSent)
    assert (told.coins, told.message) == (10, "")
