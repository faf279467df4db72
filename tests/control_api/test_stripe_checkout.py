"""Stripe's client against a stand-in that is slow, broken or says no."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from control_api.errors import ApiError
from control_api.payments.ports import CheckoutOrder
from control_api.payments.return_addresses import ReturnAddresses
from control_api.payments.stripe_checkout import StripeCheckout
from control_api.payments.stripe_client import StripeApi, StripeOptions
from storage.ids import new_id
from tests.helpers.stripe_stand_in import SECRET_KEY, WEBHOOK_SECRET, StripeRefusal, StripeStandIn

SESSIONS = "/v1/checkout/sessions"


@pytest.fixture
async def stripe():
    async with StripeStandIn() as stripe:
        yield stripe


@pytest.fixture
async def checkout(stripe):
    async with StripeApi(StripeOptions(SECRET_KEY, WEBHOOK_SECRET, stripe.url, 0.2)) as api:
        yield StripeCheckout(api, WEBHOOK_SECRET, ReturnAddresses("https://live.example"))


def an_order(email="bob@example.com"):
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    return CheckoutOrder(new_id(), "Chest: 1000 coins", 1099, "usd", email, expires_at)


async def refusal(checkout, order=None):
    with pytest.raises(ApiError) as refused:
        await checkout.open_checkout(order or an_order())
    return int(refused.value.status), refused.value.code


async def test_the_same_order_opens_one_page(stripe, checkout):
    order = an_order()
    assert await checkout.open_checkout(order) == await checkout.open_checkout(order)


@pytest.mark.parametrize(
    ("email", "is_told"), [("bob@example.com", True), ("admin@localhost", False), ("", False)]
)
async def test_stripe_gets_addresses_that_it_takes(stripe, checkout, email, is_told):
    await checkout.open_checkout(an_order(email))
    assert ("customer_email" in stripe.requests[0].form) is is_told


async def test_a_stripe_that_hangs_is_unavailable(stripe, checkout):
    async def hang(_):
        await asyncio.Event().wait()

    stripe.register(SESSIONS, hang)
    assert await refusal(checkout) == (503, "unavailable")


@pytest.mark.parametrize("answer", [{}, {"id": "cs_1"}, {"id": "cs_1", "url": None}, {"url": 5, "id": 7}])
async def test_a_page_without_an_address_is_none(stripe, checkout, answer):
    async def say(_):
        return answer

    stripe.register(SESSIONS, say)
    assert await refusal(checkout) == (503, "unavailable")


async def test_words_of_something_else_are_refused(aiohttp_server):
    async def page(_):
        return web.Response(text="<html>It works!</html>", content_type="text/html")

    app = web.Application()
    app.router.add_post(SESSIONS, page)
    server = await aiohttp_server(app)
    async with StripeApi(StripeOptions(SECRET_KEY, WEBHOOK_SECRET, str(server.make_url("")), 1)) as api:
        checkout = StripeCheckout(api, WEBHOOK_SECRET, ReturnAddresses(""))
        assert await refusal(checkout) == (502, "payment_provider_refused")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (401, "invalid_request_error"), (402, "card_error"), (403, "x")],
)
async def test_what_stripe_refuses_is_told_without_its_words(stripe, checkout, status, kind):
    async def refuse(_):
        raise StripeRefusal(status, kind)

    stripe.register(SESSIONS, refuse)
    with pytest.raises(ApiError) as refused:
        await checkout.open_checkout(an_order())
    assert (refused.value.status, refused.value.code) == (502, "payment_provider_refused")
    assert "stand-in" not in refused.value.message


async def test_keys_stay_out_of_the_log(stripe, checkout, capsys):
    stripe.failures = [401]
    await refusal(checkout)
    assert SECRET_KEY not in "".join(capsys.readouterr())
