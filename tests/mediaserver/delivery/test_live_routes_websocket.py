"""`/live/` over WebSocket, and viewers who may not watch any more."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import websockets

from mediaserver.containers.flv import FlvMuxer
from tests.helpers.encoded import decoded_frames
from tests.helpers.flv import read_flv
from tests.helpers.waiting import eventually
from tests.mediaserver.delivery.live_door import (
    CLIENT_SECONDS,
    ROOM,
    Door,
    open_door,
)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as door:
        yield door


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=CLIENT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield session


# FLV over WebSocket


async def test_websocket_gives_the_bytes_of_http_and_closes_with_1000(
    door: Door, session: aiohttp.ClientSession
) -> None:
    door.publish(10)
    async with session.ws_connect(f"{door.base_url}/live/{ROOM}.flv") as socket:
        await eventually(lambda: door.delivery.viewers == 1)
        assert not socket.compress
        assert door.delivery.counters["ws-flv"].viewers == 1
        door.publish_rest()
        door.stop()
        messages = [message async for message in socket]
        assert {message.type for message in messages} == {aiohttp.WSMsgType.BINARY}
        assert socket.close_code == 1000
    assert decoded_frames(b"".join(message.data for message in messages), "flv") == 30
    await eventually(lambda: door.delivery.viewers == 0)


@pytest.mark.parametrize("name", ["Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"])
async def test_a_handshake_that_is_not_ascii_is_refused(
    door: Door, session: aiohttp.ClientSession, name: str
) -> None:
    door.publish(10)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    headers["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    headers[name] = "\xff"
    async with session.get(f"{door.base_url}/live/{ROOM}.flv", headers=headers) as response:
        assert (response.status, name in await response.text()) == (400, True)


async def test_websocket_answers_pings_of_another_client_and_offers_no_compression(door: Door) -> None:
    door.publish(10)
    async with websockets.connect(f"ws://127.0.0.1:{door.port}/live/{ROOM}.flv") as socket:
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        await eventually(lambda: door.delivery.viewers == 1)
        async with asyncio.timeout(CLIENT_SECONDS):
            await (await socket.ping(b"are you there"))
            door.publish_rest()
            door.stop()
            received = b"".join([message async for message in socket if isinstance(message, bytes)])
        assert socket.close_code == 1000
    assert decoded_frames(received, "flv") == 30


async def test_a_websocket_viewer_that_closes_is_taken_off(door: Door) -> None:
    door.publish(10)
    before = len(asyncio.all_tasks())
    for _ in range(3):
        async with websockets.connect(f"ws://127.0.0.1:{door.port}/live/{ROOM}.flv"):
            await eventually(lambda: door.delivery.viewers == 1)
        await eventually(lambda: door.delivery.viewers == 0)
    await eventually(lambda: len(asyncio.all_tasks()) == before)
    assert not door.stream.viewers_by_output()


async def test_a_websocket_viewer_that_says_too_much_is_closed(
    door: Door, session: aiohttp.ClientSession
) -> None:
    door.publish(10)
    async with session.ws_connect(f"{door.base_url}/live/{ROOM}.flv") as socket:
        await eventually(lambda: door.delivery.viewers == 1)
        await socket.send_bytes(bytes(100_000))
        async for _ in socket:
            pass
        assert socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
    await eventually(lambda: door.delivery.viewers == 0)


async def test_only_flv_is_served_over_websocket(door: Door, session: aiohttp.ClientSession) -> None:
    door.publish(10)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await session.ws_connect(f"{door.base_url}/live/{ROOM}.mp4")
    assert refused.value.status == 400


async def test_an_upgrade_that_is_none_is_refused(door: Door, session: aiohttp.ClientSession) -> None:
    door.publish(10)
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    response = await session.get(f"{door.base_url}/live/{ROOM}.flv", headers=headers)
    assert response.status == 400
    assert door.delivery.viewers == 0


# The stream behind them


async def test_the_header_describes_the_tracks(door: Door) -> None:
    door.publish(10)
    [viewer] = await door.viewers(1)
    door.stop()
    await viewer.headers()
    body = await viewer.chunked_body()
    muxer = FlvMuxer()
    muxer.configure(door.media.tracks, {})
    assert body.startswith(muxer.header())
    viewer.leave()


# Who must leave


async def test_who_may_not_watch_any_more_gets_a_proper_end(door: Door) -> None:
    door.publish(20)
    first, second = await door.viewers(2)
    assert len(door.delivery.sessions) == 2
    assert door.delivery.sessions.close(ROOM, [None]) == 2
    for viewer in (first, second):
        assert (await viewer.headers()).startswith("HTTP/1.1 200 ")
        assert read_flv(await viewer.chunked_body())
        viewer.leave()
    await eventually(lambda: door.delivery.viewers == 0 and len(door.delivery.sessions) == 0)
    assert not door.stream.viewers_by_output()


async def test_a_websocket_viewer_is_told_that_it_may_not_watch_any_more(
    door: Door, session: aiohttp.ClientSession
) -> None:
    door.publish(10)
    async with session.ws_connect(f"{door.base_url}/live/{ROOM}.flv") as socket:
        await eventually(lambda: door.delivery.viewers == 1)
        door.delivery.sessions.close(ROOM, [None])
        assert {message.type async for message in socket} == {aiohttp.WSMsgType.BINARY}
        assert socket.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
    await eventually(lambda: door.delivery.viewers == 0 and len(door.delivery.sessions) == 0)


async def test_who_loses_the_right_while_waiting_gets_nothing(
    door: Door, session: aiohttp.ClientSession
) -> None:
    asking = asyncio.create_task(session.get(f"{door.base_url}/live/{ROOM}.flv?wait=5"))
    await eventually(lambda: door.delivery.hub._waiting)
    door.delivery.sessions.close(ROOM, [None])
    door.publish(10)
    assert (await asking).status == 403
    assert door.delivery.viewers == 0
    await eventually(lambda: len(door.delivery.sessions) == 0)


async def test_a_full_room_takes_nobody_until_somebody_leaves(
    door: Door, session: aiohttp.ClientSession
) -> None:
    door.gate.max_viewers = 2
    door.publish(10)
    viewers = await door.viewers(2)
    response = await session.get(f"{door.base_url}/live/{ROOM}.flv")
    assert response.status == 403
    assert (await response.text()).startswith("room_full: ")
    viewers.pop().leave()
    await eventually(lambda: door.delivery.viewers == 1)
    viewers.append(await door.viewer())
    await eventually(lambda: door.delivery.viewers == 2)
    for viewer in viewers:
        viewer.leave()


async def test_refused_requests_leave_no_session(door: Door, session: aiohttp.ClientSession) -> None:
    await session.get(f"{door.base_url}/live/{ROOM}.flv")
    await session.get(f"{door.base_url}/live/{ROOM}.flv?wait=x")
    await session.get(f"{door.base_url}/live/nobody.flv")
    await eventually(lambda: len(door.delivery.sessions) == 0)
