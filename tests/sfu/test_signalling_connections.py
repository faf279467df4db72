"""How connections of `GET /rtc` begin, stay, fall behind and end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sfu.room_errors import Refusal
from sfu.room_messages import Volumes
from sfu.signalling import (
    CLOSE_GOING_AWAY,
    CLOSE_NOT_JOINED,
    CLOSE_TOO_SLOW,
    SignallingOptions,
)
from sfu.signalling_protocol import Encoding
from sfu.signalling_visit import METHODS
from tests.helpers.waiting import eventually
from tests.sfu.rooms_world import (
    ROOM,
)
from tests.sfu.rtc_world import RtcClient, RtcWorld, joined, rtc_world


@pytest.fixture
async def world() -> AsyncIterator[RtcWorld]:
    async with rtc_world() as world:
        yield world


async def test_a_client_without_subprotocol_speaks_json(world: RtcWorld) -> None:
    socket = await world.http.ws_connect(world.server.make_url("/rtc"))

    await RtcClient(socket, Encoding.JSON).join("sam")


async def test_other_subprotocols_and_plain_requests_are_refused(world: RtcWorld) -> None:
    url = world.server.make_url("/rtc")
    plain_request = await world.http.get(url)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Protocol": "protoo"}
    other = await world.http.get(url, headers=headers)

    assert (plain_request.status, (await plain_request.json())["code"]) == (400, "not_websocket")
    assert (other.status, (await other.json())["code"]) == (400, "unknown_subprotocol")


@pytest.mark.parametrize(
    ("code", "status"), [("invalid_token", 401), ("bad_origin", 403), ("rate_limited", 429), ("other", 503)]
)
async def test_who_is_not_admitted_hears_it_over_http(world: RtcWorld, code: str, status: int) -> None:
    world.fake_access.admission = Refusal(code, "No.", 3)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    answer = await world.http.get(world.server.make_url("/rtc"), headers=headers)

    assert (answer.status, (await answer.json())["code"]) == (status, code)
    assert int(answer.headers["Retry-After"]) >= 3


async def test_a_full_server_lets_nobody_in() -> None:
    async with rtc_world(options=SignallingOptions(max_connections=1)) as world:
        kept = await world.connect()
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        answer = await world.http.get(world.server.make_url("/rtc"), headers=headers)

        assert answer.status == 503 and answer.headers["Retry-After"]
        await kept.join()


async def test_a_server_that_stops_says_goodbye(world: RtcWorld) -> None:
    sam, nobody = await joined(world, "sam"), await world.connect()
    world.signalling.close()

    assert [await sam.closed(), await nobody.closed()] == [CLOSE_GOING_AWAY] * 2
    assert not world.directory.rooms


async def test_a_fault_of_ours_is_told_without_detail(
    world: RtcWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    sam = await joined(world, "sam")
    monkeypatch.setattr(type(world.directory.rooms[ROOM].stage), "raise_hand", lambda *_: 1 / 0)

    assert await sam.refused("raiseHand") == "internal_error"
    await sam.request("getStats")


def test_every_method_has_a_name_of_its_own() -> None:
    assert not {"join", "leave"} & set(METHODS)


async def test_who_joins_no_room_is_sent_away() -> None:
    async with rtc_world(options=SignallingOptions(join_seconds=0.05)) as world:
        assert await (await world.connect()).closed() == CLOSE_NOT_JOINED


async def test_who_is_in_a_room_may_be_silent() -> None:
    async with rtc_world(options=SignallingOptions(join_seconds=0.5)) as world:
        client = await joined(world, "sam")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.8):
                await client.socket.receive()
        assert world.signalling.connection_count == 1


async def test_who_answers_no_ping_is_cut_and_may_come_back() -> None:
    async with rtc_world(options=SignallingOptions(ping_seconds=0.1)) as world:
        socket = await world.http.ws_connect(world.server.make_url("/rtc"), autoping=False)
        client = RtcClient(socket, Encoding.JSON)
        shown = await client.join("sam")
        room = world.directory.rooms[ROOM]

        await eventually(lambda: room.participant(shown["participantId"]).link is None)


async def test_who_answers_pings_stays() -> None:
    async with rtc_world(options=SignallingOptions(ping_seconds=0.1)) as world:
        client = await joined(world, "sam")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.socket.receive()
        await client.request("getStats")


async def test_who_does_not_read_is_cut_and_costs_nobody_else(world: RtcWorld) -> None:
    sam, ana = await joined(world, "sam"), await joined(world, "ana")
    room = world.directory.rooms[ROOM]
    stuck = room.participant(sam.info["participantId"])
    assert stuck.link is not None
    for _ in range(2_000):
        room.tell_changed(stuck)

    assert stuck.link is None or stuck.link._goodbye == (CLOSE_TOO_SLOW, "too slow")  # type: ignore[attr-defined]
    await eventually(lambda: stuck.link is None)
    assert ana is not None


async def test_volumes_are_left_out_for_who_is_behind(world: RtcWorld) -> None:
    sam = await joined(world, "sam")
    room = world.directory.rooms[ROOM]
    for _ in range(2_000):
        room.on_volumes([])

    assert (await sam.notification(Volumes.method)) == {"volumes": []}
    await sam.request("getStats")
