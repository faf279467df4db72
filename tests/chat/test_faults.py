"""What clients do wrong, or do on purpose, costs themselves at most."""

import asyncio
import os
from typing import Any

import msgspec
import pytest

from tests.chat import raw_socket as raw
from tests.chat.clients import JSON, MSGPACK
from tests.chat.live_chat import Live, unique
from tests.chat.raw_socket import RawSocket, frame, raw_socket
from tests.helpers.server_figures import Held, assert_let_go, metric

pytestmark = pytest.mark.slow

MOST_BYTES = 64 * 1024
PING_FRAME = msgspec.msgpack.encode({"t": "ping", "id": 1})
NOBODY = "0199aaaa-0000-7000-8000-000000000000"

CLOSED: dict[str, tuple[bytes, int]] = {
    "unmasked": (frame(raw.BINARY, PING_FRAME, is_masked=False), 1002),
    "reserved bit": (frame(raw.BINARY | 0x40, PING_FRAME), 1002),
    "unknown opcode": (frame(0x3, b"x"), 1002),
    "unknown control": (frame(0xB), 1002),
    "continuation of nothing": (frame(raw.CONTINUATION, b"x"), 1002),
    "a message within another": (frame(raw.BINARY, b"x", is_final=False) + frame(raw.BINARY, b"x"), 1002),
    "a fragmented ping": (frame(raw.PING, b"x", is_final=False), 1002),
    "a long ping": (frame(raw.PING, b"x" * 126), 1002),
    "a close code that is none": (frame(raw.CLOSE, (1006).to_bytes(2, "big")), 1002),
    "half a close code": (frame(raw.CLOSE, b"\x03"), 1002),
    "text for msgpack": (frame(raw.TEXT, b'{"t":"ping"}'), 1003),
    "text that is none": (frame(raw.TEXT, b"\xff\xfe"), 1007),
    "too big": (frame(raw.BINARY, b"x" * (MOST_BYTES + 1)), 1009),
    "said to be huge": (bytes([0x82, 0xFF]) + (2**62).to_bytes(8, "big"), 1009),
    "too big in fragments": (
        frame(raw.BINARY, b"x" * MOST_BYTES, is_final=False) + frame(raw.CONTINUATION, b"x"),
        1009,
    ),
    "too many fragments": (
        frame(raw.BINARY, b"", is_final=False) + 200 * frame(raw.CONTINUATION, b"", is_final=False),
        1002,
    ),
    "a flood of pings": (150 * frame(raw.PING), 4429),
    "a flood of frames": (150 * frame(raw.BINARY, PING_FRAME), 4429),
}


@pytest.mark.parametrize("what", CLOSED)
async def test_what_is_not_websocket_closes(live: Live, what: str) -> None:
    sent, code = CLOSED[what]
    async with live.inside(None) as other, raw_socket(live.url, {}, MSGPACK) as socket:
        await socket.send(sent)
        assert await socket.close_code() == code
        await other.settle()


async def answer(socket: RawSocket) -> Any:
    received = await socket.receive()
    assert received is not None and received[0] == raw.BINARY, received
    return msgspec.msgpack.decode(received[1])


async def test_fragments_and_pieces_make_a_message(live: Live) -> None:
    async with raw_socket(live.url, {}, MSGPACK) as socket:
        pieces = [PING_FRAME[:1], b"", PING_FRAME[1:]]
        for index, piece in enumerate(pieces):
            opcode = raw.CONTINUATION if index else raw.BINARY
            await socket.send(frame(opcode, piece, is_final=index == len(pieces) - 1))
            await socket.send(frame(raw.PING, b"between"))
        assert [await socket.receive() for _ in range(2)] == [(0xA, b"between")] * 2
        got = [await socket.receive() for _ in range(2)]
        assert (0xA, b"between") in got
        assert {"t": "pong", "id": 1, "d": {}} in [
            msgspec.msgpack.decode(each[1]) for each in got if each[0] == 2
        ]
        for byte in frame(raw.BINARY, PING_FRAME):
            await socket.send(bytes([byte]))
        assert (await answer(socket))["t"] == "pong"


async def test_a_message_of_the_largest_size_is_taken(live: Live) -> None:
    async with raw_socket(live.url, {}, MSGPACK) as socket:
        await socket.send(frame(raw.BINARY, b"\xc0" * MOST_BYTES), frame(raw.BINARY, PING_FRAME))
        assert (await answer(socket))["d"]["code"] == "bad_frame"
        assert (await answer(socket))["t"] == "pong"


NESTED = 20_000
MALFORMED: list[bytes] = [
    b"",
    b"\xc1",
    b"\x81",
    b"\xdf\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\x91" * NESTED,
    b"\x81\xa1t" * NESTED,
    b"\x82\xa1t\xa4ping\xa1d" + b"\x91" * NESTED + b"\xc0",
    b"\x81\xa1d" + b"\x81\xa1d" * NESTED + b"\xc0",
    PING_FRAME + b"\x00",
    msgspec.msgpack.encode([1, 2]),
    msgspec.msgpack.encode({"t": 7}),
    msgspec.msgpack.encode({"t": "ping", "id": -1}),
    msgspec.msgpack.encode({"t": "ping", "id": 2**63}),
    msgspec.msgpack.encode({"t": "ping", "id": 1.5}),
    msgspec.msgpack.encode({"t": "ping", "d": []}),
    msgspec.msgpack.encode({"t": b"ping"}),
    msgspec.msgpack.encode({1: 2}),
    b"\x82\xa1t\xa4ping\xa1t\xa5pong!",
    b"\x81\xa1t\xa4\xff\xff\xff\xff",
    *(os.urandom(40) for _ in range(20)),
]


