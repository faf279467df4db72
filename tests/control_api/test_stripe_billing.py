"""Subscriptions through the real ``stripe`` package, at a stand-in for its API and with signed webhooks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from control_api.errors import ApiError
from control_api.payments.billing_ports import SubscriptionOrder
from control_api.payments.events import PaymentEvents
from control_api.payments.return_addresses import ReturnAddresses
from control_api.payments.signatures import SignedEvents
from control_api.payments.stripe_billing import StripeBilling
from control_api.payments.stripe_client import StripeApi, StripeOptions
from control_api.services.money import MoneyOptions
from control_api.services.plans import PlanOffer, PlansService
from control_api.services.subscription_upkeep import SubscriptionUpkeep
from control_api.services.subscriptions import Subscribing, SubscriptionsService
from storage.database import Database
from storage.repositories import User, Users, UserState
from storage.repositories.ledger import Ledger
from storage.repositories.plans import Interval, Plan
from storage.repositories.subscriptions import Checkout, Subscription
from tests.helpers.stripe_billing_stand_in import BillingStandIn
from tests.helpers.stripe_stand_in import SECRET_KEY, WEBHOOK_SECRET, StripeStandIn


@dataclass
class World:
    """alice has a plan, bob wants it."""

    database: Database
    stripe: StripeStandIn
    billing: BillingStandIn
    events: PaymentEvents
    provider: StripeBilling
    plans: PlansService
    service: SubscriptionsService
    alice: User
    bob: User
    plan: Plan

    async def tell(self, kind: str, data: Mapping[str, Any]) -> None:
        body = self.stripe.event(kind, data)
        await self.events.receive(body, self.stripe.signature(body))

    async def subscribe(self) -> tuple[Subscription, dict[str, Any]]:
        """And what Stripe has of it, once it is paid."""
        made = await self.service.subscribe(self.bob.id, self.plan.id, Interval.MONTH)
        checkout = made.subscription.checkout
        assert checkout is not None
        billed = self.billing.pay(checkout.ref)
        await self.tell("customer.subscription.created", billed)
        return await self.find(made.subscription.id), billed

    async def find(self, subscription_id: UUID) -> Subscription:
        return await self.service.find(self.bob.id, subscription_id)


@asynccontextmanager
async def stripe_world(database: Database) -> AsyncIterator[World]:
    async with (
        StripeStandIn() as stripe,
        StripeApi(StripeOptions(SECRET_KEY, WEBHOOK_SECRET, stripe.url)) as api,
    ):
        options = MoneyOptions()
        provider = StripeBilling(api, ReturnAddresses("https://video.example", "subscription"))
        service = SubscriptionsService(database, provider, options)
        events = PaymentEvents(database, SignedEvents(WEBHOOK_SECRET), service.handlers())
        alice = await Users(database).add("alice", "alice@example.com", "hash")
        bob = await Users(database).add("bob", "bob@example.com", "hash")
        await Users(database).set_creator(alice.id, True)
        plans = PlansService(database, options)
        plan = await plans.create(alice.id, PlanOffer("Regular", "", 500, 5000))
        billing = BillingStandIn(stripe)
        yield World(database, stripe, billing, events, provider, plans, service, alice, bob, plan)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with stripe_world(database) as world:
        yield world


async def test_what_stripe_is_asked(world: World):
    made = await world.service.subscribe(world.bob.id, world.plan.id, Interval.YEAR)
    price, session = world.stripe.requests
    assert price.form["unit_amount"] == "5000"
    assert (price.form["currency"], price.form["recurring[interval]"]) == ("usd", "year")
    assert price.form["product_data[name]"] == "Regular"
    assert session.form["mode"] == "subscription"
    assert session.form["subscription_data[metadata][subscription_id]"] == str(made.subscription.id)
    assert session.form["customer_email"] == "bob@example.com"
    assert session.form["success_url"] == "https://video.example/?subscription=done"
    assert session.key == f"subscription-{made.subscription.id}"
    assert made.checkout_url.startswith("https://checkout.stripe.com/")


async def test_a_price_is_told_once(world: World):
    await world.subscribe()
    carol = await Users(world.database).add("carol", "carol@example.com", "hash")
    await world.service.subscribe(carol.id, world.plan.id, Interval.MONTH)
    assert len(world.billing.prices) == 1


async def test_the_whole_life_of_a_subscription(world: World):
    known, billed = await world.subscribe()
    assert (known.state.value, known.standing.gives_access) == ("active", True)
    details = {"subscription": billed["id"], "metadata": billed["metadata"]}
    invoice = {
        "id": "in_1",
        "object": "invoice",
        "currency": "usd",
        "amount_paid": 500,
        "billing_reason": "subscription_create",
        "parent": {"type": "subscription_details", "subscription_details": details},
    }
    await world.tell("invoice.paid", invoice)
    [earned] = await Ledger(world.database).holdings(world.alice.id)
    assert earned.balance == 350

    await world.service.cancel(world.bob.id, known.id)
    assert billed["cancel_at_period_end"] is True
    assert (await world.find(known.id)).state.value == "active", "only events say what became of it"
    await world.tell("customer.subscription.updated", billed)
    assert (await world.find(known.id)).state.value == "canceled"
    await world.service.resume(world.bob.id, known.id)
    await world.tell("customer.subscription.updated", billed)
    assert (await world.find(known.id)).state.value == "active"

    await world.service.change(world.bob.id, known.id, None, Interval.YEAR)
    await world.tell("customer.subscription.updated", billed)
    assert (await world.find(known.id)).amount == 5000
    await world.tell("customer.subscription.deleted", {**billed, "status": "canceled"})
    assert (await world.find(known.id)).state.value == "ended"


async def test_a_page_that_is_not_wanted_any_more_is_closed(world: World):
    first = await world.service.subscribe(world.bob.id, world.plan.id, Interval.MONTH)
    second = await world.service.subscribe(world.bob.id, world.plan.id, Interval.YEAR)
    assert [each["status"] for each in world.billing.sessions.values()] == ["expired", "open"]
    assert (await world.find(first.subscription.id)).state.value == "ended"
    await world.service.cancel(world.bob.id, second.subscription.id)
    assert [each["status"] for each in world.billing.sessions.values()] == ["expired", "expired"]


async def test_what_is_being_paid_is_not_given_up(world: World):
    made = await world.service.subscribe(world.bob.id, world.plan.id, Interval.MONTH)
    assert made.subscription.checkout is not None
    world.billing.pay(made.subscription.checkout.ref)
    for again in (
        world.service.subscribe(world.bob.id, world.plan.id, Interval.YEAR),
        world.service.cancel(world.bob.id, made.subscription.id),
    ):
        with pytest.raises(ApiError) as raised:
            await again
        assert raised.value.code == "subscription_pending"
    assert (await world.find(made.subscription.id)).state.value == "incomplete"


async def test_stripe_away_and_back(world: World):
    """What was half done when it went away is done when the user asks again, once."""
    world.stripe.failures += [503] * 3
    with pytest.raises(ApiError) as raised:
        await world.service.subscribe(world.bob.id, world.plan.id, Interval.MONTH)
    assert raised.value.status == 503
    first = await world.service.subscribe(world.bob.id, world.plan.id, Interval.MONTH)
    again = await world.service.subscribe(world.bob.id, world.plan.id, Interval.MONTH)
    assert first.checkout_url == again.checkout_url
    assert len(world.billing.sessions) == 1


async def test_a_subscription_that_stripe_does_not_know(world: World):
    known, billed = await world.subscribe()
    del world.billing.subscriptions[billed["id"]]
    with pytest.raises(ApiError) as raised:
        await world.service.cancel(world.bob.id, known.id)
    assert (raised.value.status, raised.value.code) == (502, "payment_provider_refused")


async def test_nobody_pays_for_an_account_that_was_deleted(world: World):
    _, billed = await world.subscribe()
    upkeep = SubscriptionUpkeep(world.database, world.provider)
    await upkeep.sweep()
    assert billed["status"] == "active"
    await Users(world.database).set_state(world.alice.id, UserState.DELETED)
    await upkeep.sweep()
    assert billed["status"] == "canceled"
    await upkeep.sweep()


async def test_nothing_is_paid_anew_to_a_creator_who_was_banned(world: World):
    known, billed = await world.subscribe()
    await Users(world.database).set_state(world.alice.id, UserState.BANNED)
    await SubscriptionUpkeep(world.database, world.provider).sweep()
    assert (billed["status"], billed["cancel_at_period_end"]) == ("active", True)
    await world.tell("customer.subscription.updated", billed)
    asked = len(world.stripe.requests)
    await SubscriptionUpkeep(world.database, world.provider).sweep()
    assert len(world.stripe.requests) == asked
    assert (await world.find(known.id)).standing.gives_access


async def test_a_page_of_somebody_who_is_gone_is_closed(world: World):
    made = await world.service.subscribe(world.bob.id, world.plan.id, Interval.MONTH)
    await Users(world.database).set_state(world.bob.id, UserState.DELETED)
    await SubscriptionUpkeep(world.database, world.provider).sweep()
    assert [each["status"] for each in world.billing.sessions.values()] == ["expired"]
    assert (await world.find(made.subscription.id)).state.value == "ended"


# Two requests at once, and what has ended here but not there


@dataclass
class SlowOpening:
    """A first request that waits inside ``open_checkout``, its page already open at Stripe."""

    request: asyncio.Task[Subscribing]
    go_on: asyncio.Event


async def slow_opening(world: World, monkeypatch: pytest.MonkeyPatch) -> SlowOpening:
    opened, go_on, real = asyncio.Event(), asyncio.Event(), world.provider.open_checkout

    async def open_slowly(order: SubscriptionOrder) -> Checkout:
        checkout = await real(order)
        opened.set()
        await go_on.wait()
        return checkout

    monkeypatch.setattr(world.provider, "open_checkout", open_slowly)
    request = asyncio.create_task(world.service.subscribe(world.bob.id, world.plan.id, Interval.MONTH))
    await opened.wait()
    monkeypatch.setattr(world.provider, "open_checkout", real)
    return SlowOpening(request, go_on)


async def code_of(awaitable: Awaitable[object]) -> str:
    with pytest.raises(ApiError) as raised:
        await awaitable
    return raised.value.code


async def grow_old(world: World) -> None:
    await world.database.execute("UPDATE subscriptions SET created_at = now() - interval '3 minutes'")


async def test_what_is_being_opened_is_not_given_up(world: World, monkeypatch: pytest.MonkeyPatch):
    slow = await slow_opening(world, monkeypatch)
    [known] = (await world.service.of_user(world.bob.id, None, 10)).items
    yearly = world.service.subscribe(world.bob.id, world.plan.id, Interval.YEAR)
    assert await code_of(yearly) == "subscription_pending"
    assert await code_of(world.service.cancel(world.bob.id, known.id)) == "subscription_pending"
    await Users(world.database).set_state(world.alice.id, UserState.BANNED)
    await SubscriptionUpkeep(world.database, world.provider).sweep()
    slow.go_on.set()
    made = await slow.request
    assert (made.subscription.id, made.subscription.state.value) == (known.id, "incomplete")


async def test_a_page_that_was_opened_for_what_has_ended_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    slow = await slow_opening(world, monkeypatch)
    await grow_old(world)
    second = await world.service.subscribe(world.bob.id, world.plan.id, Interval.YEAR)
    slow.go_on.set()
    assert await code_of(slow.request) == "subscription_pending"
    assert [each["status"] for each in world.billing.sessions.values()] == ["expired", "open"]
    assert second.subscription.state.value == "incomplete"


async def test_what_was_paid_after_its_end_here_is_ended_there(world: World, monkeypatch: pytest.MonkeyPatch):
    slow = await slow_opening(world, monkeypatch)
    billed = world.billing.pay(next(iter(world.billing.sessions)))
    await grow_old(world)
    await world.service.subscribe(world.bob.id, world.plan.id, Interval.YEAR)
    slow.go_on.set()
    assert await code_of(slow.request) == "subscription_pending"
    world.stripe.failures += [503] * 3
    told = dict(billed)
    assert await code_of(world.tell("customer.subscription.created", told)) == "unavailable"
    assert billed["status"] == "active"
    await world.tell("customer.subscription.created", told)
    assert billed["status"] == "canceled"


async def test_late_news_of_what_the_provider_has_ended_ask_it_nothing(world: World):
    _, billed = await world.subscribe()
    running = dict(billed)
    await world.tell("customer.subscription.deleted", {**billed, "status": "canceled"})
    asked = len(world.stripe.requests)
    await world.tell("customer.subscription.updated", running)
    assert len(world.stripe.requests) == asked
