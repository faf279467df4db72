"""Frames of `GET /rtc` that are bad, too long or too many."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sfu import signalling_session
from sfu.participant import Link
from sfu.signalling import (
    CLOSE_TOO_MANY_FRAMES,
    CLOSE_WRONG_KIND,
    SignallingOptions,
)
from sfu.signalling_protocol import MAX_FRAME_BYTES, Encoding
from tests.helpers.waiting import eventually
from tests.sfu.rooms_world import (
    audio_parameters,
)
from tests.sfu.rtc_world import RtcWorld, joined, plain, rtc_world


@pytest.fixture
async def world() -> AsyncIterator[RtcWorld]:
    async with rtc_world() as world:
        yield world


async def test_who_repeats_what_everybody_hears_is_slowed_down(world: RtcWorld) -> None:
    leo = await joined(world, "leo")
    answers = [
        await leo.response(leo.frame(method, {})) for _ in range(60) for method in ("raiseHand", "lowerHand")
    ]

    refused = [answer["errorCode"] for answer in answers if not answer["ok"]]
    assert refused and set(refused) == {"rate_limited"}
    await leo.request("getRouterRtpCapabilities")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({"request": True, "id": 1, "method": "dance", "data": {}}, "unknown_method"),
        ({"request": True, "id": 1, "method": "join", "data": {"colour": "red"}}, "bad_request"),
        ({"request": True, "id": 1, "method": "join"}, "bad_request"),
        ({"request": True, "id": 1, "method": "join", "data": []}, "bad_request"),
        ({"request": True, "id": 1, "method": "join", "data": {"room": "a\0b"}}, "bad_request"),
        ({"request": True, "id": 1, "method": "join", "data": {"room": "x" * 65}}, "bad_request"),
        ({"request": False, "id": 1, "method": "join"}, "bad_frame"),
        ({"request": True, "id": 1, "method": 5}, "bad_frame"),
        ({"request": True, "id": 1, "method": "join", "extra": 1}, "bad_frame"),
        ({"response": True, "id": 1, "ok": True}, "bad_frame"),
    ],
)
@pytest.mark.parametrize("encoding", Encoding)
async def test_a_bad_frame_is_answered_and_the_connection_stays(
    world: RtcWorld, encoding: Encoding, frame: dict[str, Any], reason: str
) -> None:
    client = await world.connect(encoding)
    answer = await client.response(frame)

    assert (answer["ok"], answer["errorCode"], answer["id"]) == (False, reason, 1)
    await client.join("sam")


async def test_an_error_names_the_field(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    parameters = plain(audio_parameters())
    parameters["codecs"][0]["clockRate"] = "fast"
    answer = await sam.response(
        sam.frame("produce", {"transportId": "t", "kind": "audio", "rtpParameters": parameters})
    )

    assert "data.rtpParameters.codecs[0].clockRate" in answer["errorReason"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{",
        '{"id": -1}',
        "[" * 50_000,
        '{"request": true, "id": 1.5, "method": "join"}',
        '{"a":' * 10_000,
        "\ud7ff",
    ],
)
async def test_what_has_no_id_is_answered_by_a_notification(world: RtcWorld, text: str) -> None:
    client = await world.connect()
    await client.socket.send_str(text)

    assert (await client.notification("error"))["errorCode"] == "bad_frame"


@pytest.mark.parametrize(
    "data", ['{"room": "\\ud800"}', '{"room": "x", "rtpCapabilities": ' + '{"codecs": [' * 5_000 + "}"]
)
async def test_texts_that_are_none_are_refused(world: RtcWorld, data: str) -> None:
    client = await world.connect()
    await client.socket.send_str('{"request": true, "id": 7, "method": "join", "data": ' + data + "}")
    frame = await client.receive()

    assert "bad_" in str(frame)
    await client.join("sam")


async def test_bytes_that_are_no_utf_8_in_msgpack(world: RtcWorld) -> None:
    client = await world.connect(Encoding.MSGPACK)
    await client.socket.send_bytes(
        b"\x84\xa7request\xc3\xa2id\x01\xa6method\xa4join\xa4data\x81\xa4room\xa1\xff"
    )

    assert (await client.receive())["errorCode"] == "bad_request"


async def test_the_wrong_kind_of_messages_closes(world: RtcWorld) -> None:
    text, binary = await world.connect(Encoding.JSON), await world.connect(Encoding.MSGPACK)
    await text.socket.send_bytes(b"{}")
    await binary.socket.send_str("{}")

    assert await text.closed() == CLOSE_WRONG_KIND
    assert await binary.closed() == CLOSE_WRONG_KIND


async def test_a_frame_that_is_too_long_closes(world: RtcWorld) -> None:
    client = await world.connect()
    await client.socket.send_str("x" * (MAX_FRAME_BYTES + 1))

    assert await client.closed() == 1009


@pytest.mark.parametrize("is_ping", [True, False])
async def test_a_flood_is_cut(is_ping: bool) -> None:
    async with rtc_world(options=SignallingOptions(frames_per_second=1, frame_burst=20)) as world:
        client = await world.connect()
        for _ in range(40):
            await (client.socket.ping() if is_ping else client.socket.send_str("{}"))

        assert await client.closed() == CLOSE_TOO_MANY_FRAMES


async def test_frames_that_came_together_leave_turns_to_others(
    world: RtcWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, turns = 0, []
    answer = signalling_session.Session.answer

    async def noting(session: signalling_session.Session, frame: bytes, link: Link) -> bytes | None:
        turns.append(turn)
        return await answer(session, frame, link)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    client = await joined(world, "leo")
    monkeypatch.setattr(signalling_session.Session, "answer", noting)
    counting = asyncio.create_task(count_turns())
    for _ in range(100):
        await client.send(client.frame("getRouterRtpCapabilities", {}))
    await eventually(lambda: len(turns) == 100)
    counting.cancel()
    assert len(set(turns)) == 100
