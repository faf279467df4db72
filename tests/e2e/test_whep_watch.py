"""The watch page over WebRTC: RTMP is seen within half a second, and fMP4 is there where that fails."""

import asyncio

import pytest

from tests.e2e.conftest import publishing_pattern
from tests.e2e.watching import Room, Watcher
from tests.helpers.chromium import Page
from tests.helpers.ffmpeg import Clip, publishing

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PLAYED_BY = "document.querySelector('#statistics-rows dd')?.textContent"
ROWS = "document.getElementById('statistics-rows').innerText"
REAL_TIME_SECONDS = 0.5
SAMPLES = 5


async def show_statistics(page: Page) -> None:
    if await page.evaluate("document.getElementById('statistics').hidden"):
        await page.evaluate("document.getElementById('statistics-toggle').click()")


async def test_plays_in_real_time(live_room: Room, watcher: Watcher) -> None:
    await watcher.watch(live_room.page_url + "?player=whep")
    await show_statistics(watcher.page)
    await watcher.page.wait_for(f"{PLAYED_BY} === 'WebRTC (WHEP)' && /Round trip/.test({ROWS})")
    latencies = []
    for _ in range(SAMPLES):
        await watcher.wait_playing(frames=15)
        latencies.append(await watcher.latency())
    assert sorted(latencies)[SAMPLES // 2] < REAL_TIME_SECONDS, latencies
    assert watcher.page.problems == []


async def test_is_the_first_choice_where_the_server_has_it(live_room: Room, watcher: Watcher) -> None:
    await watcher.watch(live_room.page_url)
    await show_statistics(watcher.page)
    await watcher.page.wait_for(f"{PLAYED_BY} === 'WebRTC (WHEP)'")
    assert await watcher.page.evaluate("document.getElementById('quality').value") == "real-time"


async def test_another_way_can_be_chosen(live_room: Room, watcher: Watcher) -> None:
    await watcher.watch(live_room.page_url + "?player=fmp4")
    await show_statistics(watcher.page)
    await watcher.page.wait_for(f"{PLAYED_BY} === 'fMP4 over HTTP'")
    assert watcher.page.problems == []


async def test_starts_by_itself_when_the_room_goes_live(room: Room, watcher: Watcher) -> None:
    await watcher.page.go(room.page_url + "?player=whep")
    await watcher.wait_screen("waiting")
    async with publishing_pattern(room):
        await watcher.wait_playing()
    await watcher.wait_screen("ended")
    async with publishing_pattern(room):
        await watcher.wait_playing()


async def test_encoder_is_killed_and_comes_back(room: Room, watcher: Watcher, clip: Clip) -> None:
    with publishing(clip, room.publish_url):
        await asyncio.to_thread(room.server.wait_live, room.id)
        await watcher.watch(room.page_url)
    await watcher.wait_screen("interrupted")
    with publishing(clip, room.publish_url):
        await watcher.wait_playing()
    assert watcher.page.problems == []


async def test_falls_back_when_the_server_refuses(live_room: Room, watcher: Watcher) -> None:
    await break_requests(watcher.page, "new Response('no', { status: 503 })")
    await watcher.watch(live_room.page_url)
    await show_statistics(watcher.page)
    await watcher.page.wait_for(f"{PLAYED_BY} === 'fMP4 over HTTP' && {ROWS}.includes('Not by WebRTC')")
    assert await watcher.page.evaluate("document.getElementById('quality').value") == "low-latency"


async def test_falls_back_when_no_datagram_comes_through(live_room: Room, watcher: Watcher) -> None:
    await break_connections(watcher.page)
    await watcher.watch(live_room.page_url)
    await show_statistics(watcher.page)
    await watcher.page.wait_for(f"{PLAYED_BY} === 'fMP4 over HTTP' && /media port/.test({ROWS})")


async def break_requests(page: Page, answer: str) -> None:
    """Whatever the page asks WHEP for is answered with ``answer``."""
    await before_scripts(
        page,
        f"""const real = fetch;
        window.fetch = (url, ...more) =>
            String(url).includes('/whep/') ? Promise.resolve({answer}) : real(url, ...more);""",
    )


async def break_connections(page: Page) -> None:
    """Answers tell of a port that nobody listens to."""
    await before_scripts(
        page,
        """const real = RTCPeerConnection.prototype.setRemoteDescription;
        RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
            const away = sdp.replace(/(a=candidate:\\S+ 1 \\w+ \\d+ \\S+) \\d+/g, '$1 9');
            return real.call(this, { type, sdp: away });
        };""",
    )


async def before_scripts(page: Page, source: str) -> None:
    await page.call("Page.addScriptToEvaluateOnNewDocument", source=source)
