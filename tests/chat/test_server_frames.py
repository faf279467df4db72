"""Who gets in, and every frame, over a running server with the clients that people use."""

import asyncio
import json
from itertools import product
from typing import Any

import pytest

from tests.chat.clients import JSON, MSGPACK, Dial, by_aiohttp, by_websockets, chatting
from tests.chat.live_chat import Live, unique
from tests.control_api.live_api import PASSWORD
from tests.control_api.people_online import Caller

pytestmark = [pytest.mark.slow, pytest.mark.interop]

DIALS = (by_aiohttp, by_websockets)
KINDS = pytest.mark.parametrize(("dial", "subprotocol"), list(product(DIALS, (JSON, MSGPACK))))


def code_in(answer: tuple[int, bytes]) -> tuple[int, str]:
    return answer[0], json.loads(answer[1])["code"]


# Getting in


async def test_a_ticket_opens_one_connection(live: Live) -> None:
    ben = await live.person("ben")
    query = f"?ticket={(await ben.get('POST', '/chat/tickets'))['ticket']}"
    room = await live.room()
    async with chatting(live.url + query, {}) as chat:
        assert (await chat.join(room))["you"] == {"userId": ben.id, "username": "ben", "role": "member"}
        assert code_in(await live.turned_away(query)) == (401, "invalid_ticket")
        await chat.say(room, unique())


async def test_a_ticket_that_never_was_one_opens_nothing(live: Live) -> None:
    for ticket in ("", "x", "%00", "a" * 2000):
        assert code_in(await live.turned_away(f"?ticket={ticket}")) == (401, "invalid_ticket"), ticket


async def test_a_wrong_bearer_is_not_let_in_as_nobody(live: Live) -> None:
    for value in ("Bearer x", "Bearer ", "Bearer a.b.c", "Basic YTpi"):
        answer = await live.turned_away("", {"Authorization": value})
        assert code_in(answer) == (401, "invalid_token"), value


async def test_a_cookie_counts_for_pages_of_this_server_only(live: Live) -> None:
    person = await live.newcomer()
    page = Caller(live.server.base_url)
    login = {"username": person.name, "password": PASSWORD}
    page.get("POST", "/auth/login", login, headers={"Sec-Fetch-Site": "same-origin"})
    cookie = {"Cookie": f"session={page.session.cookies['session']}"}
    for origin in ("https://evil.example", "null", live.server.base_url + ".evil.example"):
        assert code_in(await live.turned_away("", cookie | {"Origin": origin})) == (403, "bad_origin")
    room = await live.room()
    async with chatting(live.url, cookie | {"Origin": live.server.base_url}) as chat:
        assert (await chat.join(room))["you"]["userId"] == person.id
        await chat.say(room, unique())


async def test_a_foreign_page_without_a_cookie_may_read(live: Live) -> None:
    room = await live.room()
    async with chatting(live.url, {"Origin": "https://elsewhere.example"}) as chat:
        assert (await chat.join(room))["you"] == {"userId": None, "username": None, "role": "anonymous"}


async def test_nobody_reads_and_says_nothing(live: Live) -> None:
    room = await live.room()
    async with live.inside(None, room) as guest, live.inside("ben", room) as ben:
        said = await ben.say(room, unique())
        assert (await guest.heard("new-message", id=said["messageId"]))["username"] == "ben"
        for kind, body in (
            ("chat-message", {"message": "x"}),
            ("react", {"reaction": "🎉"}),
            ("typing", {}),
            ("clear-chat", {}),
            ("delete-message", {"messageId": said["messageId"]}),
        ):
            assert await guest.refused(kind, roomId=room, **body) == "sign_in_required", kind


async def test_subprotocols(live: Live) -> None:
    for dial in DIALS:
        async with live.chat(None, dial, None) as chat:
            assert chat.wire.subprotocol is None
            assert (await chat.ask("ping"))["t"] == "pong"
        for name in (JSON, MSGPACK):
            async with live.chat(None, dial, name) as chat:
                assert chat.wire.subprotocol == name
                await chat.settle()
    assert (await live.turned_away("", None, "chat.v2.json"))[0] == 400
    assert (await live.turned_away("", None, "graphql-ws", "mqtt"))[0] == 400


