"""Gifts on the watch page, in Chromium: one gives, everybody sees it; what is not enough is bought."""

import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.e2e.chatting import PASSWORD
from tests.e2e.conftest import publishing_pattern
from tests.e2e.watching import Room
from tests.helpers.chromium import Chromium, Page
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PEOPLE: Final = ("ben", "eli", "ida", "mia", "oli")
COINS: Final[dict[str, object]] = {"coins": 100, "reason": "To give"}
UNLIMITED: Final = {
    "MEDIASERVER_CHAT__CONNECTIONS_PER_MINUTE": "1000",
    "MEDIASERVER_API__AUTHENTICATIONS_PER_WINDOW": "1000",
    "MEDIASERVER_MONEY__TEST_PAYMENTS": "true",
}
IS_CONNECTED: Final = "document.getElementById('side-panel').dataset.state === 'open'"
GIFT_OFFERED: Final = "document.getElementById('gift').checkVisibility()"
LINES: Final = "[...document.querySelectorAll('.chat-event.is-gift')].map((line) => line.textContent)"
BANNERS: Final = "[...document.querySelectorAll('.gift-banner')].map((banner) => banner.innerText)"
FLYING: Final = "document.querySelectorAll('.gift-particle').length"
BALANCE: Final = "document.querySelector('.gift-balance')?.textContent"
NOTE: Final = "document.getElementById('chat-sheet-note').textContent"
TITLE: Final = "document.getElementById('chat-sheet-title').textContent"
LEADERS: Final = "[...document.querySelectorAll('.board-row')].map((row) => row.innerText)"
TOTAL: Final = "document.getElementById('board-total').textContent"
OVERFLOW: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
REDUCED: Final = {"prefers_reduced_motion": "reduce"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One with people, each of whom has 100 coins."""
    with ServerProcess(tmp_path_factory.mktemp("gifts") / "data", settings=UNLIMITED) as server:
        email = "ada@example.com"
        arguments = ("--username", "ada", "--email", email, "--password", PASSWORD, "--role", "admin")
        server.admin("create-user", *arguments)
        token = _post(server, "/auth/login", {"username": "ada", "password": PASSWORD})["accessToken"]
        for name in PEOPLE:
            _post(server, f"/admin/wallets/{_register(server, name)}/adjust", COINS, token)
        yield server


@pytest.fixture
async def room(server: ServerProcess, request: pytest.FixtureRequest) -> AsyncIterator[Room]:
    room = Room(server, *server.create_room(request.node.name))
    async with publishing_pattern(room):
        yield room


async def test_one_gives_and_everybody_sees_it(room: Room, chromium: Chromium) -> None:
    giver, other = await _watch(room, chromium), await _watch(room, chromium, as_somebody_else=True)
    await _sign_in_to_give(giver, "mia")
    await giver.wait_for(f"{BALANCE} === '100'")
    for page in (giver, other):
        await page.evaluate(WATCH_STAGE)
    await _tap(giver, "Rose")
    await giver.wait_for(f"{BALANCE} === '90'")
    for page in (giver, other):
        await page.wait_for(f"{LINES}.some((line) => line.includes('mia gave 1 \u00d7 Rose (10 coins)'))")
        await page.wait_for("shown.banners.some((one) => one.includes('sent Rose')) && shown.flew")
        await page.wait_for(f"{TOTAL} === '10 coins in all'")
    await other.wait_for(f"{LEADERS}.length === 1 && {LEADERS}[0].includes('mia')")
    assert giver.problems == other.problems == []


async def test_the_same_again_counts_up(room: Room, chromium: Chromium) -> None:
    giver, other = await _watch(room, chromium), await _watch(room, chromium, as_somebody_else=True)
    await _sign_in_to_give(giver, "ida")
    await giver.wait_for(f"{BALANCE} === '100'")
    for page in (giver, other):
        await page.evaluate(WATCH_STAGE)
    for _ in range(2):
        await _tap(giver, "Rose")
    await giver.wait_for("shown.combos.includes('\u00d72')")
    await other.wait_for(f"{LINES}.length === 1 && {LINES}[0].includes('ida gave 2 \u00d7 Rose (20 coins)')")
    await other.wait_for("shown.banners.some((one) => one.includes('\u00d72'))")
    await giver.wait_for(f"{BALANCE} === '80'")
    assert giver.problems == other.problems == []


async def test_only_what_is_live_is_given_to(server: ServerProcess, chromium: Chromium) -> None:
    page = await chromium.open(Room(server, *server.create_room("Not live")).watch_url)
    await page.wait_for(f"{IS_CONNECTED} && document.getElementById('board').checkVisibility()")
    assert not await page.evaluate(GIFT_OFFERED)
    assert await page.evaluate("document.getElementById('board-empty').textContent") != ""
    assert page.problems == []


async def test_tips_and_coins_that_do_not_suffice(room: Room, chromium: Chromium) -> None:
    page = await _watch(room, chromium)
    await _sign_in_to_give(page, "ben")
    await _tip(page, 25, "For the oven")
    await page.wait_for(f"{LINES}.some((line) => line.includes('ben tipped 25 coins: For the oven'))")
    await page.wait_for(f"{BALANCE} === '75'")
    await _tap(page, "Castle")
    await page.wait_for(f"{TITLE} === 'Get coins'")
    reason = await page.evaluate("document.querySelector('.gift-reason').textContent")
    assert reason == "Not enough coins: Castle costs 10,000 coins, and you have 75."
    await _buy_first_package(room, page, chromium)
    await page.wait_for(f"{TITLE} === 'Send a gift' && Number({BALANCE}.replace(',', '')) > 75")
    assert page.problems == []


async def test_whoever_is_signed_out_meanwhile_is_asked_again(room: Room, chromium: Chromium) -> None:
    page = await _watch(room, chromium)
    await _sign_in_to_give(page, "mia")
    await page.call("Network.clearBrowserCookies")
    await _tap(page, "Rose")
    await page.wait_for(f"{TITLE} === 'Sign in' && {NOTE}.includes('session has ended')")


async def test_a_lost_connection_pays_once(room: Room, chromium: Chromium) -> None:
    page = await _watch(room, chromium)
    await _sign_in_to_give(page, "oli")
    await page.wait_for(f"{BALANCE} === '100'")
    await page.evaluate(LOSE_FIRST_ANSWER)
    await _tap(page, "Rose")
    await page.wait_for("keys.length === 2")
    await page.wait_for(f"{BALANCE} === '90'")
    assert await page.evaluate("keys[0] === keys[1]")
    # The chat hears of it by itself.
    await page.wait_for(f"{LINES}.length === 1 && {LINES}[0].includes('oli gave 1 \u00d7 Rose (10 coins)')")


async def test_tray_fits_and_nothing_moves_for_those_who_want_that(room: Room, chromium: Chromium) -> None:
    page = await _watch(room, chromium)
    await page.prefer(**REDUCED)
    await _sign_in_to_give(page, "eli")
    for width, height in ((1280, 800), (390, 844), (320, 568)):
        await page.resize(width, height, is_phone=width < 600)
        assert await page.evaluate(OVERFLOW) <= 0
        inside = f"(box) => box.left >= 0 && box.right <= {width}"
        boxes = "[...document.querySelectorAll('.gift-tile, .gift-tip, .gift-wallet, #gift, .board')]"
        assert await page.evaluate(f"{boxes}.map((one) => one.getBoundingClientRect()).every({inside})")
    await _tip(page, 1, "W" * 200)
    await page.wait_for(f"{LINES}.length === 1")
    assert await page.evaluate(f"{BANNERS}.length + {FLYING}") == 0
    assert await page.evaluate(OVERFLOW) <= 0


WATCH_STAGE: Final = """(() => {
    // Banners, particles and combos go after seconds: longer than a slow machine takes to look at two pages.
    const shown = { banners: [], combos: [], flew: false };
    const texts = (selector) => [...document.querySelectorAll(selector)].map((one) => one.innerText);
    const look = () => {
        shown.banners.push(...texts('.gift-banner'));
        shown.combos.push(...texts('.gift-combo'));
        shown.flew ||= document.querySelector('.gift-particle') !== null;
    };
    const everything = { subtree: true, childList: true, characterData: true };
    new MutationObserver(look).observe(document.body, everything);
    window.shown = shown;
})()"""
LOSE_FIRST_ANSWER: Final = """(() => {
    const real = window.fetch;
    window.keys = [];
    window.fetch = async (address, options) => {
        const answer = await real(address, options);
        if (!String(address).endsWith('/gifts')) return answer;
        keys.push(options.headers['Idempotency-Key']);
        if (keys.length === 1) throw new TypeError('lost');
        return answer;
    };
})()"""


def _register(server: ServerProcess, name: str) -> str:
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD, "acceptTerms": True}
    return str(_post(server, "/auth/register", body)["user"]["id"])


def _post(server: ServerProcess, path: str, body: dict[str, object], token: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Idempotency-Key": path}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    url = f"{server.base_url}/api/v1{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return dict(json.load(response)["data"])


async def _watch(room: Room, chromium: Chromium, *, as_somebody_else: bool = False) -> Page:
    page = await chromium.open(as_somebody_else=as_somebody_else)
    await page.resize(1280, 800)
    await page.go(room.watch_url)
    await page.wait_for(f"{IS_CONNECTED} && {GIFT_OFFERED}")
    return page


async def _sign_in_to_give(page: Page, name: str) -> None:
    """By the button for gifts, as somebody who has not signed in."""
    await page.click("gift")
    await page.wait_for(f"{TITLE} === 'Sign in'")
    await _submit(page, "#chat-sheet-body form", {"username": name, "password": PASSWORD})
    await page.wait_for("document.querySelectorAll('.gift-tile').length === 12")
    await page.wait_for(IS_CONNECTED)


async def _tap(page: Page, gift: str) -> None:
    tiles = "[...document.querySelectorAll('.gift-tile')]"
    await page.evaluate(f"{tiles}.find((tile) => tile.textContent.includes('{gift}')).click()")


async def _tip(page: Page, coins: int, message: str) -> None:
    await _submit(page, ".gift-tip", {"coins": str(coins), "message": message})


async def _submit(page: Page, form: str, values: dict[str, str]) -> None:
    await page.evaluate(
        f"""(() => {{
            const form = document.querySelector('{form}');
            for (const [name, value] of Object.entries({json.dumps(values)})) {{
                form.elements[name].value = value;
            }}
            form.requestSubmit();
        }})()"""
    )


async def _buy_first_package(room: Room, page: Page, chromium: Chromium) -> None:
    """Pay at the test checkout, and come back. The server does not know which port it was given."""
    await page.wait_for("document.querySelector('.gift-package') !== null")
    await page.evaluate("document.querySelector('.gift-package').id = 'package'")
    await page.click("package")
    await page.wait_for(
        "document.querySelector('.gift-waiting')?.textContent.startsWith('Pay in the other tab')"
    )
    address = await page.wait_for("document.querySelector('.gift-checkout')?.href")
    checkout = await chromium.open(room.server.base_url + urlsplit(address).path)
    await checkout.evaluate("document.querySelector('.pay').click()")
    await checkout.wait_for("document.querySelector('.pay') === null")
    await page.call("Page.bringToFront")
