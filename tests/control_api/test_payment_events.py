"""What a provider says: only what it signed, about now, each thing once."""

import asyncio
import json
import time

import pytest

from control_api.errors import ApiError
from control_api.payments.demo_events import DemoEvents
from control_api.payments.events import PaymentEvents
from control_api.payments.ports import TooEarly
from control_api.payments.signatures import SignedEvents, signature_of
from control_api.rate_limits import RateLimitOptions
from control_api.routes.payment_webhooks import PaymentWebhookRoutes
from control_api.routing import Limit
from tests.control_api.purchases_world import CHEST_COINS, purchases_world
from tests.control_api.serving import serve
from tests.helpers.stripe_stand_in import WEBHOOK_SECRET, StripeStandIn

NOW = 1_800_000_000.0
STRIPE = StripeStandIn()


@pytest.fixture
async def world(database, aiohttp_client):
    async with purchases_world(database, aiohttp_client) as world:
        yield world


@pytest.fixture
def signed():
    return SignedEvents(WEBHOOK_SECRET, lambda: NOW)


class Handler:
    def __init__(self, failure=None):
        self.failure, self.seen = failure, []

    async def __call__(self, transaction, event):
        self.seen.append(event.id)
        if self.failure is not None:
            raise self.failure


def an_event(**fields):
    event = {"id": "evt_1", "type": "x.y", "created": int(NOW), "data": {"object": {"id": "x"}}}
    return json.dumps(event | fields).encode()


def code_of(signed, body, signature):
    with pytest.raises(ApiError) as refused:
        signed.event_of(body, signature)
    assert refused.value.status == 400
    return refused.value.code


def test_what_is_signed_about_now_is_taken(signed):
    body = an_event()
    for age in (0, 299, -299):
        event = signed.event_of(body, STRIPE.signature(body, NOW - age))
        assert (event.id, event.type, event.data) == ("evt_1", "x.y", {"id": "x"})
        assert event.created_at.timestamp() == NOW


def test_the_stand_in_and_the_test_provider_sign_alike():
    body = an_event()
    assert signature_of(WEBHOOK_SECRET, body, NOW) == STRIPE.signature(body, NOW)


def test_one_of_several_signatures_is_enough(signed):
    """Stripe signs with both secrets while one is being replaced."""
    body = an_event()
    old = STRIPE.signature(body, NOW, "another").partition(",")[2]
    assert signed.event_of(body, f"{STRIPE.signature(body, NOW)},{old},v0=00").id == "evt_1"


@pytest.mark.parametrize("age", [301, 86_400, -301, -86_400])
def test_stale_ones_and_those_from_the_future_are_refused(signed, age):
    body = an_event()
    assert code_of(signed, body, STRIPE.signature(body, NOW - age)) == "signature_stale"


def test_an_event_that_has_not_happened_yet_is_refused(signed):
    body = an_event(created=int(NOW) + 301)
    assert code_of(signed, body, STRIPE.signature(body, NOW)) == "signature_stale"


def test_an_event_of_three_days_ago_is_taken_when_it_is_sent_now(signed):
    body = an_event(created=int(NOW) - 3 * 86_400)
    assert signed.event_of(body, STRIPE.signature(body, NOW)).id == "evt_1"


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "x",
        "t=,v1=",
        "t=1",
        "v1=00",
        f"t={int(NOW)}",
        f"t={int(NOW)},v1=",
        f"t={int(NOW)},v1={'0' * 64}",
        f"t={int(NOW)},v0={'0' * 64}",
        f"t={int(NOW)},v1=\u00e9",
        f"t=\u0661,v1={'0' * 64}",
        f"t={'9' * 5000},v1=00",
        f"t=-1,v1={'0' * 64}",
        ",,,===",
    ],
)
def test_forgeries_are_refused(signed, signature):
    assert code_of(signed, an_event(), signature) == "signature_invalid"


def test_what_was_signed_with_another_secret_or_changed_since_is_refused(signed):
    body = an_event()
    assert code_of(signed, body, STRIPE.signature(body, NOW, "another")) == "signature_invalid"
    assert code_of(signed, body + b" ", STRIPE.signature(body, NOW)) == "signature_invalid"
    later = STRIPE.signature(body, NOW - 1).replace(f"t={int(NOW) - 1}", f"t={int(NOW)}")
    assert code_of(signed, body, later) == "signature_invalid"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        an_event(id=""),
        an_event(id="x" * 256),
        an_event(id=5),
        an_event(id="evt\u0000"),
        an_event(type=None),
        an_event(created=-1),
        an_event(created=10**30),
        an_event(created="now"),
        an_event(data={}),
        an_event(data={"object": []}),
    ],
)
def test_what_is_no_event_is_refused(signed, body):
    assert code_of(signed, body, STRIPE.signature(body, NOW)) in (
        "signature_invalid",
        "malformed_json",
        "invalid_request",
        "signature_stale",
    )


