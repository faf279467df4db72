"""What moderators do takes effect at once on those who are connected, by frames and over HTTP alike."""

import asyncio
from typing import Any

import pytest

from tests.chat.clients import Chat
from tests.chat.live_chat import WITHIN_SECONDS, Live, comes_true, refusal, unique
from tests.control_api.live_api import PASSWORD

pytestmark = pytest.mark.slow

OPEN: dict[str, Any] = {"slowModeSec": 0}


async def change(live: Live, chat: Chat, room: str, **settings: Any) -> None:
    """Ana changes the settings; the connection has heard of it."""
    count = len(chat.all("settings-changed"))
    await (await live.person("ana")).get("PUT", f"/rooms/{room}/chat-settings", settings)
    await chat.first(lambda _: len(chat.all("settings-changed")) > count)


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
