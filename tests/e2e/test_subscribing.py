"""Subscribing on the watch page, in Chromium: paid at the test checkout, seen in the chat, canceled."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.e2e.money import (
    OVERFLOW,
    PAGE_SHEET,
    TEST_PAYMENTS,
    Api,
    checkout,
    press,
    problems,
    sign_in_by,
)
from tests.e2e.watching import Room
from tests.helpers.chromium import Chromium, Page
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PLAN: Final[dict[str, object]] = {
    "name": "Friends of the oven",
    "description": "Bread every week.",
    "monthlyPrice": 500,
    "yearlyPrice": 5000,
}
IS_CONNECTED: Final = "document.getElementById('side-panel').dataset.state === 'open'"
TITLE: Final = "document.getElementById('page-sheet-title').textContent"
NOTE: Final = "document.getElementById('subscribe-note').textContent"
STANDING: Final = "(document.querySelector('.plan-standing')?.textContent ?? '')"
RETURNED: Final = "document.getElementById('returned-text').textContent"
MOST_MESSAGES: Final = 4
"""As many as one may send at once."""
BUTTONS: Final = "#page-sheet button"


@dataclass(frozen=True, slots=True)
class World:
    server: ServerProcess
    api: Api
    creator_token: str

    def room(self, title: str, **settings: object) -> Room:
        made = self.api.call("POST", "/rooms", {"title": title, **settings}, self.creator_token)
        return Room(self.server, made["id"], made["streamKey"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One creator with a plan."""
    with ServerProcess(tmp_path_factory.mktemp("money") / "data", settings=TEST_PAYMENTS) as server:
        api = Api(server)
        creator = api.creator("ada", api.administrator("root_user"))
        api.call("POST", "/plans", PLAN, creator)
        yield World(server, api, creator)


async def test_subscribed_shown_canceled_and_resumed(world: World, chromium: Chromium) -> None:
    world.api.register("mia")
    page = await _watch(world.room("The oven"), chromium)
    await page.click("subscribe")
    await sign_in_by(page, PAGE_SHEET, "mia")
    await press(page, ".plan-price", "$5.00a month")
    tab = await checkout(world.server, chromium, page)
    await tab.wait_for(f"{RETURNED}.startsWith('You are a subscriber of ada now')")
    await page.call("Page.bringToFront")
    await page.wait_for(f"{STANDING}.startsWith('Renews on')")
    await _gets_badge(page)
    await press(page, BUTTONS, "Cancel the subscription")
    await press(page, BUTTONS, "Cancel at the end")
    await page.wait_for(f"{STANDING}.startsWith('Subscribed until') && {NOTE}.startsWith('Subscribed until')")
    await press(page, BUTTONS, "Resume")
    await page.wait_for(f"{STANDING}.startsWith('Renews on')")
    assert problems(page) == []


async def test_breaking_off_pays_nothing(world: World, chromium: Chromium) -> None:
    world.api.register("ben")
    page = await _watch(world.room("The mill"), chromium)
    await page.click("subscribe")
    await sign_in_by(page, PAGE_SHEET, "ben")
    await press(page, ".plan-price", "$50.00a year, 16 % less")
    tab = await checkout(world.server, chromium, page, "form button:not(.pay)")
    await tab.wait_for(f"{RETURNED} === 'You did not subscribe. Nothing was paid.'")
    await page.call("Page.bringToFront")
    await page.wait_for("document.getElementById('page-sheet-note').textContent.includes('Nothing was paid')")
    assert await page.evaluate("document.getElementById('subscribe-text').textContent") == "Subscribe"
    assert problems(page) == []


async def test_a_room_for_subscribers_says_so_and_opens(world: World, chromium: Chromium) -> None:
    world.api.register("oli")
    room = world.room("The cellar", visibility="subscribers")
    page = await chromium.open(room.page_url)
    await page.wait_for("document.getElementById('screen-title').textContent.includes('for subscribers')")
    await page.wait_for("document.getElementById('screen-subscribe').checkVisibility()")
    await page.click("screen-subscribe")
    await sign_in_by(page, PAGE_SHEET, "oli")
    await press(page, ".plan-price", "$5.00a month")
    await checkout(world.server, chromium, page)
    await page.call("Page.bringToFront")
    await page.wait_for("document.getElementById('player').dataset.screen === 'waiting'")
    await page.wait_for(f"{IS_CONNECTED} && document.getElementById('title').textContent === 'The cellar'")


async def test_nobody_is_asked_to_subscribe_to_those_without_plans(world: World, chromium: Chromium) -> None:
    room = Room(world.server, *world.server.create_room("No plans"))
    page = await chromium.open(room.page_url)
    await page.wait_for(IS_CONNECTED)
    assert not await page.evaluate("document.getElementById('subscribe').checkVisibility()")
    assert page.problems == []


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844), (320, 568)])
async def test_plans_fit(world: World, chromium: Chromium, width: int, height: int) -> None:
    name = f"pia{width}"
    world.api.register(name)
    page = await _watch(world.room("The shop"), chromium, width, height)
    await page.click("subscribe")
    await sign_in_by(page, PAGE_SHEET, name)
    await page.wait_for("document.querySelectorAll('.plan-price').length === 2")
    assert await page.evaluate(OVERFLOW) <= 0
    box = "document.getElementById('page-sheet').getBoundingClientRect()"
    assert await page.evaluate(f"{box}.left >= 0 && {box}.right <= {width} && {box}.bottom <= {height}")
    await page.press("Escape")
    await page.wait_for("document.activeElement.id === 'subscribe'")


async def _watch(room: Room, chromium: Chromium, width: int = 1280, height: int = 800) -> Page:
    page = await chromium.open()
    await page.resize(width, height, is_phone=width < 600)
    await page.go(room.page_url)
    await page.wait_for(f"{IS_CONNECTED} && document.getElementById('subscribe').checkVisibility()")
    await page.evaluate("document.getElementById('subscribe').scrollIntoView({block: 'center'})")
    return page


async def _gets_badge(page: Page) -> None:
    """Say something until the badge of subscribers stands beside the name: the chat hears of it by itself."""
    await page.wait_for("document.getElementById('chat-form').checkVisibility()")
    for number in range(MOST_MESSAGES):
        words = f"Good morning {number}"
        await page.evaluate(
            f"""(() => {{
                const text = document.getElementById('chat-text');
                text.value = '{words}';
                text.dispatchEvent(new Event('input', {{ bubbles: true }}));
                document.getElementById('chat-form').requestSubmit();
            }})()"""
        )
        line = (
            f"[...document.querySelectorAll('.chat-line')].find((one) => one.textContent.includes('{words}'))"
        )
        await page.wait_for(f"{line} !== undefined")
        if await page.evaluate(f"{line}.querySelector('.chat-badge.is-subscriber') !== null"):
            return
    raise AssertionError("no badge")
