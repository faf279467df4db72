"""The doors of `/live/` as viewers find them: a real HTTP server, real sockets, a hand-published stream."""

import asyncio
import socket
from collections.abc import AsyncIterator
from itertools import count
from typing import Final

import aiohttp
import pytest

from mediaserver.delivery.http_server import STALLED_SECONDS
from mediaserver.delivery.live_routes import MAX_WAIT_SECONDS
from tests.helpers.encoded import decoded_frames
from tests.helpers.flv import read_flv
from tests.helpers.waiting import eventually
from tests.mediaserver.delivery.live_door import (
    AIOHTTP_TASKS,
    CLIENT_SECONDS,
    ROOM,
    VIEWERS,
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


# Answers without media


async def test_an_unknown_room_is_not_found(door: Door, session: aiohttp.ClientSession) -> None:
    response = await session.get(f"{door.base_url}/live/nobody.flv")
    assert (response.status, await response.text()) == (404, "no such room")
    assert "Retry-After" not in response.headers


async def test_a_container_we_do_not_make_is_not_found(door: Door, session: aiohttp.ClientSession) -> None:
    door.publish(10)
    assert (await session.get(f"{door.base_url}/live/{ROOM}.avi")).status == 404


async def test_a_room_that_is_not_live_says_when_to_come_back(
    door: Door, session: aiohttp.ClientSession
) -> None:
    response = await session.get(f"{door.base_url}/live/{ROOM}.flv")
    assert (response.status, await response.text()) == (404, "room is not live")
    assert int(response.headers["Retry-After"]) > 0
    assert response.headers["Cache-Control"] == "no-store"


async def test_wait_holds_the_request_until_the_room_starts(
    door: Door, session: aiohttp.ClientSession
) -> None:
    asking = asyncio.create_task(session.get(f"{door.base_url}/live/{ROOM}.flv?wait=5"))
    await eventually(lambda: door.delivery.hub._waiting)
    assert not asking.done()
    door.publish(10)
    response = await asking
    assert response.status == 200
    door.stop()
    assert read_flv(await response.read())


async def test_wait_ends_with_not_found_when_nothing_starts(
    door: Door, session: aiohttp.ClientSession
) -> None:
    response = await session.get(f"{door.base_url}/live/{ROOM}.flv?wait=0.05")
    assert response.status == 404
    assert not door.delivery.hub._waiting


@pytest.mark.parametrize("wait", ["soon", "-1", "nan", "inf", str(MAX_WAIT_SECONDS + 1), ""])
async def test_a_wait_that_is_no_number_of_seconds_is_refused(
    door: Door, session: aiohttp.ClientSession, wait: str
) -> None:
    response = await session.get(f"{door.base_url}/live/{ROOM}.flv?wait={wait}")
    assert response.status == 400
    assert (await response.text()).startswith("wait: ")


@pytest.mark.parametrize(
    ("container", "mime_type"), [("flv", "video/x-flv"), ("mp4", "video/mp4"), ("ts", "video/mp2t")]
)
async def test_head_tells_the_type_and_watches_nothing(
    door: Door, session: aiohttp.ClientSession, container: str, mime_type: str
) -> None:
    door.publish(10)
    response = await session.head(f"{door.base_url}/live/{ROOM}.{container}")
    assert response.status == 200
    assert response.headers["Content-Type"].partition(";")[0] == mime_type
    assert await response.read() == b""
    assert not door.delivery.counters


async def test_the_viewer_limit_is_answered_with_503(door: Door, session: aiohttp.ClientSession) -> None:
    door.publish(10)
    door.delivery.max_viewers = 2
    viewers = await door.viewers(2)
    response = await session.get(f"{door.base_url}/live/{ROOM}.flv")
    assert (response.status, await response.text()) == (503, "viewer limit reached")
    assert int(response.headers["Retry-After"]) > 0
    viewers[0].leave()
    await eventually(lambda: door.delivery.viewers == 1)
    response = await session.get(f"{door.base_url}/live/{ROOM}.flv")
    assert response.status == 200
    response.close()
    viewers[1].leave()


async def test_many_who_wait_do_not_pass_the_viewer_limit(door: Door, session: aiohttp.ClientSession) -> None:
    door.delivery.max_viewers = 3
    url = f"{door.base_url}/live/{ROOM}.flv?wait=5"
    asking = [asyncio.create_task(session.get(url)) for _ in range(10)]
    await eventually(lambda: len(door.delivery.hub._waiting.get(ROOM, ())) == 10)
    door.publish(10)
    statuses = sorted([(await task).status for task in asking])
    assert statuses == [200] * 3 + [503] * 7
    door.stop()


# Media over HTTP


async def test_http_1_1_gets_valid_chunks_and_a_stream_that_decodes(door: Door) -> None:
    door.publish(10)
    [viewer] = await door.viewers(1)
    door.publish_rest()
    door.stop()
    headers = await viewer.headers()
    assert headers.startswith("HTTP/1.1 200 ")
    assert "Transfer-Encoding: chunked" in headers
    assert "Access-Control-Allow-Origin: *" in headers
    body = await viewer.chunked_body()
    assert decoded_frames(body, "flv") == len([p for p in door.media.packets if p.track.id == 0])
    viewer.leave()


@pytest.mark.parametrize("container", ["mp4", "ts"])
async def test_the_other_containers_decode_too(door: Door, container: str) -> None:
    door.publish(10)
    viewer = await door.viewer(container=container)
    await eventually(lambda: door.delivery.viewers == 1)
    door.publish_rest()
    door.stop()
    await viewer.headers()
    body = await viewer.chunked_body()
    # The last picture may be held back for its duration.
    assert decoded_frames(body, {"ts": "mpegts"}.get(container, container)) >= 28
    viewer.leave()


async def test_http_1_0_gets_bare_bytes_and_the_end_of_the_connection(door: Door) -> None:
    door.publish(10)
    viewer = await door.viewer("1.0")
    await eventually(lambda: door.delivery.viewers == 1)
    door.publish_rest()
    door.stop()
    headers = await viewer.headers()
    assert headers.startswith("HTTP/1.0 200 ")
    assert "Transfer-Encoding" not in headers
    assert "Connection: close" in headers or "Connection: keep-alive" not in headers
    assert decoded_frames(await viewer.rest(), "flv") == 30
    viewer.leave()


async def test_after_the_end_the_connection_takes_another_request(door: Door) -> None:
    door.publish(10)
    [viewer] = await door.viewers(1)
    door.stop()
    await viewer.headers()
    await viewer.chunked_body()
    viewer.writer.write(f"GET /live/{ROOM}.flv HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert (await viewer.headers()).startswith("HTTP/1.1 404 ")
    viewer.leave()


async def test_viewers_that_join_together_get_identical_bytes(door: Door) -> None:
    door.publish(20)
    viewers = await door.viewers(VIEWERS)
    door.publish_rest()
    door.stop()
    for viewer in viewers:
        await viewer.headers()
    bodies = [await viewer.chunked_body() for viewer in viewers]
    assert len(set(bodies)) == 1
    assert read_flv(bodies[0])[-1].timestamp > 1000
    for viewer in viewers:
        viewer.leave()


async def test_a_viewer_costs_no_task_beside_its_request_and_leaves_nothing(door: Door) -> None:
    door.publish(10)
    before = len(asyncio.all_tasks())
    viewers = await door.viewers(VIEWERS)
    assert len(asyncio.all_tasks()) - before == VIEWERS * AIOHTTP_TASKS
    assert door.stream.viewer_count == VIEWERS
    for viewer in viewers:
        viewer.leave()
    await eventually(lambda: door.delivery.viewers == 0)
    await eventually(lambda: len(asyncio.all_tasks()) == before)
    assert not door.stream.viewers_by_output(), "nobody watches, nothing is rendered"
    assert door.server.connection_count == 0


async def test_one_who_leaves_disturbs_nobody(door: Door) -> None:
    door.publish(10)
    leaver, stayer = await door.viewers(2)
    leaver.leave()
    await eventually(lambda: door.delivery.viewers == 1)
    door.publish_rest()
    door.stop()
    await stayer.headers()
    assert decoded_frames(await stayer.chunked_body(), "flv") == 30
    stayer.leave()


WEBSOCKET: Final = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.mark.parametrize("headers", [(), WEBSOCKET], ids=["http", "websocket"])
async def test_who_never_reads_is_swept_away_when_the_stream_is_over(
    door: Door, headers: tuple[str, ...]
) -> None:
    """Nothing is left to write then, so no write could notice."""
    before = len(asyncio.all_tasks())
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", door.port))
        lines = (f"GET /live/{ROOM}.flv?wait=5 HTTP/1.1", "Host: localhost", *headers, "", "")
        stuck.sendall("\r\n".join(lines).encode())
        await eventually(lambda: door.delivery.hub._waiting)
        door.publish_huge_frame()
        await eventually(lambda: door.delivery.viewers == 1)
        door.stop()
        clock = count()
        await eventually(lambda: door.server.sweep(next(clock)) == 1)
        assert next(clock) > STALLED_SECONDS
        await eventually(lambda: door.server.connection_count == 0)
        await eventually(lambda: len(asyncio.all_tasks()) == before)
    assert door.delivery.viewers == 0
