"""People in a room's chat: what they are, who was banned and for how long; and what stays of an account."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from storage.database import Database
from storage.errors import InvalidValue
from storage.ids import new_id
from storage.repositories import Role, Rooms, Users, UserState
from storage.repositories import account_data as module
from storage.repositories.account_data import AccountData
from storage.repositories.chat_log import ChatLog, Mention
from storage.repositories.chat_messages import ChatMessages, MessageState
from storage.repositories.chat_people import ChatPeople
from storage.repositories.follows import Follows
from tests.storage.chat_world import (
    TEXTS_POSTGRESQL_CANNOT_HOLD,
    add_room,
    add_user,
    event,
    message,
    say,
    texts,
)

MODERATOR = UUID(int=9)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


async def expire(database: Database) -> None:
    await database.execute(
        """UPDATE chat_bans SET created_at = now() - interval '2 days', until = now() - interval '1 day'
           WHERE until IS NOT NULL"""
    )


async def test_what_somebody_is_in_a_room(database: Database) -> None:
    room = await add_room(database)
    alice = await add_user(database, "alice")
    owner = await Users(database).find_by_name("owner")
    people = ChatPeople(database)
    plain = await people.person(room, alice.id)
    assert plain is not None and owner is not None
    assert (plain.username, plain.display_name, plain.site_role) == ("alice", "alice", Role.USER)
    assert (plain.is_owner, plain.is_moderator, plain.followed_at, plain.ban) == (False, False, None, None)
    await Users(database).set_role(alice.id, Role.ADMIN)
    await Users(database).set_state(alice.id, UserState.SUSPENDED)
    await Follows(database).add(alice.id, owner.id)
    await people.add_moderator(room, alice.id, owner.id)
    ban = await people.ban(room, alice.id, owner.id, soon(), reason="spam")
    changed = await people.person(room, alice.id)
    assert changed is not None and changed.followed_at is not None
    assert changed == replace(
        plain,
        site_role=Role.ADMIN,
        state=UserState.SUSPENDED,
        is_moderator=True,
        followed_at=changed.followed_at,
        ban=ban,
    )
    found = await people.person(room, owner.id)
    assert found is not None and found.is_owner


async def test_nothing_of_another_room_counts(database: Database) -> None:
    room, other = await add_room(database), await add_room(database, "somebody")
    alice = await add_user(database, "alice")
    people = ChatPeople(database)
    await people.add_moderator(other, alice.id, MODERATOR)
    await people.ban(other, alice.id, MODERATOR)
    person = await people.person(room, alice.id)
    assert person is not None and (person.is_moderator, person.ban) == (False, None)
    assert (await people.bans(room, 5), await people.moderators(room)) == ([], [])
    assert await people.unban(room, alice.id) is None
    assert not await people.remove_moderator(room, alice.id)


async def test_nobody_is_nothing(database: Database) -> None:
    room = await add_room(database)
    alice = await add_user(database, "alice")
    people = ChatPeople(database)
    assert await people.person(room, new_id()) is None
    assert await people.person(new_id(), alice.id) is None
    await Users(database).set_state(alice.id, UserState.DELETED)
    assert await people.person(room, alice.id) is None


async def test_a_ban_takes_the_place_of_the_one_before_and_is_lifted_once(database: Database) -> None:
    room = await add_room(database)
    alice = await add_user(database, "alice")
    people = ChatPeople(database)
    until = soon()
    first = await people.ban(room, alice.id, MODERATOR, until, reason="spam")
    assert (first.username, first.until, first.is_shadow, first.reason) == ("alice", until, False, "spam")
    second = await people.ban(room, alice.id, UUID(int=8), is_shadow=True)
    assert (second.until, second.is_shadow, second.reason, second.created_by) == (
        None,
        True,
        "",
        UUID(int=8),
    )
    assert await people.bans(room, 5) == [second]
    assert await people.unban(room, alice.id) == second
    assert await people.unban(room, alice.id) is None


async def test_a_timeout_that_is_over_counts_for_nothing(database: Database) -> None:
    room = await add_room(database)
    alice, bob = await add_user(database, "alice"), await add_user(database, "bob")
    people = ChatPeople(database)
    await people.ban(room, alice.id, MODERATOR, soon())
    lasting = await people.ban(room, bob.id, MODERATOR)
    await expire(database)
    person = await people.person(room, alice.id)
    assert person is not None and person.ban is None
    assert await people.bans(room, 5) == [lasting]
    assert await people.unban(room, alice.id) is None
    renewed = await people.ban(room, alice.id, MODERATOR, soon())
    assert await people.bans(room, 5) == [renewed, lasting]


async def test_only_what_is_over_is_forgotten(database: Database) -> None:
    room = await add_room(database)
    people = ChatPeople(database)
    names = [await add_user(database, name) for name in ("alice", "bob", "carol")]
    await people.ban(room, names[0].id, MODERATOR, soon())
    await expire(database)
    await people.ban(room, names[1].id, MODERATOR, soon())
    await people.ban(room, names[2].id, MODERATOR)
    assert [await people.forget_expired() for _ in range(2)] == [1, 0]
    assert [ban.username for ban in await people.bans(room, 5)] == ["bob", "carol"]


SHORT, LONG = timedelta(hours=1), timedelta(days=2)


@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [
        ((None, False), (SHORT, False), True),
        ((None, False), (SHORT, True), True),
        ((None, True), (SHORT, False), True),
        ((None, True), (SHORT, True), True),
        ((SHORT, True), (LONG, False), True),
        ((SHORT, True), (LONG, True), False),
        ((SHORT, True), (None, False), False),
        ((None, True), (None, False), False),
        ((None, False), (None, True), False),
        ((LONG, False), (SHORT, False), False),
        ((LONG, False), (SHORT, True), False),
    ],
)
async def test_what_ends_takes_the_place_of_nothing_stronger(
    database: Database,
    before: tuple[timedelta | None, bool],
    after: tuple[timedelta | None, bool],
    stays: bool,
) -> None:
    room, alice = await add_room(database), await add_user(database, "alice")
    people, now = ChatPeople(database), datetime.now(UTC)
    first, second = [
        await people.ban(room, alice.id, MODERATOR, now + length if length else None, is_shadow)
        for length, is_shadow in (before, after)
    ]
    assert (second is None) is stays
    assert await people.find_ban(room, alice.id) == (first if stays else second)


async def test_a_shadow_ban_that_is_over_stands_in_nobodys_way(database: Database) -> None:
    room, alice = await add_room(database), await add_user(database, "alice")
    people = ChatPeople(database)
    await people.ban(room, alice.id, MODERATOR, soon(), is_shadow=True)
    await expire(database)
    assert await people.find_ban(room, alice.id) is None
    assert await people.ban(room, alice.id, MODERATOR, soon()) is not None


async def test_bans_come_in_pages(database: Database) -> None:
    room = await add_room(database)
    people = ChatPeople(database)
    banned = [(await add_user(database, f"user{number}")).id for number in range(3)]
    for user_id in reversed(banned):
        await people.ban(room, user_id, MODERATOR)
    first = await people.bans(room, 2)
    rest = await people.bans(room, 2, first[-1].user_id)
    assert [ban.user_id for ban in first + rest] == banned


@pytest.mark.parametrize("reason", [*TEXTS_POSTGRESQL_CANNOT_HOLD, "x" * 501])
async def test_a_reason_has_limits(database: Database, reason: str) -> None:
    room, alice = await add_room(database), await add_user(database, "alice")
    with pytest.raises(InvalidValue) as refused:
        await ChatPeople(database).ban(room, alice.id, MODERATOR, reason=reason)
    assert refused.value.constraint == "chat_bans_reason_valid"


async def test_what_cannot_be_banned_or_made_a_moderator(database: Database) -> None:
    room, alice = await add_room(database), await add_user(database, "alice")
    people = ChatPeople(database)
    past = datetime.now(UTC) - timedelta(seconds=1)
    for constraint, attempt in (
        ("chat_bans_until_valid", people.ban(room, alice.id, MODERATOR, past)),
        ("chat_bans_user_known", people.ban(room, new_id(), MODERATOR)),
        ("chat_bans_room_known", people.ban(new_id(), alice.id, MODERATOR)),
        ("chat_moderators_user_known", people.add_moderator(room, new_id(), MODERATOR)),
        ("chat_moderators_room_known", people.add_moderator(new_id(), alice.id, MODERATOR)),
    ):
        with pytest.raises(InvalidValue) as refused:
            await attempt
        assert refused.value.constraint == constraint


async def test_moderators_come_and_go(database: Database) -> None:
    room = await add_room(database)
    people = ChatPeople(database)
    users = [await add_user(database, name) for name in ("alice", "bob")]
    for user in users:
        assert await people.add_moderator(room, user.id, MODERATOR)
        assert not await people.add_moderator(room, user.id, MODERATOR)
    listed = await people.moderators(room)
    assert [(found.username, found.added_by) for found in listed] == [
        ("bob", MODERATOR),
        ("alice", MODERATOR),
    ]
    assert await people.remove_moderator(room, users[0].id)
    assert not await people.remove_moderator(room, users[0].id)
    assert [found.username for found in await people.moderators(room)] == ["bob"]


async def test_names_are_found_whatever_their_case(database: Database) -> None:
    alice, bob = await add_user(database, "Alice"), await add_user(database, "bob")
    await Users(database).set_state(bob.id, UserState.SUSPENDED)
    hostile = ["aLICE", "alice", "bob", "nobody", "", "é", "İ", "x" * 5000, "' OR 1=1 --"]
    found = await ChatPeople(database).find_names([*TEXTS_POSTGRESQL_CANNOT_HOLD, *hostile])
    assert found == [Mention(alice.id, "Alice")]
    assert await ChatPeople(database).find_names([]) == []
    assert await ChatPeople(database).find_names([*(f"user{n}" for n in range(10)), "alice"]) == []


async def test_bans_and_moderators_go_with_the_room(database: Database) -> None:
    room, alice = await add_room(database), await add_user(database, "alice")
    await ChatPeople(database).ban(room, alice.id, MODERATOR)
    await ChatPeople(database).add_moderator(room, alice.id, MODERATOR)
    await Rooms(database).delete(room)
    for table in ("chat_bans", "chat_moderators"):
        assert await database.fetch_value(f"SELECT count(*) FROM {table}") == 0


async def test_nothing_that_was_said_stays_of_a_deleted_account(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_MESSAGES", 2)
    room, alice = await add_room(database), await add_user(database, "alice")
    await add_room(database, "alice")
    mine = [
        message(room, f"mine {n}", user_id=alice.id, mentions=(Mention(alice.id, "alice"),)) for n in "abc"
    ]
    tip = event(room, "tip", {"from": {"userId": str(alice.id), "username": "alice"}, "message": "for you"})
    await ChatLog(database).append([*mine, tip, message(room, "theirs")])
    await ChatMessages(database).add(message(room, "held", user_id=alice.id), MessageState.HELD, "held")
    await ChatPeople(database).ban(room, alice.id, MODERATOR)
    await ChatPeople(database).add_moderator(room, alice.id, MODERATOR)
    async with database.transaction() as transaction:
        await AccountData(transaction).remove(alice.id)
    left = await ChatLog(database).since(room, 0, 10)
    assert texts(left) == ["tip", "theirs"]
    rows = await database.fetch(
        "SELECT DISTINCT message, username, display_name, mentions FROM chat_messages WHERE user_id = $1",
        alice.id,
    )
    assert [tuple(row) for row in rows] == [("", "Deleted user", "Deleted user", "[]")]
    assert left[0].entry == replace(tip, data={**tip.data, "message": ""})
    assert await ChatMessages(database).held(room, 5) == []
    for table in ("chat_bans", "chat_moderators"):
        assert await database.fetch_value(f"SELECT count(*) FROM {table}") == 0


async def test_all_that_somebody_said_is_handed_out_but_no_shadow_ban(database: Database) -> None:
    room, alice = await add_room(database), await add_user(database, "alice")
    tip = event(room, "tip", {"from": {"userId": str(alice.id)}, "message": "for you"})
    await ChatLog(database).append([message(room, "shown", user_id=alice.id), tip])
    await ChatMessages(database).add(message(room, "unseen", user_id=alice.id), MessageState.SHADOWED)
    await say(database, room, "of somebody else")
    await ChatPeople(database).add_moderator(room, alice.id, MODERATOR)
    await ChatPeople(database).ban(room, alice.id, MODERATOR, is_shadow=True)
    exported = {
        name: json.loads(data) for name, data in (await AccountData(database).export(alice.id)).items()
    }
    assert [(row["message"], row["state"]) for row in exported["chat-messages"]] == [
        ("unseen", "visible"),
        ("shown", "visible"),
    ]
    assert [row["data"]["message"] for row in exported["chat-tips"]] == ["for you"]
    assert [row["room_id"] for row in exported["room-moderator"]] == [str(room)]
    assert exported["room-bans"] == []
    await ChatPeople(database).ban(room, alice.id, MODERATOR, reason="spam")
    section = json.loads((await AccountData(database).export(alice.id))["room-bans"])
    assert [row["reason"] for row in section] == ["spam"]
