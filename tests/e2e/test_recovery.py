"""The watch page comes back by itself, whatever is taken from it. Nobody reloads it."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.conftest import publishing_pattern
from tests.e2e.watching import Room, Watcher
from tests.helpers.ffmpeg import Clip, publishing
from tests.helpers.relay import Relay
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FROZEN_SECONDS = 60.0
CORRUPT_ONE_PIECE = """
    const original = window.fetch;
    window.piecesToSpare = 20;
    window.fetch = async (...given) => {
        const response = await original(...given);
        if (!String(given[0]).includes('.mp4')) return response;
        const corrupt = new TransformStream({
            transform(piece, controller) {
                if (window.piecesToSpare-- === 0) piece.fill(0x5a);
                controller.enqueue(piece);
            },
        });
        return new Response(response.body.pipeThrough(corrupt), response);
    };
"""


async def test_encoder_is_killed_and_comes_back(room: Room, watcher: Watcher, clip: Clip) -> None:
    with publishing(clip, room.publish_url):
        await asyncio.to_thread(room.server.wait_live, room.id)
        await watcher.watch(room.watch_url)
    await watcher.wait_screen("interrupted")
    with publishing(clip, room.publish_url):
        await watcher.wait_playing()
    assert watcher.page.problems == []


async def test_encoder_comes_back_with_another_picture_size(
    room: Room, watcher: Watcher, clip: Clip, narrow_clip: Clip
) -> None:
    with publishing(clip, room.publish_url):
        await asyncio.to_thread(room.server.wait_live, room.id)
        await watcher.watch(room.watch_url)
    with publishing(narrow_clip, room.publish_url):
        await watcher.page.wait_for("document.getElementById('video').videoWidth === 320")
        await watcher.wait_playing()
    assert watcher.page.problems == []


async def test_stream_ends_and_starts_again(room: Room, watcher: Watcher) -> None:
    async with publishing_pattern(room):
        await watcher.watch(room.watch_url)
    await watcher.wait_screen("ended")
    async with publishing_pattern(room):
        await watcher.wait_playing()


async def test_server_is_killed_and_comes_back(tmp_path: Path, watcher: Watcher, clip: Clip) -> None:
    with ServerProcess(tmp_path / "data") as server:
        room = Room(server, *server.create_room("restarted"))
        with publishing(clip, room.publish_url):
            await asyncio.to_thread(server.wait_live, room.id)
            await watcher.watch(room.watch_url)
            await asyncio.to_thread(server.kill)
            await watcher.wait_screen("reconnecting")
        await asyncio.to_thread(server.start)
        with publishing(clip, room.publish_url):
            await watcher.wait_playing()


async def test_connections_are_cut(live_room: Room, watcher: Watcher) -> None:
    async with Relay(live_room.server.http_port) as relay:
        await watcher.watch(f"http://127.0.0.1:{relay.port}/watch/{live_room.id}?player=fmp4")
        relay.cut()
        await watcher.wait_playing()


async def test_network_goes_silent(live_room: Room, watcher: Watcher) -> None:
    async with Relay(live_room.server.http_port) as relay:
        await watcher.watch(f"http://127.0.0.1:{relay.port}/watch/{live_room.id}?player=fmp4")
        relay.freeze()
        await watcher.wait_screen("reconnecting", FROZEN_SECONDS)
        relay.thaw()
        await watcher.wait_playing(seconds=FROZEN_SECONDS)


async def test_media_is_damaged_on_its_way(live_room: Room, watcher: Watcher) -> None:
    await watcher.page.call("Page.addScriptToEvaluateOnNewDocument", source=CORRUPT_ONE_PIECE)
    await watcher.watch(live_room.watch_url)
    await watcher.page.wait_for("window.piecesToSpare < 0")
    await watcher.wait_playing(frames=60)


async def test_page_sleeps_and_wakes_up(live_room: Room, watcher: Watcher) -> None:
    await watcher.watch(live_room.watch_url)
    position = await watcher.page.evaluate("document.getElementById('video').currentTime")
    await watcher.page.call("Page.setWebLifecycleState", state="frozen")
    await live_room.pass_media(10.0)
    await watcher.page.call("Page.setWebLifecycleState", state="active")
    await watcher.wait_playing()
    assert await watcher.page.evaluate("document.getElementById('video').currentTime") > position
    assert await watcher.latency() < 5
