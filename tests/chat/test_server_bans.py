"""Who is banned, and what that means at once for those who are connected."""

import asyncio

import pytest

from tests.chat.live_chat import WITHIN_SECONDS, Live, comes_true, refusal, unique

pytestmark = pytest.mark.slow


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
