"""Viewers and strangers that misbehave: who reads nothing, says nothing, or asks for what is not there."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import pytest

from rtmp.client import RtmpClient
from rtmp.protocol import flv_tags
from rtmp.protocol.errors import RtmpError
from rtmp.protocol.flv_tags import PacketKind, VideoTag, serialize_video
from tests.helpers.camera import Camera
from tests.helpers.flv_viewer import FlvViewer
from tests.helpers.server_figures import metric, metric_reaches
from tests.helpers.server_process import ServerProcess
from tests.helpers.waiting import eventually

STRANGERS: Final = 2_000
FRAME_BYTES: Final = 100_000
FRAME_SECONDS: Final = 0.01
GOP_FRAMES: Final = 10
MEMORY_BYTES: Final = 64 * 1024 * 1024
"""What the server may grow by while somebody does not read; unbounded growth passes it within seconds."""
REFUSED: Final = "mediaserver_rtmp_connections_refused_total"
ACCEPTED: Final = "mediaserver_rtmp_connections_accepted_total"
RECEIVE_BUFFER_BYTES: Final = 4096


@asynccontextmanager
async def fat_stream(url: str) -> AsyncIterator[None]:
    """Numbered frames of 10 MB/s, more than a socket that nobody reads can swallow."""
    async with await RtmpClient.connect(url) as client:
        await client.publish()
        Camera(client).send_headers()
        sending = asyncio.create_task(send_fat_frames(client))
        try:
            yield
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending


async def send_fat_frames(client: RtmpClient) -> None:
    number = 0
    while True:
        body = number.to_bytes(4, "big") + bytes(FRAME_BYTES)
        frame = VideoTag(flv_tags.AVC, PacketKind.FRAME, number % GOP_FRAMES == 0, 0, body, 0)
        client.write_video(number * 10, serialize_video(frame))
        await client.drain()
        await asyncio.sleep(FRAME_SECONDS)
        number += 1


async def connect_and_stop_reading(server: ServerProcess, request: str) -> socket.socket:
    """A socket with the smallest of windows that has asked and will never read."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    peer.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(peer, ("127.0.0.1", server.http_port))
    await loop.sock_sendall(peer, request.encode())
    return peer


def get(path: str, *headers: str) -> str:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""))


WEBSOCKET_HEADERS: Final = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.mark.slow
async def test_viewers_that_stop_reading_are_skipped_and_cut_and_nobody_else_notices(
    server: ServerProcess, room: str, publish_url: str, flv_url: str
) -> None:
    skipped, cut = (metric(server, f"mediaserver_viewers_{what}_total") for what in ("skipped", "cut"))
    async with fat_stream(publish_url):
        await asyncio.to_thread(server.wait_live, room)
        memory = await asyncio.to_thread(metric, server, "process_resident_memory_bytes")
        path = f"/live/{room}.flv"
        stuck = [await connect_and_stop_reading(server, get(path)) for _ in range(3)]
        stuck.append(await connect_and_stop_reading(server, get(path, *WEBSOCKET_HEADERS)))
        async with FlvViewer.watching(flv_url) as viewer:
            await metric_reaches(server, "mediaserver_viewers_skipped_total", skipped + 4)
            await metric_reaches(server, "mediaserver_viewers_cut_total", cut + 4)
            grown = await asyncio.to_thread(metric, server, "process_resident_memory_bytes") - memory
            assert grown < MEMORY_BYTES
            assert not viewer.is_over
        numbers = [int.from_bytes(tag.body[5:9], "big") for tag in viewer.pictures()]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a frame is missing"
        assert numbers[0] % GOP_FRAMES == 0
    for peer in stuck:
        peer.close()


@pytest.mark.slow
async def test_a_player_over_rtmp_that_stops_reading_is_cut(
    server: ServerProcess, room: str, publish_url: str
) -> None:
    cut = metric(server, "mediaserver_viewers_cut_total")
    async with fat_stream(publish_url):
        await asyncio.to_thread(server.wait_live, room)
        async with await RtmpClient.connect(f"{server.rtmp_url}/{room}") as player:
            async for _ in player.play():
                break  # from here on its queue fills, and then the sockets between us
            await metric_reaches(server, "mediaserver_viewers_cut_total", cut + 1)


