"""WHIP and WHEP with programs that are not ours: ffmpeg publishes, Chromium publishes and plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.helpers.chromium import SOUND_WITHOUT_GESTURE, Chromium, Page
from tests.helpers.ffmpeg import NEW, QUIET
from tests.helpers.waiting import eventually
from tests.sfu.http_peers import live_doors, player
from tests.sfu.http_world import KEY, ROOM, Doors

HTML = '<!doctype html><title>peer</title><link rel="icon" href="data:,"><body><script>{}</script>'
SCRIPT = Path(__file__).with_name("http_client.js")
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
INPUT = ("-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30", "-f", "lavfi", "-i", "sine=r=48000")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "30")
OPUS = ("-c:a", "libopus", "-ac", "2")


@pytest.mark.interop
@pytest.mark.parametrize("role", ["passive", "active"])
async def test_ffmpeg_publishes_and_leaves(role: str) -> None:
    async with live_doors() as (world, served):
        url = str(served.client.make_url(f"/whip/{ROOM}"))
        options = ("-f", "whip", "-authorization", KEY)
        if role == "active":
            options = (*options, "-whip_flags", "dtls_active")
        process = await asyncio.create_subprocess_exec(
            NEW, *QUIET, *INPUT, *H264, "-profile:v", "baseline", *OPUS, *options, url,
            stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await eventually(lambda: world.server.statistics().packets_in > 10, 20)
            async with player(served) as (viewer, _):
                await eventually(lambda: viewer.plays("video", 5) and viewer.plays("audio", 5))
            process.terminate()
            await eventually(lambda: world.server.statistics().transports == 0)
            assert len(served.whip.sessions) == 0
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest.fixture
async def pages() -> AsyncIterator[tuple[Page, Page]]:
    """Two pages of another origin than the doors, with the client in them."""
    html = HTML.format(SCRIPT.read_text())

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", answer)
    async with (
        TestServer(app, host="127.0.0.1") as server,
        await Chromium.start(*FAKE_CAMERA, SOUND_WITHOUT_GESTURE) as chromium,
    ):
        address = f"http://localhost:{server.port}/"
        yield await chromium.open(address), await chromium.open(address)


async def publish(page: Page, served: Doors, encodings: str = "null", width: int = 320) -> None:
    url = served.client.make_url(f"/whip/{ROOM}")
    await page.evaluate(f"(globalThis.whip = new HttpPeer('{url}', '{KEY}')).publish({encodings}, {width})")
    await page.wait_for("whip.peer.connectionState === 'connected'")


async def watch(page: Page, served: Doors, kinds: str = "['audio', 'video']") -> None:
    url = served.client.make_url(f"/whep/{ROOM}")
    await page.evaluate(f"(globalThis.whep = new HttpPeer('{url}')).play({kinds})")
    await page.wait_for("whep.figures().then((found) => found.framesDecoded > 10)")


@pytest.mark.browser
@pytest.mark.slow
async def test_chromium_publishes_plays_trickles_restarts_and_leaves(pages: tuple[Page, Page]) -> None:
    studio, viewer = pages
    async with live_doors(hosts=("0.0.0.0",)) as (world, served):
        await publish(studio, served)
        await watch(viewer, served)
        await viewer.wait_for("whep.figures().then((found) => found.audioPackets > 10)")
        for page, name in ((studio, "whip"), (viewer, "whep")):
            await page.evaluate(f"{name}.trickle()")
            before = (await page.evaluate(f"{name}.figures()"))["fragment"]
            await page.evaluate(f"{name}.restart()")
            await page.wait_for(f"{name}.figures().then((found) => found.fragment !== '{before}')")
            await page.evaluate(f"{name}.trickle()")
            assert await page.evaluate(f"{name}.statuses") == [201, 204, 200, 204]
        decoded = (await viewer.evaluate("whep.figures()"))["framesDecoded"]
        await viewer.wait_for(f"whep.figures().then((found) => found.framesDecoded > {decoded} + 20)")
        await studio.evaluate("whip.close()")
        # the connection's own state follows seconds later, with ICE
        await viewer.wait_for("whep.peer.getReceivers()[0].transport.state === 'closed'")
        await eventually(lambda: world.server.statistics().transports == 0)
        assert studio.problems == []


@pytest.mark.browser
@pytest.mark.slow
async def test_chromium_publishes_layers_and_plays_the_highest(pages: tuple[Page, Page]) -> None:
    """Chromium sends no second layer of pictures smaller than this."""
    studio, viewer = pages
    layers = "[{rid: 'l', scaleResolutionDownBy: 2}, {rid: 'h'}]"
    async with live_doors(hosts=("0.0.0.0",)) as (world, served):
        await publish(studio, served, layers, width=640)
        assert world.room is not None
        assert {producer.type for producer in world.room.producers.values()} == {"simple", "simulcast"}
        await watch(viewer, served, "['video']")
        await viewer.wait_for("document.querySelector('video').videoWidth === 640", 30)