UPGRADE = "Upgrade: websocket"
HANDSHAKE = {
    "a handshake": ("GET /ws HTTP/1.1", (UPGRADE, "Connection: keep-alive, Upgrade"), 101),
    "one of several protocols": ("GET /ws HTTP/1.1", ("Upgrade: h2c, WebSocket", "Connection: Upgrade"), 101),
    "no connection to upgrade": ("GET /ws HTTP/1.1", (UPGRADE, "Connection: close"), 426),
    "no word of the connection": ("GET /ws HTTP/1.1", (UPGRADE,), 426),
    "another method": ("HEAD /ws HTTP/1.1", (UPGRADE, "Connection: Upgrade"), 400),
    "an old version": ("GET /ws HTTP/1.0", (UPGRADE, "Connection: Upgrade"), 400),
    "a body": ("GET /ws HTTP/1.1", (UPGRADE, "Connection: Upgrade", "Content-Length: 2"), 400),
}


@pytest.mark.parametrize("what", HANDSHAKE)
async def test_a_handshake_is_as_the_standard_has_it(live: Live, what: str) -> None:
    line, headers, status = HANDSHAKE[what]
    key = ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    host, port = live.server.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write("\r\n".join((line, f"Host: {host}", *headers, *key, "", "")).encode())
        async with asyncio.timeout(10):
            answer = await reader.readline()
        assert int(answer.split()[1]) == status
    finally:
        writer.close()


# Frames


@KINDS
async def test_every_frame(live: Live, dial: Dial, subprotocol: str) -> None:
    room = await live.room()
    people: dict[str, Any] = {"dial": dial, "subprotocol": subprotocol}
    async with live.inside("ana", room, **people) as ana, live.inside("ben", room, **people) as ben:
        text = unique("Grüße 🎉 \u202e <b>")
        said = await ben.say(room, text)
        shown = await ana.heard("new-message", id=said["messageId"])
        assert (shown["offset"], shown["username"], shown["badge"]) == (said["offset"], "ben", None)
        reply = await ana.say(room, unique("Hello @ben"), replyTo=said["messageId"])
        replied = await ben.heard("new-message", id=reply["messageId"])
        ben_id = (await live.person("ben")).id
        assert (replied["replyTo"], replied["badge"]) == (said["messageId"], "owner")
        assert replied["mentions"] == [{"userId": ben_id, "username": "ben"}]
        await ben.tell("react", roomId=room, reaction="🎉")
        assert (await ana.heard("reaction-burst", roomId=room))["reactions"] == {"🎉": 1}
        await ben.tell("typing", roomId=room)
        assert (await ana.heard("typing", roomId=room))["users"] == [{"userId": ben_id, "username": "ben"}]
        assert (
            await ben.refused("delete-message", roomId=room, messageId=reply["messageId"])
            == "not_a_moderator"
        )
        assert (await ana.ask("delete-message", roomId=room, messageId=said["messageId"]))["t"] == "ack"
        assert (await ben.heard("message-deleted"))["messageId"] == said["messageId"]
        assert (await ana.ask("clear-chat", roomId=room))["t"] == "ack"
        await ben.heard("chat-cleared", roomId=room)
        assert (await ben.ask("leave-room", roomId=room))["d"] == {"roomId": room, "code": "left"}
        await ana.heard("viewer-left", username="ben")
        assert await ben.refused("chat-message", roomId=room, message=unique()) == "not_joined"


async def test_reactions_are_gathered(live: Live) -> None:
    room = await live.room()
    async with live.inside("ana", room) as ana, live.inside("ben", room) as ben:
        for _ in range(10):
            await ben.tell("react", roomId=room, reaction="🎉")
        await ben.tell("react", roomId=room, reaction=":wave:")
        await ana.first(lambda frame: ":wave:" in frame["d"].get("reactions", {}))
        bursts = ana.all("reaction-burst")
        assert sum(burst["reactions"].get("🎉", 0) for burst in bursts) == 10
        assert len(bursts) < 8
        assert await ben.refused("react", roomId=room, reaction="words") == "bad_frame"


async def test_a_reaction_is_one(live: Live) -> None:
    room = await live.room()
    async with live.inside("ben", room) as ben:
        for reaction in ("🎉🎉", "🎉 🎉", "🎉\n", ":wave::wave:", "ha", "<b>", "\0"):
            assert await ben.refused("react", roomId=room, reaction=reaction) == "bad_frame", reaction
        await ben.tell("react", roomId=room, reaction="👍🏽")
        assert (await ben.heard("reaction-burst", roomId=room))["reactions"] == {"👍🏽": 1}