async def test_events_are_heeded_once(database):
    handler = Handler()
    events = PaymentEvents(database, SignedEvents(WEBHOOK_SECRET), {"x.y": handler})
    body = an_event(created=int(time.time()))
    assert await events.receive(body, STRIPE.signature(body)) is True
    assert await events.receive(body, STRIPE.signature(body)) is False
    assert handler.seen == ["evt_1"]


async def test_events_are_heeded_once_that_come_at_the_same_moment(database):
    handler = Handler()
    events = PaymentEvents(database, SignedEvents(WEBHOOK_SECRET), {"x.y": handler})
    body = an_event(created=int(time.time()))
    new = await asyncio.gather(*(events.receive(body, STRIPE.signature(body)) for _ in range(5)))
    assert sorted(new) == [False] * 4 + [True]
    assert handler.seen == ["evt_1"]


async def test_all_who_ask_for_a_type_hear_of_it(database):
    first, second = Handler(), Handler()
    events = PaymentEvents(database, SignedEvents(WEBHOOK_SECRET), {"x.y": first})
    events.add({"x.y": second, "z": second})
    body = an_event(created=int(time.time()))
    await events.receive(body, STRIPE.signature(body))
    assert first.seen == second.seen == ["evt_1"]


async def test_what_comes_too_early_is_to_be_sent_again(database):
    handler = Handler(TooEarly())
    events = PaymentEvents(database, SignedEvents(WEBHOOK_SECRET), {"x.y": handler})
    body = an_event(created=int(time.time()))
    with pytest.raises(ApiError) as refused:
        await events.receive(body, STRIPE.signature(body))
    assert (refused.value.status, refused.value.code) == (409, "too_early")
    handler.failure = None
    assert await events.receive(body, STRIPE.signature(body)) is True


async def test_what_failed_is_heeded_when_it_comes_again(database):
    handler = Handler(RuntimeError("for a test"))
    events = PaymentEvents(database, SignedEvents(WEBHOOK_SECRET), {"x.y": handler})
    body = an_event(created=int(time.time()))
    with pytest.raises(RuntimeError):
        await events.receive(body, STRIPE.signature(body))
    handler.failure = None
    assert await events.receive(body, STRIPE.signature(body)) is True


async def test_events_of_the_test_provider_go_the_same_way(database):
    handler = Handler()
    events = PaymentEvents(database, SignedEvents("secret"), {"x.y": handler})
    await DemoEvents(events, "secret").send("x.y", {"id": "x"})
    assert len(handler.seen) == 1
    with pytest.raises(ApiError, match="signature"):
        await DemoEvents(events, "another").send("x.y", {"id": "x"})


async def test_unknown_types_are_kept_and_left_alone(world):
    assert await world.tell("radar.early_fraud_warning.created", {"id": "issfr_1"}) == 200
    assert await world.database.fetch_value("SELECT kind FROM payment_events") == (
        "radar.early_fraud_warning.created"
    )


async def test_forgeries_are_refused_over_http_and_leave_nothing(world):
    order = await world.bought()
    body = world.stripe.event("checkout.session.completed", order.page())
    assert await world.posted(body, "") == (400, "signature_invalid")
    assert await world.posted(body, world.stripe.signature(body, secret="guessed")) == (
        400,
        "signature_invalid",
    )
    stale = world.stripe.signature(body, time.time() - 400)
    assert await world.posted(body, stale) == (400, "signature_stale")
    future = world.stripe.signature(body, time.time() + 400)
    assert await world.posted(body, future) == (400, "signature_stale")
    assert await world.coins() == 0
    assert await world.database.fetch_value("SELECT count(*) FROM payment_events") == 0


async def test_the_same_event_many_times_at_once_credits_once(world):
    order = await world.bought()
    body = world.stripe.event("checkout.session.completed", order.page())
    answers = await asyncio.gather(*(world.post(body, world.stripe.signature(body)) for _ in range(8)))
    assert set(answers) == {200}
    assert await world.coins() == CHEST_COINS
    assert await world.money.is_right()


async def test_a_body_that_is_too_long_is_refused(world):
    body = world.stripe.event("x", {"x": "x" * 2_000_000})
    assert (await world.posted(body, world.stripe.signature(body)))[0] == 413


def test_a_provider_may_tell_of_much():
    """Thousands of payments a minute come from a few addresses."""
    limits = RateLimitOptions()
    provider, general = limits.of(Limit.PROVIDER), limits.of(Limit.GENERAL)
    assert provider.requests / provider.window_seconds > 100 * general.requests / general.window_seconds


async def test_without_a_provider_nothing_is_heard(database, aiohttp_client):
    api = await serve(PaymentWebhookRoutes(None), database, aiohttp_client)
    status, answer, _ = await api.call("POST", "/webhooks/stripe", json={})
    assert (status, answer["code"]) == (503, "payments_not_configured")
    assert "stripe.secret_key" in answer["error"]


async def test_a_body_of_another_type_is_refused(world):
    status, _, _ = await world.api.call("POST", "/webhooks/stripe", data=b"x=y")
    assert status == 415
