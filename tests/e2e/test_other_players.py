"""Players that others wrote, on a page of another origin: hls.js on LL-HLS, mpegts.js on HTTP-FLV."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from tests.e2e.watching import FRAMES, Room
from tests.helpers.chromium import Chromium, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PACKAGES: Final = Path(__file__).parent / "node_modules"
SCRIPTS: Final = {
    "/hls.js": PACKAGES / "hls.js/dist/hls.min.js",
    "/mpegts.js": PACKAGES / "mpegts.js/dist/mpegts.js",
}
PAGE: Final = """<!doctype html><title>player</title><link rel="icon" href="data:,">
<video id="video" controls></video><script src="/hls.js"></script><script src="/mpegts.js"></script>"""

PLAY_HLS: Final = """(() => {{
    const video = document.getElementById('video');
    window.errors = [];
    window.stalls = 0;
    // The last two let it catch up after a stall of this machine, which is none of the stream's.
    window.hls = new Hls(
        {{ lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.1, liveSyncOnStallIncrease: 0 }});
    const stalled = [Hls.ErrorDetails.BUFFER_STALLED_ERROR, Hls.ErrorDetails.BUFFER_NUDGE_ON_STALL,
        Hls.ErrorDetails.BUFFER_SEEK_OVER_HOLE];
    hls.on(Hls.Events.ERROR, (_, data) => {{
        if (!data.fatal && stalled.includes(data.details)) stalls += 1;
        else errors.push(`${{data.type}} ${{data.details}}`);
    }});
    hls.loadSource('{url}');
    hls.attachMedia(video);
    video.play();
}})()"""
PLAY_FLV: Final = """(() => {{
    const video = document.getElementById('video');
    window.errors = [];
    window.player = mpegts.createPlayer(
        {{ type: 'flv', isLive: true, url: '{url}' }}, {{ liveBufferLatencyChasing: true }});
    player.on(mpegts.Events.ERROR, (...what) => errors.push(what.join(' ')));
    player.attachMediaElement(video);
    player.load();
    player.play();
}})()"""

MAX_HLS_LATENCY: Final = 3.0
ENOUGH_FRAMES: Final = 150


@pytest.fixture
async def player_page(chromium: Chromium) -> AsyncIterator[Page]:
    """A page with both libraries on it, served by nobody of ours."""
    app = web.Application()

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def script(request: web.Request) -> web.FileResponse:
        return web.FileResponse(SCRIPTS[request.path])

    app.router.add_get("/", page)
    for path in SCRIPTS:
        app.router.add_get(path, script)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield await chromium.open(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    finally:
        await runner.cleanup()


async def test_hls_js_plays_with_low_latency(live_room: Room, player_page: Page) -> None:
    """Many pictures in a row come without a stall; a busy machine may cause one now and then."""
    url = f"{live_room.server.base_url}/hls/{live_room.id}/index.m3u8"
    await player_page.evaluate(PLAY_HLS.format(url=url))
    await player_page.wait_for(f"{FRAMES} > {ENOUGH_FRAMES}", seconds=40)
    await player_page.evaluate(f"window.calm = {{ stalls, frames: {FRAMES} }}")
    await player_page.wait_for(
        f"""(() => {{
            const isClose = hls.latency > 0 && hls.latency < {MAX_HLS_LATENCY};
            if (calm.stalls !== stalls || !isClose) calm = {{ stalls, frames: {FRAMES} }};
            return {FRAMES} - calm.frames > {2 * ENOUGH_FRAMES};
        }})()""",
        seconds=60,
    )
    assert await player_page.evaluate("errors") == []
    assert player_page.problems == []


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_mpegts_js_plays_flv(live_room: Room, player_page: Page, scheme: str) -> None:
    url = f"{live_room.server.base_url}/live/{live_room.id}.flv".replace("http", scheme, 1)
    await player_page.evaluate(PLAY_FLV.format(url=url))
    await player_page.wait_for(f"{FRAMES} > {ENOUGH_FRAMES}", seconds=60)
    assert await player_page.evaluate("errors") == []
    assert player_page.problems == []