async def test_several_rooms_on_one_connection(live: Live) -> None:
    rooms = [await live.room() for _ in range(3)]
    async with live.inside("ben", *rooms) as ben, live.inside("ana", rooms[1]) as ana:
        said = await ana.say(rooms[1], unique())
        assert (await ben.heard("new-message", id=said["messageId"]))["roomId"] == rooms[1]
        for room in rooms:
            await ben.say(room, unique())
        await ben.settle()
        await ana.settle()
        assert len(ben.texts(rooms[0])) == 1
        assert len(ben.texts(rooms[1])) == 2
        assert ana.texts(rooms[0]) == []
        await ben.ask("leave-room", roomId=rooms[1])
        await ana.say(rooms[1], unique())
        await ben.settle()
        assert len(ben.texts(rooms[1])) == 2


async def test_a_connection_has_twenty_rooms_at_most(live: Live) -> None:
    rooms = [await live.room() for _ in range(21)]
    async with live.inside("ben", *rooms[:20]) as ben:
        assert await ben.refused("join-room", roomId=rooms[20]) == "too_many_rooms"
        await ben.join(rooms[0])
        await ben.ask("leave-room", roomId=rooms[1])
        await ben.join(rooms[20])


async def test_errors_are_typed_and_answer_the_frame(live: Live) -> None:
    room = await live.room()
    too_long = "x" * 501
    async with live.inside("ben", room, subprotocol=JSON) as ben:
        for frame, code in (
            ({"t": "dance", "id": 901, "d": {}}, "unknown_type"),
            ({"t": "chat-message", "id": 902, "d": {"roomId": room}}, "bad_frame"),
            ({"t": "chat-message", "id": 903, "d": {"roomId": 7, "message": "x"}}, "bad_frame"),
            (
                {"t": "chat-message", "id": 904, "d": {"roomId": room, "message": too_long}},
                "message_too_long",
            ),
            ({"t": "chat-message", "id": 905, "d": {"roomId": room, "message": " \t\n"}}, "message_empty"),
            ({"t": "join-room", "id": 906, "d": {"roomId": room, "history": 101}}, "bad_frame"),
            ({"t": "join-room", "id": 907, "d": {"roomId": "x\x00y"}}, "room_not_found"),
            ({"t": "leave-room", "id": 908, "d": {"roomId": "0" * 32}}, "not_joined"),
            ({"t": "ping", "id": 909, "d": {"more": 1}}, "bad_frame"),
            ({"t": "delete-message", "id": 910, "d": {"roomId": room, "messageId": room}}, "not_a_moderator"),
        ):
            await ben.send(frame)
            answer = await ben.first(lambda each, asked=frame["id"]: each.get("id") == asked)  # type: ignore[misc]
            assert (answer["t"], answer["d"]["code"]) == ("error", code), frame
            assert answer["d"]["message"]
        await ben.say(room, unique())


async def test_the_same_again_is_refused(live: Live) -> None:
    room = await live.room()
    async with live.inside("ben", room) as ben:
        text = unique()
        await ben.say(room, text)
        assert await ben.refused("chat-message", roomId=room, message=text) == "duplicate"


async def test_who_comes_and_goes_is_told_and_counted(live: Live) -> None:
    room = await live.room()
    async with live.inside("ana", room) as ana:
        async with live.inside("ben", room) as ben, live.inside("ben", room):
            assert (await ana.heard("viewer-joined", username="ben"))["viewerCount"] == 2
            await ben.settle()
        assert (await ana.heard("viewer-left", username="ben"))["viewerCount"] == 1
        assert len(ana.all("viewer-joined", username="ben")) == 1
        async with live.inside(None, room):
            assert (await ana.heard("viewer-count", viewerCount=2))["roomId"] == room


async def test_messages_are_read_over_http(live: Live) -> None:
    room = await live.room()
    ana = await live.person("ana")
    async with live.inside("ben", room) as ben:
        said = [await ben.say(room, unique()) for _ in range(3)]
    messages = await ana.get("GET", f"/rooms/{room}/messages?limit=2")
    assert [message["id"] for message in messages] == [said[2]["messageId"], said[1]["messageId"]]