async def test_malformed_msgpack_is_answered_and_nothing_else(live: Live) -> None:
    async with raw_socket(live.url, {}, MSGPACK) as socket:
        for data in MALFORMED:
            await socket.send(frame(raw.BINARY, data))
            said = await answer(socket)
            assert said["t"] == "error", data[:40]
            assert said["d"]["code"] in ("bad_frame", "unknown_type"), data[:40]
        await socket.send(frame(raw.BINARY, PING_FRAME))
        assert (await answer(socket))["t"] == "pong"


async def test_malformed_json_is_answered_and_nothing_else(live: Live) -> None:
    nested = ["[" * NESTED, '{"d":' * (NESTED // 2), '{"t":"ping","d":' + "[" * NESTED + "]" * NESTED + "}"]
    async with raw_socket(live.url, {}, JSON) as socket:
        for text in (
            *nested,
            "",
            "{",
            "null",
            "7",
            '{"t":"ping"} x',
            '{"t":"\\ud800"}',
            '{"t":"ping","id":1e400}',
        ):
            await socket.send(frame(raw.TEXT, text.encode()))
            received = await socket.receive()
            assert received is not None and received[0] == raw.TEXT, received
            said = msgspec.json.decode(received[1])
            assert said["d"]["code"] in ("bad_frame", "unknown_type"), text[:40]


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\x1b[31m", "\u200b", "\ud800", "\uffff", "\u202e"])
async def test_text_that_hurts_is_stored_or_refused(live: Live, text: str) -> None:
    """PostgreSQL takes no NUL, and nothing takes half a surrogate."""
    room = await live.room()
    async with live.inside("ben", room, subprotocol=JSON) as ben:
        message = msgspec.json.encode(unique()).decode()[1:-1]
        escaped = "".join(f"\\u{ord(character):04x}" for character in text)
        await ben.wire.send(
            f'{{"t": "chat-message", "id": 77, "d": {{"roomId": "{room}", "message": "{escaped}{message}"}}}}'
        )
        said = await ben.first(
            lambda each: each.get("id") == 77 or ("id" not in each and each["t"] == "error")
        )
        assert said["t"] == "ack" or said["d"]["code"] in ("bad_frame", "message_empty"), said
        await ben.say(room, unique())


async def test_rooms_that_are_not_there_or_not_for_everybody(live: Live) -> None:
    private = await live.room(visibility="private")
    followers = await live.room(visibility="followers")
    async with live.inside("ben") as ben, live.inside(None) as guest:
        for room in (NOBODY, "no-such-room", "'; drop table rooms", "..", "%00", "\u00fc"):
            assert await ben.refused("join-room", roomId=room) == "room_not_found", room
        for chat in (ben, guest):
            assert await chat.refused("join-room", roomId=private) in ("private_room", "room_not_found")
            assert await chat.refused("join-room", roomId=followers) in ("followers_only", "room_not_found")
            for kind, more in (("chat-message", {"message": "x"}), ("clear-chat", {}), ("leave-room", {})):
                code = await chat.refused(kind, roomId=private, **more)
                assert code in ("not_joined", "sign_in_required")
    async with live.inside("ana", private) as owner:
        await owner.say(private, unique())


async def test_one_that_reads_nothing_is_cut_and_nobody_waits_for_it(live: Live) -> None:
    room = await live.room()
    mia = await live.person("mia")
    async with live.inside("ben", room) as ben, live.inside("ana", room) as ana:
        for _ in range(5):
            texts = [unique("🎉" * 480) for _ in range(20)]
            await asyncio.gather(*(ana.say(room, text) for text in texts))
        async with raw_socket(live.url, mia.headers, MSGPACK, receive_bytes=4096) as sloth:
            join = {"t": "join-room", "d": {"roomId": room, "history": 100}}
            for _ in range(45):
                await sloth.send(frame(raw.BINARY, msgspec.msgpack.encode(join)))
            await ben.heard("viewer-joined", username="mia")
            for _ in range(10):
                said = await ana.say(room, unique())
                await ben.heard("new-message", seconds=2, id=said["messageId"])
            await ben.heard("viewer-left", username="mia")
            await ana.say(room, unique())
        await ben.settle()


async def test_two_hundred_come_and_go_and_leave_nothing_behind(live: Live) -> None:
    room = await live.room()
    async with live.inside("ana", room) as ana:
        before = await asyncio.to_thread(Held.by, live.server)
        connections = await asyncio.to_thread(metric, live.server, "mediaserver_chat_connections")

        async def visit(number: int) -> None:
            person = await live.person("ben") if number % 4 == 1 else None
            async with raw_socket(live.url, person.headers if person else {}, MSGPACK) as socket:
                join = msgspec.msgpack.encode({"t": "join-room", "d": {"roomId": room}})
                await socket.send(frame(raw.BINARY, join))
                if number % 2:
                    await socket.receive()
                if number % 3 == 0:
                    await socket.send(frame(raw.CLOSE, (1000).to_bytes(2, "big")))
                if number % 5 == 0:
                    await socket.send(frame(raw.BINARY, b"x" * 100)[:50])

        for first in range(0, 200, 20):
            await asyncio.gather(*(visit(number) for number in range(first, first + 20)))
        await asyncio.to_thread(assert_let_go, live.server, before)
        assert await asyncio.to_thread(metric, live.server, "mediaserver_chat_connections") == connections
        assert (await ana.join(room))["viewerCount"] == 1
        assert await (await live.person("ana")).get("GET", f"/rooms/{room}/chatters")
