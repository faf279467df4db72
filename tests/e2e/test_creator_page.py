"""The creator's page, in Chromium: who it is for, plans, what was earned, and payouts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.e2e.money import (
    OVERFLOW,
    PAGE_SHEET,
    TEST_PAYMENTS,
    Api,
    press,
    problems,
    sign_in_by,
    submit,
)
from tests.helpers.chromium import Chromium, Page
from tests.helpers.server_process import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STATE: Final = "document.getElementById('creator').dataset.state"
PLANS: Final = "document.getElementById('plans').innerText"
NOTE: Final = "document.getElementById('page-sheet-note').textContent"
TOTALS: Final = "document.getElementById('revenue-totals').innerText"
BARS: Final = "document.querySelectorAll('#chart .chart-bar').length"
ONBOARDING: Final = "document.getElementById('onboarding').dataset.state"
PAYOUT_NOTE: Final = "document.getElementById('minimum-note').textContent"
FORM: Final = "#page-sheet-body form"


@dataclass(frozen=True, slots=True)
class World:
    server: ServerProcess
    api: Api
    admin_token: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = {**TEST_PAYMENTS, "MEDIASERVER_MONEY__CREATOR_PERCENT": "70"}
    with ServerProcess(tmp_path_factory.mktemp("creator") / "data", settings=settings) as server:
        api = Api(server)
        yield World(server, api, api.administrator("root_user"))


async def test_plans_are_made_changed_and_retired(world: World, chromium: Chromium) -> None:
    world.api.creator("ada", world.admin_token)
    page = await _open(world, chromium, "ada")
    await page.wait_for("document.getElementById('plans-note').textContent.startsWith('No plans yet')")
    await press(page, "#plan-new", "New plan")
    await submit(page, FORM, {"name": "Friends", "monthly": "cheap"})
    await page.wait_for(f"{NOTE}.startsWith('A price is between $1.00')")
    await submit(page, FORM, {"monthly": ""})
    await page.wait_for(f"{NOTE}.startsWith('A plan needs a price')")
    await submit(page, FORM, {"monthly": "4,99", "description": "Bread every week."})
    await page.wait_for(f"{PLANS}.includes('Friends') && {PLANS}.includes('$4.99 a month')")
    await press(page, "#plans button", "Change")
    await submit(page, FORM, {"yearly": "50"})
    await page.wait_for(f"{PLANS}.includes('$4.99 a month · $50.00 a year')")
    await press(page, "#plans button", "Retire")
    await press(page, "#page-sheet button", "Retire the plan")
    await page.wait_for(f"{PLANS}.includes('Not offered')")
    await press(page, "#plans button", "Offer again")
    await page.wait_for(f"!{PLANS}.includes('Not offered')")
    await page.wait_for(f"{TOTALS}.includes('$0.00')")
    assert problems(page) == []


async def test_what_subscribers_pay_is_earned_and_paid_out(world: World, chromium: Chromium) -> None:
    token = world.api.creator("eve", world.admin_token)
    plan = world.api.call("POST", "/plans", {"name": "Friends", "monthlyPrice": 10_000}, token)["id"]
    _, subscriber = world.api.register("sam")
    made = world.api.call("POST", "/subscriptions", {"planId": plan}, subscriber)
    till = await chromium.open(world.server.base_url + urlsplit(made["checkoutUrl"]).path)
    await till.evaluate("document.querySelector('.pay').click()")
    await till.wait_for("document.querySelector('.pay') === null")
    page = await _open(world, chromium, "eve")
    await page.wait_for(f"{TOTALS}.includes('$70.00') && {BARS} === 1")
    assert await page.evaluate("document.getElementById('payout-now').disabled")
    await page.evaluate("window.open = () => null")
    await press(page, "#onboarding-go", "Set up where you are paid")
    await page.wait_for("document.title.startsWith('TEST: where to be paid')")
    await page.evaluate("document.querySelector('form button').click()")
    await page.wait_for("document.title === 'Thank you'")
    await page.go(f"{world.server.base_url}/creator")
    await page.wait_for(f"{ONBOARDING} === 'active'")
    await submit(page, "#payout-form", {"schedule": "weekly", "minimum": "1"})
    await page.wait_for(f"{PAYOUT_NOTE}.startsWith('An amount of $50.00 or more')")
    await submit(page, "#payout-form", {"schedule": "weekly", "minimum": "60.50"})
    await page.wait_for(f"{PAYOUT_NOTE} === 'Saved.'")
    await press(page, "#payout-now", "Pay out now")
    await page.wait_for(f"{PAYOUT_NOTE} === '$70.00 are on their way.'")
    await page.wait_for("document.querySelector('#payouts li')?.innerText.includes('$70.00')")
    table = "fetch(document.getElementById('statement-link').href).then((answer) => answer.text())"
    assert "70.00" in await page.evaluate(table)


async def test_who_is_no_creator_may_apply(world: World, chromium: Chromium) -> None:
    world.api.register("joe")
    page = await _open(world, chromium, "joe")
    assert not await page.evaluate("document.getElementById('plans-panel').checkVisibility()")
    await page.evaluate("document.getElementById('apply-text').value = 'Bread'")
    await submit(page, "#apply-form", {})
    await page.wait_for("document.getElementById('apply-note').textContent.startsWith('Thank you')")
    assert problems(page) == []


async def test_a_server_that_does_not_answer_is_said_and_asked_again(
    world: World, chromium: Chromium
) -> None:
    world.api.creator("kim", world.admin_token)
    page = await _open(world, chromium, "kim")
    await page.evaluate(
        "window.real = window.fetch; window.fetch = async () => { throw new TypeError('away'); }"
    )
    await page.evaluate("document.getElementById('period').dispatchEvent(new Event('change'))")
    await page.wait_for("document.getElementById('revenue-note').textContent.includes('cannot be reached')")
    await page.evaluate("window.fetch = window.real")
    await page.evaluate("document.getElementById('period').dispatchEvent(new Event('change'))")
    await page.wait_for("document.getElementById('revenue-note').textContent.startsWith('Nothing was')")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844), (320, 568)])
async def test_fits(world: World, chromium: Chromium, width: int, height: int) -> None:
    name = f"lou{width}"
    token = world.api.creator(name, world.admin_token)
    plan: dict[str, object] = {"name": "W" * 50, "monthlyPrice": 10_000_000, "yearlyPrice": 10_000_000}
    world.api.call("POST", "/plans", plan, token)
    page = await _open(world, chromium, name, width, height)
    await page.wait_for("document.querySelector('#chart svg') !== null")
    assert await page.evaluate(OVERFLOW) <= 0
    small = """[...document.querySelectorAll('main button, main select, main a')]
        .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 40)
        .map(({ id, textContent }) => id || textContent)"""
    assert await page.evaluate(small) == []
    await page.press("Tab")
    assert await page.evaluate("document.activeElement.tagName") != "BODY"


async def _open(world: World, chromium: Chromium, name: str, width: int = 1280, height: int = 800) -> Page:
    """The page, signed in by its welcome."""
    page = await chromium.open(as_somebody_else=True)
    await page.resize(width, height, is_phone=width < 600)
    await page.go(f"{world.server.base_url}/creator")
    await page.wait_for(f"{STATE} === 'signed-out'")
    await page.click("welcome-sign-in")
    await sign_in_by(page, PAGE_SHEET, name)
    await page.wait_for(f"{STATE} === 'ready'")
    return page
