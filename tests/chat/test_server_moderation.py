"""What moderators do takes effect at once on those who are connected, by frames and over HTTP alike."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.chat.clients import Chat, chatting
from tests.chat.live_chat import Live, Person, comes_true, unique
from tests.control_api.live_api import PASSWORD
from tests.control_api.people_online import Caller

pytestmark = pytest.mark.slow

OPEN: dict[str, Any] = {"slowModeSec": 0}
WITHIN_SECONDS = 2.0
"""In which what has no frame of its own must work; a second, and as much for a machine that is busy."""


async def refusal(chat: Chat, room: str, message: str | None = None) -> str:
    return await chat.refused("chat-message", roomId=room, message=message or unique())


async def change(live: Live, chat: Chat, room: str, **settings: Any) -> None:
    """Ana changes the settings; the connection has heard of it."""
    count = len(chat.all("settings-changed"))
    await (await live.person("ana")).get("PUT", f"/rooms/{room}/chat-settings", settings)
    await chat.first(lambda _: len(chat.all("settings-changed")) > count)


# Bans


@pytest.mark.parametrize(
    ("seconds", "kind", "code"), [(None, "user-banned", "banned"), (600, "user-timed-out", "timed_out")]
)
async def test_a_ban_and_its_end(live: Live, seconds: int | None, kind: str, code: str) -> None:
    room, ana, ben_id = await live.room(), await live.person("ana"), (await live.person("ben")).id
    async with live.inside("ben", room) as ben, live.inside("mia", room) as mia:
        said = await ben.say(room, unique())
        body = {"userId": ben_id} | ({"durationSec": seconds} if seconds else {})
        await ana.get("POST", f"/rooms/{room}/bans", body)
        assert await refusal(ben, room) == code
        assert (await mia.heard(kind))["userId"] == ben_id
        for frame, more in (("react", {"reaction": "🎉"}), ("typing", {})):
            assert await ben.refused(frame, roomId=room, **more) == code
        # Reading goes on, and so does another connection's ban.
        told = await mia.say(room, unique())
        await ben.heard("new-message", id=told["messageId"])
        async with live.inside("ben", room) as again:
            assert await refusal(again, room) == code
        await ana.get("DELETE", f"/rooms/{room}/bans/{ben_id}")
        await ben.say(room, unique())
        assert said["messageId"] in [body["id"] for body in mia.all("new-message")]


async def test_a_timeout_ends_by_itself(live: Live) -> None:
    room, ana = await live.room(), await live.person("ana")
    async with live.inside("ben", room) as ben:
        await ana.get("POST", f"/rooms/{room}/bans", {"username": "ben", "durationSec": 1})
        answer = await ben.ask("chat-message", roomId=room, message=unique())
        assert answer["d"]["code"] == "timed_out"
        assert 0 < answer["d"]["retryAfter"] <= 1

        async def may_speak() -> bool:
            return (await ben.ask("chat-message", roomId=room, message=unique()))["t"] == "ack"

        await comes_true(may_speak)


async def test_a_shadow_ban_is_seen_by_nobody(live: Live) -> None:
    room, ana = await live.room(), await live.person("ana")
    ben = await live.person("ben")
    async with live.inside("ben", room) as first, live.inside("ben", room) as second:
        async with live.inside("mia", room) as mia, live.inside("ana", room) as owner:
            await ana.get("POST", f"/rooms/{room}/bans", {"userId": ben.id, "shadow": True})
            said = await first.ask("chat-message", roomId=room, message=unique("shadow"))
            assert said["t"] == "ack"
            await second.first(lambda frame: frame["d"].get("id") == said["d"]["messageId"])
            reply = {"roomId": room, "message": unique(), "replyTo": said["d"]["messageId"]}
            assert (await first.ask("chat-message", **reply))["t"] == "ack"
            assert await mia.refused("chat-message", **reply) == "message_not_found"
            shown = await mia.say(room, unique())
            await owner.heard("new-message", id=shown["messageId"])
            await mia.settle()
            assert mia.texts(room) == owner.texts(room) == [mia.texts(room)[-1]]
            assert not [f for f in first.frames + mia.frames if "ban" in f["t"]]
            history = await ana.get("GET", f"/rooms/{room}/messages")
            assert [message["id"] for message in history] == [shown["messageId"]]
            await ana.get("DELETE", f"/rooms/{room}/bans/{ben.id}")
            said = await first.ask("chat-message", roomId=room, message=unique())
            await mia.heard("new-message", id=said["d"]["messageId"])
        # What only they saw has no place in the room's order.
        first.faults.clear()
        second.faults.clear()


async def test_reactions_and_typing_under_a_shadow_ban_are_seen_by_nobody_else(live: Live) -> None:
    room, ben = await live.room(), await live.person("ben")
    await (await live.person("ana")).get("POST", f"/rooms/{room}/bans", {"userId": ben.id, "shadow": True})
    async with live.inside("ben", room) as chat, live.inside("mia", room) as mia:
        await chat.tell("react", roomId=room, reaction="🎉")
        await chat.tell("typing", roomId=room)
        assert (await chat.heard("reaction-burst"))["reactions"] == {"🎉": 1}
        await mia.tell("react", roomId=room, reaction="👋")
        await mia.tell("typing", roomId=room)
        assert (await mia.heard("reaction-burst"))["reactions"] == {"👋": 1}
        assert [each["username"] for each in (await mia.heard("typing"))["users"]] == ["mia"]


async def test_who_is_staff_no_more_does_not_go_on_seeing_held_messages(live: Live) -> None:
    room, ana = await live.room(), await live.person("ana")
    await ana.get("PUT", f"/rooms/{room}/chat-settings", {"links": "hold"})
    former = await live.staff("former", "moderator")
    async with live.chat(former) as chat, live.inside("ben", room) as ben, live.inside("ana", room) as owner:
        await chat.join(room)
        first = await ben.ask("chat-message", roomId=room, message=unique("https://example.com/"))
        await chat.heard("message-held", messageId=first["d"]["messageId"])
        await asyncio.to_thread(live.server.admin, "set-role", "--user", "former", "--role", "user")

        async def sees_nothing() -> bool:
            count = len(chat.all("message-held"))
            sent = await ben.ask("chat-message", roomId=room, message=unique("https://example.com/"))
            await owner.heard("message-held", messageId=sent["d"]["messageId"])
            await chat.settle()
            return len(chat.all("message-held")) == count

        await comes_true(sees_nothing, WITHIN_SECONDS)


async def test_a_moderator_who_is_timed_out_sees_no_held_messages(live: Live) -> None:
    room, ana, mia = await live.room(), await live.person("ana"), await live.person("mia")
    await ana.get("PUT", f"/rooms/{room}/chat-settings", {"links": "hold"})
    await ana.get("PUT", f"/rooms/{room}/moderators/{mia.id}")
    inside = [live.inside(name, room) for name in ("mia", "ben", "ana")]
    async with inside[0] as chat, inside[1] as ben, inside[2] as owner:

        async def hold() -> str:
            sent = await ben.ask("chat-message", roomId=room, message=unique("https://example.com/"))
            await owner.heard("message-held", messageId=sent["d"]["messageId"])
            return str(sent["d"]["messageId"])

        await chat.heard("message-held", messageId=await hold())
        await ana.get("POST", f"/rooms/{room}/bans", {"userId": mia.id, "durationSec": 600})
        unseen = await hold()
        await ana.get("DELETE", f"/rooms/{room}/bans/{mia.id}")
        await chat.heard("message-held", messageId=await hold())
        assert not chat.all("message-held", messageId=unseen)


async def test_a_ban_in_one_room_is_none_in_another(live: Live) -> None:
    rooms = [await live.room(), await live.room()]
    async with live.inside("ben", *rooms) as ben:
        await (await live.person("ana")).get("POST", f"/rooms/{rooms[0]}/bans", {"username": "ben"})
        assert await refusal(ben, rooms[0]) == "banned"
        await ben.say(rooms[1], unique())


# Settings


async def test_slow_mode(live: Live) -> None:
    room = await live.room()
    async with live.inside("ben", room) as ben, live.inside("ana", room) as ana:
        await change(live, ben, room, slowModeSec=120)
        await ben.say(room, unique())
        answer = await ben.ask("chat-message", roomId=room, message=unique())
        assert answer["d"]["code"] == "slow_mode"
        assert 0 < answer["d"]["retryAfter"] <= 120
        await ana.say(room, unique())
        await ana.say(room, unique())
        await change(live, ben, room, **OPEN)
        await ben.say(room, unique())


async def test_followers_only_and_for_how_long(live: Live) -> None:
    room, ana, fan = await live.room(), await live.person("ana"), await live.newcomer()
    async with live.chat(fan) as chat, live.inside("ana", room) as owner:
        await chat.join(room)
        await change(live, chat, room, followersOnlySec=0)
        assert await refusal(chat, room) == "followers_only"
        await fan.get("POST", f"/users/{ana.id}/follow")
        await owner.heard("follow", userId=fan.id)
        await chat.say(room, unique())
        await change(live, chat, room, followersOnlySec=3600)
        answer = await chat.ask("chat-message", roomId=room, message=unique())
        assert answer["d"]["code"] == "followers_only"
        assert 3500 < answer["d"]["retryAfter"] <= 3600
        await change(live, chat, room, followersOnlySec=0)
        await fan.get("DELETE", f"/users/{ana.id}/follow")
        assert await refusal(chat, room) == "followers_only"
        await owner.say(room, unique())


async def test_what_may_be_said(live: Live) -> None:
    room = await live.room()
    async with (
        live.inside("ben", room) as ben,
        live.inside("mia", room) as mia,
        live.inside("ana", room) as ana,
    ):
        await change(live, ben, room, emoteOnly=True)
        assert await refusal(ben, room) == "emote_only"
        await ben.say(room, "🎉 :wave:")
        await ana.say(room, unique("words of the owner"))
        await change(live, ben, room, uniqueChat=True)
        text = unique()
        await mia.say(room, text)
        assert await refusal(ben, room, text.upper()) == "not_unique"
        await change(live, ben, room, links="refuse")
        assert await refusal(ben, room, unique("look at https://example.com/")) == "links_not_allowed"
        await ana.say(room, unique("https://example.com/"))
        await change(live, ben, room, subscribersOnly=True)
        assert await refusal(ben, room) == "subscribers_only"


async def test_blocked_terms(live: Live) -> None:
    room, ana = await live.room(), await live.person("ana")
    terms = [
        {"text": "plum", "action": "refuse"},
        {"text": "pe+ch", "isRegex": True, "action": "refuse"},
        {"text": "pear", "action": "hold"},
    ]
    async with live.inside("ben", room) as ben, live.inside("ana", room) as owner:
        answer = await asyncio.to_thread(
            ana.caller.ask, "PUT", f"/rooms/{room}/blocked-terms", {"terms": terms}
        )
        assert answer.ok, answer.text

        async def is_refused() -> bool:
            said = await ben.ask("chat-message", roomId=room, message=unique("a PLUM"))
            return bool(said["d"].get("code") == "blocked_term")

        await comes_true(is_refused, WITHIN_SECONDS)
        assert await refusal(ben, room, unique("a peeeech")) == "blocked_term"
        assert (await ben.ask("chat-message", roomId=room, message=unique("a pear")))["t"] == "message-held"
        await owner.say(room, unique("a plum"))
        await ben.say(room, unique("an apple"))


async def test_a_hostile_pattern_stalls_nobody(live: Live) -> None:
    room, ana = await live.room(), await live.person("ana")
    terms = [{"text": "(a+)+$", "isRegex": True, "action": "refuse"}]
    response = await asyncio.to_thread(
        ana.caller.ask, "PUT", f"/rooms/{room}/blocked-terms", {"terms": terms}
    )
    assert response.ok or response.json()["code"] == "bad_pattern"
    async with live.inside("ben", room) as ben:
        async with asyncio.timeout(5):
            await ben.ask("chat-message", roomId=room, message="a" * 490 + "!")


# Held messages


async def test_held_messages_are_let_through_or_not(live: Live) -> None:
    room, ana = await live.room(), await live.person("ana")
    path = f"/rooms/{room}/held-messages"
    async with (
        live.inside("ben", room) as ben,
        live.inside("mia", room) as mia,
        live.inside("ana", room) as owner,
    ):
        await change(live, ben, room, links="hold")
        ids = []
        for _ in range(2):
            text = unique("see https://example.com/")
            held = await ben.ask("chat-message", roomId=room, message=text)
            assert (held["t"], held["d"]["status"]) == ("message-held", "held")
            assert "reason" not in held["d"]
            ids.append(held["d"]["messageId"])
            assert (await owner.heard("message-held", messageId=ids[-1]))["message"] == text
        assert [each["id"] for each in await ana.get("GET", path)] == ids
        await ana.get("POST", f"{path}/{ids[0]}/allow")
        await ana.get("POST", f"{path}/{ids[1]}/deny")
        shown = await mia.heard("new-message", id=ids[0])
        assert shown["username"] == "ben"
        await ben.heard("message-held", messageId=ids[1], status="denied")
        assert await ana.code("POST", f"{path}/{ids[0]}/deny") == "message_not_found"
        assert await ana.get("GET", path) == []
        await mia.settle()
        assert not mia.all("message-held")
        assert ids[1] not in [body["id"] for body in mia.all("new-message")]


async def test_whose_own_message_it_is_may_delete_it(live: Live) -> None:
    room = await live.room()
    async with live.inside("ben", room) as ben, live.inside("mia", room) as mia:
        for number in range(2):
            said = await ben.say(room, unique())
            if number == 0:
                answer = await ben.ask("delete-message", roomId=room, messageId=said["messageId"])
                assert answer["t"] == "ack"
            else:
                await (await live.person("ben")).get("DELETE", f"/rooms/{room}/messages/{said['messageId']}")
            deleted = await mia.heard("message-deleted", messageId=said["messageId"])
            assert deleted["deletedBy"] == (await live.person("ben")).id


async def test_who_deletes_under_a_shadow_ban_sees_it_done_and_nobody_else(live: Live) -> None:
    room, ben = await live.room(), await live.person("ben")
    await (await live.person("ana")).get("POST", f"/rooms/{room}/bans", {"userId": ben.id, "shadow": True})
    async with live.inside("ben", room) as chat, live.inside("mia", room) as mia:
        said = (await chat.ask("chat-message", roomId=room, message=unique()))["d"]
        answer = await chat.ask("delete-message", roomId=room, messageId=said["messageId"])
        assert answer["t"] == "ack"
        await chat.heard("message-deleted", messageId=said["messageId"], deletedBy=ben.id)
        await mia.settle()
        assert not mia.all("message-deleted")
        chat.faults.clear()


async def test_a_new_name_stands_beside_what_is_said_from_then_on(live: Live) -> None:
    ben, room = await live.newcomer(), await live.room()
    async with live.chat(ben) as chat:
        await chat.join(room)
        await chat.say(room, unique())
        await ben.get("PATCH", "/users/me", {"displayName": "Ben the baker"})

        async def is_new() -> bool:
            said = await chat.say(room, unique())
            shown = await chat.heard("new-message", id=said["messageId"])
            return bool(shown["displayName"] == "Ben the baker")

        await comes_true(is_new)


async def test_what_somebody_said_goes_with_the_account(live: Live) -> None:
    room, leaving = await live.room(), await live.newcomer()
    async with live.inside("mia", room) as mia:
        async with live.chat(leaving) as chat:
            await chat.join(room)
            said = await chat.say(room, unique())
            await leaving.get("DELETE", "/users/me", {"password": PASSWORD})
            await mia.heard("message-deleted", messageId=said["messageId"])
            assert await chat.over() == 3000
        assert (await mia.join(room, history=10))["history"] == []


# Moderators, and what they remove


async def test_moderators_come_and_go(live: Live) -> None:
    room, ana, mia_id = await live.room(), await live.person("ana"), (await live.person("mia")).id
    async with live.inside("mia", room) as mia, live.inside("ben", room) as ben:
        said = await ben.say(room, unique())
        deletion = {"roomId": room, "messageId": said["messageId"]}
        assert await mia.refused("delete-message", **deletion) == "not_a_moderator"
        await ana.get("PUT", f"/rooms/{room}/moderators/{mia_id}")
        await mia.heard("moderator-added", userId=mia_id)
        assert (await mia.ask("delete-message", **deletion))["t"] == "ack"
        assert (await ben.heard("message-deleted"))["deletedBy"] == mia_id
        written = await mia.say(room, unique())
        assert (await ben.heard("new-message", id=written["messageId"]))["badge"] == "moderator"
        assert (await mia.join(room))["you"]["role"] == "moderator"
        await change(live, ben, room, links="hold")
        await ben.ask("chat-message", roomId=room, message=unique("https://example.com/"))
        await mia.heard("message-held", status="held")
        await ana.get("DELETE", f"/rooms/{room}/moderators/{mia_id}")
        await mia.heard("moderator-removed", userId=mia_id)
        assert await mia.refused("clear-chat", roomId=room) == "not_a_moderator"
        held = await ben.ask("chat-message", roomId=room, message=unique("https://example.com/"))
        await mia.settle()
        assert not mia.all("message-held", messageId=held["d"]["messageId"])


async def test_deletion_and_clearing_over_http(live: Live) -> None:
    room, ana = await live.room(), await live.person("ana")
    async with live.inside("ben", room) as ben:
        first = await ben.say(room, unique())
        await ben.say(room, unique())
        await ana.get("DELETE", f"/rooms/{room}/messages/{first['messageId']}")
        assert (await ben.heard("message-deleted"))["messageId"] == first["messageId"]
        await ana.get("DELETE", f"/rooms/{room}/messages")
        await ben.heard("chat-cleared")
        assert await ana.get("GET", f"/rooms/{room}/messages") == []
        assert await ben.refused(
            "chat-message", roomId=room, message=unique(), replyTo=first["messageId"]
        ) == ("message_not_found")


async def test_a_pinned_message_is_there_for_who_comes(live: Live) -> None:
    room, ana = await live.room(), await live.person("ana")
    async with live.inside("ben", room) as ben:
        said = await ben.say(room, unique())
        await ana.get("PUT", f"/rooms/{room}/pinned-message", {"messageId": said["messageId"]})
        await ben.heard("message-pinned", messageId=said["messageId"])

        async def is_pinned() -> bool:
            message = (await ben.join(room))["pinnedMessage"]
            return message is not None and message["id"] == said["messageId"]

        await comes_true(is_pinned, WITHIN_SECONDS)
        await ana.get("DELETE", f"/rooms/{room}/messages/{said['messageId']}")
        await ben.heard("message-deleted")
        assert not await is_pinned()


# Accounts and rooms


async def test_who_signs_out_loses_the_connection(live: Live) -> None:
    room = await live.room()
    person, other = await live.newcomer(), await live.person("ben")
    async with live.chat(person) as chat, live.chat(other) as stays:
        await chat.join(room)
        await stays.join(room)
        await person.get("POST", "/auth/logout")
        assert await chat.over() == 3000
        await stays.heard("viewer-left", username=person.name)
        await stays.settle()


async def test_a_key_that_is_revoked_closes_what_it_opened(live: Live) -> None:
    person, room = await live.newcomer(), await live.room()
    key, other = [
        await person.get("POST", "/api-keys", {"name": name, "scopes": ["chat:write"]})
        for name in ("one", "other")
    ]

    def by(made: dict[str, Any], query: str = "") -> AbstractAsyncContextManager[Chat]:
        headers = {} if query else {"Authorization": f"Bearer {made['key']}"}
        return chatting(live.url + query, headers)

    keyed = Person(person.name, Caller(live.server.base_url, key["key"]), person.id)
    query = f"?ticket={(await keyed.get('POST', '/chat/tickets'))['ticket']}"
    async with by(key) as first, by(key, query) as second, by(other) as stays:
        for chat in (first, second, stays):
            await chat.join(room)
        await person.get("DELETE", f"/api-keys/{key['id']}")
        assert [await chat.over() for chat in (first, second)] == [3000, 3000]
        await stays.say(room, unique())


async def test_another_session_of_the_same_user_stays(live: Live) -> None:
    room, person = await live.room(), await live.newcomer()
    elsewhere = Caller(live.server.base_url)
    login = {"username": person.name, "password": PASSWORD}
    elsewhere.token = (await asyncio.to_thread(elsewhere.get, "POST", "/auth/login", login))["accessToken"]
    async with live.chat(person) as chat, live.chat(Person(person.name, elsewhere, person.id)) as stays:
        await chat.join(room)
        await stays.join(room)
        await person.get("POST", "/auth/logout")
        assert await chat.over() == 3000
        await stays.say(room, unique())


async def test_an_account_that_is_suspended_loses_all_connections(live: Live) -> None:
    room, person = await live.room(), await live.newcomer()
    ticket = (await person.get("POST", "/chat/tickets"))["ticket"]
    async with live.chat(person) as first, live.chat(person) as second:
        await first.join(room)
        await second.join(room)
        chief = await live.staff("chief", "superadmin")
        await chief.get("PATCH", f"/admin/users/{person.id}", {"state": "suspended", "reason": "spam"})
        assert [await first.over(), await second.over()] == [3000, 3000]
    assert (await live.turned_away(f"?ticket={ticket}"))[0] == 401
    assert (await live.turned_away("", person.headers))[0] == 401


async def test_staff_moderate_everywhere(live: Live) -> None:
    room = await live.room()
    chief = await live.staff("chief", "superadmin")
    async with live.chat(chief) as chat, live.inside("ben", room) as ben:
        assert (await chat.join(room))["you"]["role"] == "staff"
        await ben.say(room, unique())
        assert (await chat.ask("clear-chat", roomId=room))["t"] == "ack"
        await ben.heard("chat-cleared")
        ana = await live.person("ana")
        assert await ana.code("POST", f"/rooms/{room}/bans", {"userId": chief.id}) == "cannot_moderate"


async def test_a_room_that_becomes_private_puts_its_visitors_out(live: Live) -> None:
    room, ana = await live.room(), await live.person("ana")
    async with (
        live.inside("ben", room) as ben,
        live.inside(None, room) as guest,
        live.inside("ana", room) as owner,
    ):
        await ana.get("PATCH", f"/rooms/{room}", {"visibility": "private"})
        for chat in (ben, guest):
            assert (await chat.heard("left"))["code"] == "closed"
            assert await chat.refused("join-room", roomId=room) in ("private_room", "room_not_found")
            assert await chat.refused("chat-message", roomId=room, message="x") in (
                "not_joined",
                "sign_in_required",
            )
        said = await owner.say(room, unique())
        await owner.heard("new-message", id=said["messageId"])
        await ben.settle()
        assert not ben.all("new-message")


async def test_who_is_blocked_by_the_owner_is_put_out(live: Live) -> None:
    room, ana, person = await live.room(), await live.person("ana"), await live.newcomer()
    async with live.chat(person) as chat:
        await chat.join(room)
        await ana.get("POST", f"/users/{person.id}/block")
        assert (await chat.heard("left"))["code"] == "closed"
        assert await chat.refused("join-room", roomId=room) in ("blocked", "room_not_found")


async def test_a_room_that_is_deleted_puts_all_out(live: Live) -> None:
    room, ana = await live.room(), await live.person("ana")
    async with live.inside("ben", room) as ben, live.inside("ana", room) as owner:
        await ana.get("DELETE", f"/rooms/{room}")
        for chat in (ben, owner):
            assert (await chat.heard("left"))["code"] == "closed"
            assert await chat.refused("join-room", roomId=room) == "room_not_found"
