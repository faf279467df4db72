"""The shop, in Chromium: codes that make coins cheaper or give some, and what is said after the checkout."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.e2e.conftest import publishing_pattern
from tests.e2e.money import TEST_PAYMENTS, Api, checkout, press, problems, sign_in_by, submit
from tests.e2e.watching import Room
from tests.helpers.chromium import Chromium, Page
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CODES: Final[tuple[dict[str, object], ...]] = (
    {"code": "SPRING-25", "kind": "percentage", "percent": 25, "usesPerUser": None},
    {"code": "FIFTY-MORE", "kind": "bonus_coins", "coins": 50},
    {"code": "WELCOME-7", "kind": "reward", "coins": 7},
)
NOTE: Final = "document.querySelector('.gift-code-note').textContent"
PACKAGES: Final = "[...document.querySelectorAll('.gift-package')].map((one) => one.innerText).join(' ')"
BALANCE: Final = "Number((document.querySelector('.gift-balance')?.textContent ?? '0').replace(',', ''))"
RETURNED: Final = "document.getElementById('returned-text').textContent"
IS_CONNECTED: Final = "document.getElementById('side-panel').dataset.state === 'open'"


@dataclass(frozen=True, slots=True)
class Shop:
    """Beside a live room."""

    room: Room
    api: Api


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("shop") / "data", settings=TEST_PAYMENTS) as server:
        api = Api(server)
        token = api.administrator("root_user")
        for code in CODES:
            api.call("POST", "/admin/discounts", code, token)
        yield server


@pytest.fixture
async def shop(server: ServerProcess, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    """Beside a live room of the test's own."""
    room = Room(server, *server.create_room(request.node.name))
    async with publishing_pattern(room):
        yield Shop(room, Api(server))


async def test_a_discount_is_seen_before_it_is_paid(shop: Shop, chromium: Chromium) -> None:
    page = await _open(shop, chromium, "mia")
    await submit(page, ".gift-code", {"code": "no-such-code"})
    await page.wait_for(f"{NOTE} === 'There is no such code.'")
    assert await page.evaluate("document.activeElement.getAttribute('aria-invalid')") == "true"
    await submit(page, ".gift-code", {"code": "spring-25"})
    await page.wait_for(f"{NOTE} === 'SPRING-25: 25 % off.' && {PACKAGES}.includes('$0.96')")
    await press(page, ".gift-package", "$0.96")
    tab = await checkout(shop.room.server, chromium, page)
    await tab.wait_for(f"{RETURNED} === 'Your 100 coins are here. You have 100 coins now.'")
    assert await tab.evaluate("location.search") == ""
    await page.call("Page.bringToFront")
    await page.wait_for(f"{BALANCE} === 100")
    mine = shop.api.call_list("/purchases", shop.api.sign_in("mia"))
    assert [(one["amount"], one["coins"], one["state"]) for one in mine] == [(96, 100, "paid")]
    assert [one for one in problems(page) if "/discounts/validate" not in one] == []


async def test_coins_by_codes(shop: Shop, chromium: Chromium) -> None:
    page = await _open(shop, chromium, "ben")
    await submit(page, ".gift-code", {"code": "WELCOME-7"})
    await page.wait_for(f"{NOTE} === '7 coins from the code are yours. You have 7 coins now.'")
    await submit(page, ".gift-code", {"code": "WELCOME-7"})
    await page.wait_for(f"{NOTE} === 'You have used this code already.'")
    await submit(page, ".gift-code", {"code": "fifty-more"})
    await page.wait_for(f"{PACKAGES}.includes('150 coins') && {PACKAGES}.includes('+50')")
    await press(page, ".gift-code button", "Remove")
    await page.wait_for(f"!{PACKAGES}.includes('150 coins')")


async def test_a_purchase_that_is_broken_off(shop: Shop, chromium: Chromium) -> None:
    page = await _open(shop, chromium, "oli")
    await press(page, ".gift-package", "100 coins")
    tab = await checkout(shop.room.server, chromium, page, "form button:not(.pay)")
    await tab.wait_for(f"{RETURNED} === 'You broke the purchase off. Nothing was paid.'")
    await page.wait_for("document.querySelector('.gift-reason')?.textContent.startsWith('You broke')")
    await page.wait_for("document.querySelector('.gift-package') !== null")


async def test_whoever_is_not_signed_in_is_told_so(server: ServerProcess, chromium: Chromium) -> None:
    page = await chromium.open(f"{server.base_url}/?purchase=done", as_somebody_else=True)
    await page.wait_for(f"{RETURNED}.startsWith('Thank you. Sign in')")
    await page.click("returned-close")
    await page.wait_for("!document.getElementById('returned').checkVisibility()")


async def _open(shop: Shop, chromium: Chromium, name: str) -> Page:
    """The shop of a new user without coins."""
    shop.api.register(name)
    page = await chromium.open()
    await page.resize(1280, 800)
    await page.go(shop.room.watch_url)
    await page.wait_for(f"{IS_CONNECTED} && document.getElementById('gift').checkVisibility()")
    await page.click("gift")
    await sign_in_by(page, "chat-sheet", name)
    await page.wait_for("document.querySelector('.gift-buy') !== null")
    await page.evaluate("document.querySelector('.gift-buy').click()")
    await page.wait_for("document.querySelector('.gift-code') !== null")
    await page.wait_for(IS_CONNECTED)
    return page
