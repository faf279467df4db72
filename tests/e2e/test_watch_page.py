"""The watch page in Chromium, while all goes well."""

import pytest

from tests.e2e.watching import BUFFERED, Room, Watcher

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CALM_SAMPLES = 8


async def test_plays_without_a_single_complaint(live_room: Room, watcher: Watcher) -> None:
    await watcher.watch(live_room.watch_url)
    await watcher.wait_playing(frames=90)
    assert watcher.page.problems == []


async def test_comes_close_to_the_live_edge_and_stays_there(live_room: Room, watcher: Watcher) -> None:
    await watcher.watch(live_room.watch_url)
    near = f"(() => {{ const b = {BUFFERED}; return b > 0.5 && b < 1.6; }})()"
    for _ in range(CALM_SAMPLES):
        await watcher.page.wait_for(near)
        await watcher.wait_playing(frames=15)
    # From the encoder's clock to the screen: what the player holds back, encoding and one merge window.
    assert await watcher.latency() < 3


async def test_says_how_far_behind_the_server_it_is(live_room: Room, watcher: Watcher) -> None:
    await watcher.watch(live_room.watch_url)
    shown = await watcher.page.wait_for("document.getElementById('latency').innerText")
    told = float(await watcher.page.evaluate("document.getElementById('latency-text').textContent"))
    assert "behind" in shown
    # The encoder and its way to the server come on top of what the page can know.
    assert told <= await watcher.latency() + 0.2
