"""The doors of `/live/` as viewers find them: a real HTTP server, real sockets, a hand-published stream."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from typing import Final

import aiohttp
import pytest
import websockets
from aiohttp import web

from mediaserver.authorizer import RoomAccess
from mediaserver.containers.flv import FlvMuxer
from mediaserver.delivery.broadcast import BroadcastOptions
from mediaserver.delivery.http_app import create_http_app
from mediaserver.delivery.http_server import STALLED_SECONDS, HttpServer
from mediaserver.delivery.live import LiveDelivery
from mediaserver.delivery.live_routes import MAX_WAIT_SECONDS, add_live_routes
from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream
from mediaserver.media.packet import Codec, MediaPacket
from tests.helpers.encoded import Encoded, decoded_frames, encode
from tests.helpers.flv import read_flv
from tests.helpers.waiting import eventually

ROOM: Final = "room"
VIEWERS: Final = 50
HUGE_BYTES: Final = 15 * 1024 * 1024
CLIENT_SECONDS: Final = 10.0
AIOHTTP_TASKS: Final = 2
"""aiohttp runs one task per connection and one per request; a viewer adds none to them."""


class OneRoomGate:
    """Knows the room ``room`` and lets everyone in."""

    max_viewers: int | None = None

    async def access(self, request: web.Request, room_ref: str) -> RoomAccess:
        if room_ref != ROOM:
            raise web.HTTPNotFound(text="no such room")
        return RoomAccess(ROOM, None, "A room", "alice", is_listed=True, max_viewers=self.max_viewers)


class SilentPublisher:
    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None: ...


class Door:
    """A running server with one room, which goes on the air by ``publish``."""

    def __init__(self, server: HttpServer, delivery: LiveDelivery, gate: OneRoomGate, port: int) -> None:
        self.server: Final = server
        self.gate: Final = gate
        self.delivery: Final = delivery
        self.port: Final = port
        self.media: Final[Encoded] = encode(Codec.H264, Codec.AAC)
        self._publisher: Final = SilentPublisher()
        self._left: list[MediaPacket] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream(self) -> Stream:
        stream = self.delivery.hub.find(ROOM)
        assert stream is not None
        return stream

    def publish(self, packets: int) -> None:
        """Start the room if it is not live, and publish this many more packets."""
        if self.delivery.hub.find(ROOM) is None:
            stream = self.delivery.hub.open(ROOM, self._publisher)
            self.delivery.hub.set_tracks(stream, self.media.tracks, {})
            self._left = list(self.media.packets)
        now, self._left = self._left[:packets], self._left[packets:]
        for packet in now:
            self.stream.publish(packet)

    def publish_huge_frame(self) -> None:
        """Start the room with more than the sockets between us can hold."""
        self.publish(0)
        first = next(packet for packet in self.media.packets if packet.track.id == 0)
        self.stream.publish(
            MediaPacket(first.track, first.dts, first.pts, True, bytes(HUGE_BYTES), first.received_at)
        )

    def publish_rest(self) -> None:
        self.publish(len(self._left))

    def stop(self) -> None:
        self.delivery.hub.release(ROOM, self._publisher, is_clean=True)

    async def viewer(self, version: str = "1.1", container: str = "flv") -> "RawViewer":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET /live/{ROOM}.{container} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
        return RawViewer(reader, writer)

    async def viewers(self, number: int) -> list["RawViewer"]:
        """This many, who all got their headers and are counted."""
        viewers = [await self.viewer() for _ in range(number)]
        await eventually(lambda: self.delivery.viewers == number)
        return viewers


@dataclass
class RawViewer:
    """Reads what is on the wire, without a library that would forgive."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def headers(self) -> str:
        async with asyncio.timeout(CLIENT_SECONDS):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def chunked_body(self) -> bytes:
        """The body up to its last chunk (RFC 9112, 7.1); asserts the framing."""
        body = b""
        async with asyncio.timeout(CLIENT_SECONDS):
            while size := int((await self.reader.readuntil(b"\r\n"))[:-2], 16):
                body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
        return body

    async def rest(self) -> bytes:
        async with asyncio.timeout(CLIENT_SECONDS):
            return await self.reader.read()

    def leave(self) -> None:
        self.writer.transport.abort()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    hub = Hub(grace_seconds=60)
    delivery = LiveDelivery(hub, BroadcastOptions(merge_window=0), GopCacheLimits())
    app = create_http_app()
    gate = OneRoomGate()
    add_live_routes(app, delivery, gate)
    server = HttpServer(app, shutdown_seconds=1)
    door = Door(server, delivery, gate, await server.start("127.0.0.1", 0))
    yield door
    hub.close()
    await server.close()


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
