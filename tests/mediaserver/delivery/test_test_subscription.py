"""The test page for subscriptions: it says that it is a test, and what it does, signed events say."""

from typing import Any

import pytest
from aiohttp import web

from control_api.payments.demo_billing import DemoSubscriptionTill
from control_api.payments.return_addresses import ReturnAddresses
from mediaserver.delivery.test_checkout import add_test_checkout
from storage.database import Database
from tests.control_api.subscriptions_world import SubscriptionsWorld, subscriptions_world


@pytest.fixture
async def world(database: Database, aiohttp_client: Any) -> SubscriptionsWorld:
    return await subscriptions_world(database, aiohttp_client)


@pytest.fixture
async def pages(world: SubscriptionsWorld, aiohttp_client: Any) -> Any:
    app = web.Application()
    till = DemoSubscriptionTill(world.billing.demo)
    add_test_checkout(app, till, ReturnAddresses("", "subscription"))
    return await aiohttp_client(app)


async def page_of(world: SubscriptionsWorld) -> str:
    _, made = await world.ask()
    address: str = made["checkoutUrl"].removeprefix("https://video.example")
    return address


async def test_the_page_says_what_is_paid_and_how_often(world: SubscriptionsWorld, pages: Any):
    async with pages.get(await page_of(world)) as answer:
        text = await answer.text()
    assert answer.status == 200
    assert "TEST: no money moves" in text
    assert "Regular, each month" in text and "USD 5.00" in text


async def test_paid_once_and_declined_not_at_all(world: SubscriptionsWorld, pages: Any):
    page = await page_of(world)
    async with pages.post(f"{page}/decline", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/?subscription=cancelled")
    assert await world.held("alice") == 0
    async with pages.post(f"{page}/pay", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/?subscription=done")
    async with pages.post(f"{page}/pay", allow_redirects=False) as answer:
        assert answer.status == 409
    assert await world.held("alice") == 350


@pytest.mark.parametrize("token", ["x", "a.b.c", "x" * 5000])
async def test_addresses_that_are_none(pages: Any, token: str):
    async with pages.get(f"/test-subscription/{token}") as answer:
        assert answer.status == 404
    async with pages.post(f"/test-subscription/{token}/pay") as answer:
        assert answer.status == 404
