"""Every state of the pages, at every width, in both colour schemes."""

import pytest

from tests.e2e.conftest import publishing_pattern
from tests.e2e.watching import BUFFERED, Room, Watcher
from tests.helpers.chromium import Chromium
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DESKTOP = (1280, 800)
PHONE = (390, 844)
SMALL_PHONE = (320, 568)
NO_PLAYBACK = """
    delete window.MediaSource;
    delete window.ManagedMediaSource;
    HTMLMediaElement.prototype.canPlayType = () => '';
"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


async def test_waits_for_the_stream_and_plays_it(room: Room, watcher: Watcher) -> None:
    await watcher.page.go(room.watch_url)
    await watcher.wait_screen("waiting")
    assert "Not live yet" in await watcher.screen_text()
    async with publishing_pattern(room):
        await watcher.wait_playing()
    assert watcher.page.problems == []


async def test_room_that_does_not_exist(live_server: ServerProcess, watcher: Watcher) -> None:
    await watcher.page.go(f"{live_server.base_url}/watch/no-such-room")
    await watcher.wait_screen("not-found")
    assert "no such room" in await watcher.screen_text()
    assert await watcher.page.evaluate("document.getElementById('screen-link').checkVisibility()")


async def test_room_that_is_not_open(live_server: ServerProcess, watcher: Watcher) -> None:
    made = live_server.admin(
        "create-room", "--user", "admin", "--title", "Board meeting", "--visibility", "private"
    )
    await watcher.page.go(f"{live_server.base_url}/watch/{made['roomId']}")
    await watcher.wait_screen("forbidden")
    assert "private" in await watcher.screen_text()
    assert "Board meeting" not in await watcher.page.evaluate("document.documentElement.innerHTML")


async def test_browser_that_can_play_nothing(live_room: Room, watcher: Watcher) -> None:
    await watcher.page.call("Page.addScriptToEvaluateOnNewDocument", source=NO_PLAYBACK)
    await watcher.page.go(live_room.watch_url)
    await watcher.wait_screen("unsupported")
    assert "cannot play" in await watcher.screen_text()


async def test_rooms_page_lists_who_is_live(live_room: Room, watcher: Watcher) -> None:
    page = watcher.page
    await page.go(live_room.server.base_url)
    card = f"document.querySelector('a[href$=\"/watch/{live_room.id}\"]')"
    text = await page.wait_for(f"{card}?.innerText")
    assert "H.264" in text
    assert "360p" in text
    await page.evaluate(f"{card}.click()")
    await page.wait_for(
        f"location.pathname === '/watch/{live_room.id}' && document.getElementById('video') !== null"
    )
    await watcher.wait_playing()


async def test_rooms_page_tells_how_to_publish_while_nobody_is_live(
    live_server: ServerProcess, watcher: Watcher
) -> None:
    await watcher.page.go(live_server.base_url)
    empty = "document.getElementById('empty')"
    await watcher.page.wait_for(f"{empty}.checkVisibility()", seconds=90)
    assert live_server.rtmp_url in await watcher.page.evaluate(f"{empty}.innerText")


@pytest.mark.parametrize("width, height", [DESKTOP, PHONE, SMALL_PHONE])
@pytest.mark.parametrize("path", ["/", "/watch/demo", "/watch/no-such-room"])
async def test_nothing_is_wider_than_the_screen(
    live_server: ServerProcess, watcher: Watcher, path: str, width: int, height: int
) -> None:
    await watcher.page.resize(width, height, is_phone=width < 600)
    await watcher.page.go(live_server.base_url + path)
    await watcher.page.wait_for("document.body.innerText.length > 20")
    assert await watcher.page.evaluate(OVERFLOW) <= 0


async def test_controls_fit_a_phone(live_room: Room, watcher: Watcher) -> None:
    await watcher.page.resize(*SMALL_PHONE, is_phone=True)
    await watcher.watch(live_room.watch_url)
    edges = await watcher.page.evaluate(
        """[...document.querySelectorAll('#controls > *')].filter((item) => item.checkVisibility())
               .map((item) => item.getBoundingClientRect().right)"""
    )
    assert edges
    assert max(edges) <= SMALL_PHONE[0]
    assert await watcher.page.evaluate(OVERFLOW) <= 0


async def test_follows_the_systems_colours_until_told_otherwise(
    live_server: ServerProcess, watcher: Watcher
) -> None:
    page = watcher.page
    await page.prefer(prefers_color_scheme="dark")
    await page.go(live_server.base_url)
    dark = await page.evaluate(BACKGROUND)
    await page.prefer(prefers_color_scheme="light")
    light = await page.evaluate(BACKGROUND)
    assert _brightness(dark) < 64 < 192 < _brightness(light)
    await page.wait_for("document.getElementById('theme').getAttribute('aria-label')")
    await page.click("theme")
    await page.prefer(prefers_color_scheme="dark")
    assert await page.evaluate(BACKGROUND) == light
    await page.go(live_server.base_url)
    assert await page.evaluate(BACKGROUND) == light


async def test_keyboard(live_room: Room, watcher: Watcher) -> None:
    await watcher.watch(live_room.watch_url)
    await watcher.page.press("m")
    await watcher.page.wait_for("document.getElementById('video').muted")
    await watcher.page.press("m")
    await watcher.page.wait_for("!document.getElementById('video').muted")
    await watcher.page.press("k")
    await watcher.wait_screen("paused")
    await watcher.page.press(" ")
    await watcher.wait_playing()
    await watcher.page.press("f")
    await watcher.page.wait_for("document.fullscreenElement?.id === 'player'")
    assert watcher.page.problems == []


async def test_pause_from_outside_of_the_page_is_one(live_room: Room, watcher: Watcher) -> None:
    """Headphones and the window of picture in picture pause the element, not the player."""
    await watcher.watch(live_room.watch_url)
    await watcher.page.evaluate("document.getElementById('video').pause()")
    await watcher.wait_screen("paused")
    await watcher.page.evaluate("document.getElementById('video').play()")
    await watcher.wait_playing()
    await watcher.page.evaluate("document.getElementById('video').pause()")
    await watcher.wait_screen("paused")
    await watcher.page.click("resume")
    await watcher.wait_playing()
    await watcher.page.wait_for(f"{BUFFERED} < 1.6")


async def test_sound_that_the_browser_forbids_is_one_tap_away(live_room: Room) -> None:
    async with await Chromium.start() as careful:
        watcher = Watcher(await careful.open())
        await watcher.watch(live_room.watch_url)
        assert await watcher.page.evaluate("document.getElementById('video').muted")
        assert await watcher.page.evaluate("document.getElementById('unmute').checkVisibility()")
        await watcher.page.click("unmute")
        await watcher.page.wait_for("!document.getElementById('unmute').checkVisibility()")
        assert not await watcher.page.evaluate("document.getElementById('video').muted")
        await watcher.wait_playing()


async def test_muted_stays_muted(live_room: Room, watcher: Watcher) -> None:
    await watcher.watch(live_room.watch_url)
    await watcher.page.press("m")
    await watcher.page.wait_for("document.getElementById('video').muted")
    await watcher.watch(live_room.watch_url)
    assert await watcher.page.evaluate("document.getElementById('video').muted")
    assert not await watcher.page.evaluate("document.getElementById('unmute').checkVisibility()")


async def test_buttons_have_names_and_the_page_has_landmarks(live_room: Room, watcher: Watcher) -> None:
    await watcher.watch(live_room.watch_url)
    tree = (await watcher.page.call("Accessibility.getFullAXTree"))["nodes"]
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]
    ]
    controls = [name for role, name in named if role in ("button", "link", "slider", "combobox")]
    assert controls
    assert all(controls)
    assert {"main", "banner"} <= {role for role, _ in named}


def _brightness(color: str) -> float:
    parts = [float(part) for part in color.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(parts) / len(parts)