async def test_thousands_that_connect_to_http_and_say_nothing_stop_nobody(
    server: ServerProcess, publish_url: str, flv_url: str
) -> None:
    strangers = await connect_silently(server.http_port, STRANGERS)
    try:
        await metric_reaches(server, "mediaserver_http_connections", STRANGERS)
        async with Camera.publishing(publish_url), FlvViewer.watching(flv_url) as viewer:
            await viewer.more_pictures(10)
    finally:
        for stranger in strangers:
            stranger.close()


async def test_thousands_that_connect_to_rtmp_and_say_nothing_are_limited_and_thrown_out(
    server: ServerProcess,
) -> None:
    refused, accepted = metric(server, REFUSED), metric(server, ACCEPTED)
    lines = len(server.output)
    strangers = await connect_silently(server.rtmp_port, STRANGERS)
    try:
        await eventually(
            lambda: metric(server, REFUSED) + metric(server, ACCEPTED) == refused + accepted + STRANGERS
        )
        assert metric(server, REFUSED) > refused
        async with asyncio.timeout(15):  # they are still connected as far as they know
            while await asyncio.to_thread(metric, server, "mediaserver_rtmp_open_connections"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        for stranger in strangers:
            stranger.close()
    assert len(server.output) - lines < 100, "strangers fill the log"


async def connect_silently(port: int, count: int) -> list[socket.socket]:
    loop = asyncio.get_running_loop()
    peers = []
    for _ in range(count):
        peer = socket.socket()
        peer.setblocking(False)
        await loop.sock_connect(peer, ("127.0.0.1", port))
        peers.append(peer)
    return peers


TRICKS: Final = {
    "up and out": "..%2f..%2fetc",
    "backslashes": "..%5c..%5cetc",
    "absolute": "%2fetc%2fpasswd",
    "doubly encoded": "%252e%252e%252fetc",
    "nothing": "",
    "NUL": "%00",
    "NUL behind a name": "demo%00",
    "line break": "demo%0d%0aX-Injected:%201",
    "overlong": "a" * 4000,
    "not UTF-8": "%ff%fe",
    "emoji": "%F0%9F%98%80",
    "right to left": "%E2%80%AEdemo",
    "full width digits": "%EF%BC%91%EF%BC%92",
    "SQL": "'%20OR%201=1%20--",
    "format": "%25s%25n{0}",
    "almost a UUID": "01a1fad5-bef9-70de-a442-29df74dd7dfz",
}
DOORS: Final = (
    "/live/{}.flv",
    "/live/{}.mp4",
    "/hls/{}/index.m3u8",
    "/hls/{}/ts/index.m3u8",
    "/hls/demo/{}.m4s",
    "/watch/{}",
)


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS.keys())
async def test_tricks_in_paths_find_nothing(server: ServerProcess, trick: str) -> None:
    for door in DOORS:
        path = door.format(trick)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        writer.write(get(path, "Connection: close").encode())
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 404 "), f"{path}: {answer[:80]!r}"
        assert b"\r\nX-Injected" not in answer


async def test_a_request_line_without_end_is_refused(server: ServerProcess) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
    writer.write(get("/live/" + "a" * 100_000 + ".flv").encode())
    async with asyncio.timeout(10):
        with suppress(ConnectionError):
            assert (await reader.read(20)).split()[1] == b"400"
    writer.close()


@pytest.mark.parametrize("name", ["../../etc", "demo\0", "a" * 4000, "😀", "' OR 1=1 --", "."])
async def test_tricks_in_rtmp_names_are_refused(server: ServerProcess, name: str) -> None:
    async def publish(client: RtmpClient) -> None:
        await client.publish(name)

    async def play(client: RtmpClient) -> None:
        async for _ in client.play(name):
            pytest.fail("media of a room that is none")

    attempts: tuple[Callable[[RtmpClient], Coroutine[Any, Any, None]], ...] = (publish, play)
    for attempt in attempts:
        async with await RtmpClient.connect(f"{server.rtmp_url}/x") as client:
            with pytest.raises(RtmpError):
                await attempt(client)
