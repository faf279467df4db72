"""Moderators at work, against a real database."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest

from chat.errors import Refusal
from chat.moderation.service import Moderation
from storage.database import Database
from storage.ids import new_id
from storage.repositories.blocked_terms import BlockedTerm, TermAction
from storage.repositories.chat_log import NewMessage
from storage.repositories.chat_messages import ChatMessages, MessageState
from storage.repositories.chat_people import ChatPeople
from storage.repositories.chat_rooms import ChatRooms, ChatSettings, LinkPolicy
from storage.repositories.users import Users, UserState
from tests.chat.moderation.world import World, make_world
from tests.helpers.waiting import eventually

TERM = BlockedTerm("word", False, TermAction.REFUSE)

Deed = Callable[[World, UUID], Awaitable[object]]
DEEDS: dict[str, Deed] = {
    "ask": lambda world, actor: world.moderation.require_moderator(actor, world.room),
    "delete": lambda world, actor: world.moderation.delete_message(actor, world.room, new_id()),
    "clear": lambda world, actor: world.moderation.clear(actor, world.room),
    "pin": lambda world, actor: world.moderation.pin(actor, world.room, None),
    "settings": lambda world, actor: world.moderation.change_settings(actor, world.room, ChatSettings()),
    "terms": lambda world, actor: world.moderation.blocked_terms(actor, world.room),
    "replace_terms": lambda world, actor: world.moderation.replace_blocked_terms(actor, world.room, [TERM]),
    "ban": lambda world, actor: world.moderation.ban(actor, world.room, world.ids["alice"], None),
    "unban": lambda world, actor: world.moderation.unban(actor, world.room, world.ids["alice"]),
    "bans": lambda world, actor: world.moderation.bans(actor, world.room, 10),
    "moderators": lambda world, actor: world.moderation.moderators(actor, world.room),
    "held": lambda world, actor: world.moderation.held(actor, world.room, 10),
    "allow": lambda world, actor: world.moderation.allow(actor, world.room, new_id()),
    "deny": lambda world, actor: world.moderation.deny(actor, world.room, new_id()),
    "add": lambda world, actor: world.moderation.add_moderator(actor, world.room, world.ids["alice"]),
    "remove": lambda world, actor: world.moderation.remove_moderator(
        actor, world.room, world.ids["colleague"]
    ),
}
OF_OWNER = {"add", "remove"}


@pytest.fixture
async def world(database: Database) -> World:
    return await make_world(database)


async def code_of(deed: Awaitable[object]) -> str | None:
    try:
        await deed
    except Refusal as refusal:
        return refusal.code
    return None


async def test_every_deed_asks_who_it_is(world: World) -> None:
    for name, deed in DEEDS.items():
        expected = "not_room_owner" if name in OF_OWNER else "not_a_moderator"
        assert await code_of(deed(world, world.ids["alice"])) == expected, name
    assert (world.sink.entries, await world.audited()) == ([], [])


@pytest.mark.parametrize("name", ["owner", "moderator", "staff", "admin"])
async def test_moderators_may_do_every_deed(world: World, name: str) -> None:
    for deed_name, deed in DEEDS.items():
        code = await code_of(deed(world, world.ids[name]))
        if deed_name in OF_OWNER and name != "owner":
            assert code == "not_room_owner", deed_name
        else:
            assert code in (None, "message_not_found"), deed_name


@pytest.mark.parametrize("actor", ["owner", "moderator", "staff", "admin", "alice"])
async def test_who_may_ban_and_unban_whom(world: World, actor: str) -> None:
    moderators, powerless = {"moderator", "colleague"}, {"owner", "staff", "admin"}
    for target in world.ids:
        if actor == "alice":
            expected = "not_a_moderator"
        elif target in powerless or (actor == "moderator" and target in moderators):
            expected = "cannot_moderate"
        else:
            expected = None
        person = world.ids[target]
        assert await code_of(world.moderation.ban(world.ids[actor], world.room, person, 60)) == expected
        assert await code_of(world.moderation.unban(world.ids[actor], world.room, person)) == expected


async def test_a_room_or_user_that_is_not_there(world: World) -> None:
    elsewhere = World(world.database, new_id(), world.ids, world.sink, world.moderation)
    for name, deed in DEEDS.items():
        assert await code_of(deed(elsewhere, world.ids["owner"])) == "room_not_found", name
    owner, moderation = world.ids["owner"], world.moderation
    assert await code_of(moderation.ban(owner, world.room, new_id(), None)) == "user_not_found"
    assert await code_of(moderation.unban(owner, world.room, new_id())) == "user_not_found"
    assert await code_of(moderation.add_moderator(owner, world.room, new_id())) == "user_not_found"
    assert await code_of(moderation.remove_moderator(owner, world.room, new_id())) == "user_not_found"


async def test_a_banned_moderator_cannot_free_themselves(world: World) -> None:
    moderator = world.ids["moderator"]
    await world.moderation.ban(world.ids["owner"], world.room, moderator, 600)
    assert await code_of(world.moderation.unban(moderator, world.room, moderator)) == "not_a_moderator"
    await world.moderation.unban(world.ids["staff"], world.room, moderator)
    assert await code_of(world.moderation.clear(moderator, world.room)) is None


async def test_a_message_is_deleted_once(world: World) -> None:
    message_id = await world.say("alice")
    moderator = world.ids["moderator"]
    await world.moderation.delete_message(moderator, world.room, message_id, "192.0.2.1")
    assert world.sink.events == [
        ("message-deleted", {"messageId": str(message_id), "deletedBy": str(moderator)})
    ]
    assert await world.logged() == world.sink.entries
    entry = (await world.audited())[-1]
    assert (entry.action, entry.actor_id, entry.address) == ("chat.delete", moderator, "192.0.2.1")
    assert entry.details["roomId"] == str(world.room)
    again = world.moderation.delete_message(moderator, world.room, message_id)
    assert await code_of(again) == "message_not_found"
    assert len(world.sink.entries) == 1


@pytest.mark.parametrize(
    ("actor", "author", "code"),
    [
        ("moderator", "owner", "cannot_moderate"),
        ("moderator", "colleague", "cannot_moderate"),
        ("moderator", "staff", "cannot_moderate"),
        ("moderator", "moderator", None),
        ("owner", "owner", None),
        ("owner", "moderator", None),
        ("owner", "staff", "cannot_moderate"),
        ("staff", "moderator", None),
        ("staff", "owner", "cannot_moderate"),
        ("alice", "alice", None),
        ("alice", "moderator", "not_a_moderator"),
    ],
)
async def test_whose_messages_may_be_deleted(world: World, actor: str, author: str, code: str | None) -> None:
    message_id = await world.say(author)
    deleted = world.moderation.delete_message(world.ids[actor], world.room, message_id)
    assert await code_of(deleted) == code


async def test_members_delete_what_they_said_unaudited(world: World) -> None:
    message_id, alice = await world.say("alice"), world.ids["alice"]
    await world.moderation.ban(world.ids["owner"], world.room, alice, None)
    audited = await world.audited()
    await world.moderation.delete_message(alice, world.room, message_id, only_own=True)
    assert world.sink.events[-1] == (
        "message-deleted",
        {"messageId": str(message_id), "deletedBy": str(alice)},
    )
    assert await world.audited() == audited
    again = world.moderation.delete_message(alice, world.room, message_id)
    assert await code_of(again) == "message_not_found"


async def test_who_is_suspended_deletes_nothing(world: World) -> None:
    message_id = await world.say("alice")
    await Users(world.database).set_state(world.ids["alice"], UserState.SUSPENDED)
    deleted = world.moderation.delete_message(world.ids["alice"], world.room, message_id)
    assert await code_of(deleted) == "not_a_moderator"


async def test_an_api_key_that_is_not_for_moderating_deletes_only_what_is_its_owners(world: World) -> None:
    message_id = await world.say("alice")
    deleted = world.moderation.delete_message(world.ids["owner"], world.room, message_id, only_own=True)
    assert await code_of(deleted) == "not_a_moderator"


async def test_who_deletes_a_shadowed_message_does_not_learn_of_the_ban(world: World) -> None:
    message, alice = world.message("alice"), world.ids["alice"]
    await ChatMessages(world.database).add(message, MessageState.SHADOWED)
    deleted = world.moderation.delete_message(world.ids["owner"], world.room, message.id)
    assert await code_of(deleted) == "message_not_found"
    await world.moderation.delete_message(alice, world.room, message.id)
    assert world.sink.events == [("shadow-deleted", {"messageId": str(message.id), "userId": str(alice)})]
    again = world.moderation.delete_message(alice, world.room, message.id)
    assert await code_of(again) == "message_not_found"


async def test_a_held_message_is_not_deleted_but_denied(world: World) -> None:
    message_id = await world.hold("alice")
    deleted = world.moderation.delete_message(world.ids["owner"], world.room, message_id)
    assert await code_of(deleted) == "message_not_found"


async def test_a_chat_is_cleared(world: World) -> None:
    await world.say("alice")
    await world.moderation.clear(world.ids["moderator"], world.room)
    assert world.sink.events == [("chat-cleared", {"clearedBy": str(world.ids["moderator"])})]
    assert await ChatMessages(world.database).page(world.room, 10) == []
    assert (await world.audited())[-1].details["messages"] == 1


async def test_a_message_is_pinned_and_unpinned(world: World) -> None:
    message_id, actor = await world.say("alice"), world.ids["moderator"]
    pin = world.moderation.pin
    await pin(actor, world.room, message_id)
    await pin(actor, world.room, message_id)
    assert await ChatRooms(world.database).pinned(world.room) == message_id
    await pin(actor, world.room, None)
    await pin(actor, world.room, None)
    assert [kind for kind, _ in world.sink.events] == ["message-pinned", "message-unpinned"]
    assert await code_of(pin(actor, world.room, new_id())) == "message_not_found"
    assert await code_of(pin(actor, world.room, await world.hold("alice"))) == "message_not_found"
    assert [entry.action for entry in await world.audited()] == ["chat.pin", "chat.unpin"]


async def test_settings_are_changed_by_version(world: World) -> None:
    actor, change = world.ids["owner"], world.moderation.change_settings
    _, version = await ChatRooms(world.database).settings(world.room)
    settings = ChatSettings(30, 0, True, True, True, LinkPolicy.HOLD)
    new_version = await change(actor, world.room, settings, version)
    assert await ChatRooms(world.database).settings(world.room) == (settings, new_version)
    kind, data = world.sink.events[0]
    assert kind == "settings-changed"
    assert data["settings"]["slowModeSec"] == 30
    assert data["settings"]["links"] == "hold"
    assert await code_of(change(actor, world.room, settings, version)) == "version_mismatch"
    assert await code_of(change(actor, world.room, ChatSettings(2))) == "bad_frame"
    assert await code_of(change(actor, world.room, ChatSettings(0, -1))) == "bad_frame"
    assert len(world.sink.entries) == 1


async def test_blocked_terms_are_replaced(world: World) -> None:
    actor, replace = world.ids["moderator"], world.moderation.replace_blocked_terms
    await replace(actor, world.room, [TERM])
    assert await world.moderation.blocked_terms(actor, world.room) == [TERM]
    assert [kind for kind, _ in world.sink.events] == ["blocked-terms-changed"]
    assert "word" not in str(world.sink.events)
    bad = BlockedTerm("(", True, TermAction.HOLD)
    with pytest.raises(Refusal, match="bad_pattern: Term 1"):
        await replace(actor, world.room, [TERM, bad])
    assert await code_of(replace(actor, world.room, [TERM, TERM])) == "bad_pattern"
    assert await code_of(replace(actor, world.room, [TERM] * 501)) == "bad_pattern"
    assert await world.moderation.blocked_terms(actor, world.room) == [TERM]


@pytest.mark.parametrize(
    ("seconds", "is_shadow", "kind"),
    [
        (None, False, "user-banned"),
        (600, False, "user-timed-out"),
        (None, True, "shadow-banned"),
        (600, True, "shadow-banned"),
    ],
)
async def test_somebody_is_banned_and_unbanned(
    world: World, seconds: int | None, is_shadow: bool, kind: str
) -> None:
    actor, alice = world.ids["moderator"], world.ids["alice"]
    ban = await world.moderation.ban(actor, world.room, alice, seconds, "spam", is_shadow)
    assert (await world.person("alice")).ban == ban
    assert await world.moderation.bans(actor, world.room, 10) == [ban]
    await world.moderation.unban(actor, world.room, alice)
    assert (await world.person("alice")).ban is None
    lifted = "shadow-unbanned" if is_shadow else "user-unbanned"
    assert [said for said, _ in world.sink.events] == [kind, lifted]
    for _, data in world.sink.events:
        assert (data["userId"], data["username"], data["bannedBy"]) == (str(alice), "alice", str(actor))
    if kind == "user-timed-out":
        data = world.sink.events[0][1]
        assert data["durationSec"] == 600
        assert data["until"].endswith("Z")
    assert [entry.action for entry in await world.audited()] == ["chat.ban", "chat.unban"]
    assert await code_of(world.moderation.unban(actor, world.room, alice)) == "ban_not_found"


@pytest.mark.parametrize("seconds", [0, -1, 14 * 24 * 3600 + 1, 10**18])
async def test_a_timeout_has_limits(world: World, seconds: int) -> None:
    banned = world.moderation.ban(world.ids["owner"], world.room, world.ids["alice"], seconds)
    assert await code_of(banned) == "bad_frame"


@pytest.mark.parametrize("reason", ["x" * 501, "a\0b", "\ud800"])
async def test_a_reason_is_text(world: World, reason: str) -> None:
    banned = world.moderation.ban(world.ids["owner"], world.room, world.ids["alice"], None, reason)
    assert await code_of(banned) == "bad_frame"


async def test_a_ban_takes_the_place_of_a_timeout(world: World) -> None:
    actor, alice = world.ids["owner"], world.ids["alice"]
    await world.moderation.ban(actor, world.room, alice, 14 * 24 * 3600)
    await world.moderation.ban(actor, world.room, alice, None)
    ban = (await world.person("alice")).ban
    assert ban is not None and ban.until is None


@pytest.mark.parametrize("is_shadow", [False, True])
async def test_a_timeout_changes_nothing_for_who_is_banned(world: World, is_shadow: bool) -> None:
    actor, alice = world.ids["owner"], world.ids["alice"]
    ban = await world.moderation.ban(actor, world.room, alice, None, "spam", is_shadow)
    said, audited = list(world.sink.events), await world.audited()
    assert await world.moderation.ban(world.ids["moderator"], world.room, alice, 60) == ban
    assert (await world.person("alice")).ban == ban
    assert (world.sink.events, await world.audited()) == (said, audited)


async def test_a_timeout_that_is_over_cannot_be_lifted(world: World) -> None:
    past = Moderation(
        world.database, world.sink, now=lambda: world.message("alice").created_at - timedelta(days=1)
    )
    banned = past.ban(world.ids["owner"], world.room, world.ids["alice"], 60)
    assert await code_of(banned) == "bad_frame"
    assert world.sink.entries == []


async def test_moderators_come_and_go(world: World) -> None:
    owner, alice, moderation = world.ids["owner"], world.ids["alice"], world.moderation
    await moderation.add_moderator(owner, world.room, alice)
    await moderation.add_moderator(owner, world.room, alice)
    assert (await world.person("alice")).is_moderator
    assert alice in {each.user_id for each in await moderation.moderators(alice, world.room)}
    await moderation.remove_moderator(owner, world.room, alice)
    assert await code_of(moderation.moderators(alice, world.room)) == "not_a_moderator"
    assert [kind for kind, _ in world.sink.events] == ["moderator-added", "moderator-removed"]
    assert await code_of(moderation.remove_moderator(owner, world.room, alice)) == "user_not_found"
    assert await code_of(moderation.add_moderator(owner, world.room, owner)) == "cannot_moderate"
    await moderation.ban(owner, world.room, alice, None)
    assert await code_of(moderation.add_moderator(owner, world.room, alice)) == "cannot_moderate"


async def test_a_held_message_is_allowed_and_takes_its_place_now(world: World) -> None:
    message_id = await world.hold("alice", "see example.com")
    later = await world.say("alice", "later")
    assert [held.id for held in await world.moderation.held(world.ids["moderator"], world.room, 10)] == [
        message_id
    ]
    await world.moderation.allow(world.ids["moderator"], world.room, message_id)
    entries = await world.logged()
    assert [logged.entry.id for logged in entries if isinstance(logged.entry, NewMessage)] == [
        later,
        message_id,
    ]
    assert world.sink.entries == entries[-1:]
    assert (await world.audited())[-1].action == "chat.allow"
    for decide in (world.moderation.allow, world.moderation.deny):
        assert await code_of(decide(world.ids["owner"], world.room, message_id)) == "message_not_found"


async def test_a_held_message_is_denied(world: World) -> None:
    message_id = await world.hold("alice")
    await world.moderation.deny(world.ids["moderator"], world.room, message_id)
    denied = {"messageId": str(message_id), "userId": str(world.ids["alice"])}
    assert world.sink.events == [("held-denied", denied)]
    stored = await ChatMessages(world.database).find(world.room, message_id)
    assert stored is not None and stored.state is MessageState.DENIED
    assert await world.moderation.held(world.ids["moderator"], world.room, 10) == []


async def test_two_moderators_decide_at_once(world: World) -> None:
    message_id = await world.hold("alice")
    codes = await asyncio.gather(
        code_of(world.moderation.allow(world.ids["moderator"], world.room, message_id)),
        code_of(world.moderation.deny(world.ids["colleague"], world.room, message_id)),
        code_of(world.moderation.allow(world.ids["owner"], world.room, message_id)),
    )
    assert sorted(codes, key=str) == [None, "message_not_found", "message_not_found"]
    assert len(world.sink.entries) == len(await world.logged())
    assert len(await world.audited()) == 1


async def test_two_moderators_delete_and_unban_at_once(world: World) -> None:
    message_id, alice = await world.say("alice"), world.ids["alice"]
    await world.moderation.ban(world.ids["owner"], world.room, alice, None)
    names = ("moderator", "colleague", "owner")
    deleted = [
        code_of(world.moderation.delete_message(world.ids[name], world.room, message_id)) for name in names
    ]
    lifted = [code_of(world.moderation.unban(world.ids[name], world.room, alice)) for name in names]
    codes = await asyncio.gather(*deleted, *lifted)
    assert sorted(codes[:3], key=str) == [None, "message_not_found", "message_not_found"]
    assert sorted(codes[3:], key=str) == [None, "ban_not_found", "ban_not_found"]
    assert len(await world.logged()) == 3


async def test_many_deeds_at_once_are_all_in_the_log(world: World) -> None:
    """Nothing waits for ever, and offsets have no gap."""
    names = ("moderator", "colleague", "owner", "staff")
    alice = world.ids["alice"]
    deeds = [
        deed
        for name in names
        for deed in (
            world.moderation.clear(world.ids[name], world.room),
            world.moderation.ban(world.ids[name], world.room, alice, 60),
            world.moderation.change_settings(world.ids[name], world.room, ChatSettings()),
            world.moderation.replace_blocked_terms(world.ids[name], world.room, [TERM]),
        )
    ]
    await asyncio.gather(*deeds)
    entries = await world.logged()
    assert [logged.offset for logged in entries] == list(range(1, len(deeds) + 1))
    assert sorted(world.sink.entries, key=lambda logged: logged.offset) == entries
    assert len(await world.audited()) == len(deeds)


async def test_a_deed_that_fails_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("storage.repositories.audit.AuditLog.add", fail)
    with pytest.raises(ZeroDivisionError):
        await world.moderation.ban(world.ids["owner"], world.room, world.ids["alice"], None)
    assert (await world.person("alice")).ban is None
    assert (await world.logged(), world.sink.entries) == ([], [])


async def test_a_room_that_is_deleted_meanwhile(world: World) -> None:
    await world.database.execute("DELETE FROM rooms WHERE id = $1", world.room)
    assert await code_of(world.moderation.clear(world.ids["owner"], world.room)) == "room_not_found"


async def test_bans_come_in_pages(world: World) -> None:
    for name in ("alice", "moderator", "colleague"):
        await ChatPeople(world.database).ban(world.room, world.ids[name], world.ids["owner"])
    first = await world.moderation.bans(world.ids["owner"], world.room, 2)
    second = await world.moderation.bans(world.ids["owner"], world.room, 2, first[-1].user_id)
    assert (len(first), len(second)) == (2, 1)


async def test_a_deed_comes_to_its_end_without_the_one_who_asked(world: World) -> None:
    clearing = asyncio.create_task(world.moderation.clear(world.ids["owner"], world.room))
    await asyncio.sleep(0)
    clearing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await clearing
    await eventually(lambda: world.sink.entries)
    assert await world.logged() == world.sink.entries
