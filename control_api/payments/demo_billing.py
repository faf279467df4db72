"""TEST: subscriptions for which no money moves, for servers without Stripe that are not for real.

What they are, the database says; what becomes of them is told by signed events, as Stripe tells it. A test
month has 30 days.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from control_api.errors import ApiError, conflict
from control_api.payments.billing_ports import SUBSCRIPTION_ID, SubscriptionOrder
from control_api.payments.demo_checkout import DemoOrder, order_in, token_of
from control_api.payments.demo_events import DemoEvents
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.repositories.plans import Interval, Plans, Price
from storage.repositories.subscriptions import (
    Checkout,
    Standing,
    Subscription,
    Subscriptions,
    SubscriptionState,
)

logger = structlog.get_logger("mediaserver.money")

AUDIENCE: Final = "test-subscription"
PATH: Final = "/test-subscription"
PAGE_LIFETIME: Final = timedelta(days=1)
PERIODS: Final = {Interval.MONTH: timedelta(days=30), Interval.YEAR: timedelta(days=365)}
PAUSE_SECONDS: Final = 60.0
BATCH: Final = 100


class DemoBilling:
    """TEST. Implements BillingProvider. ``secret`` is made by ``demo_secret``, pages are at ``base_url``."""

    scope: Final = "test"

    def __init__(self, secret: str, base_url: str, database: Database, events: DemoEvents) -> None:
        self._secret = secret
        self._base_url = base_url
        self._subscriptions = Subscriptions(database)
        self._plans = Plans(database)
        self._events = events

    async def price_ref(self, price: Price) -> str:
        return f"price_test_{price.id.hex}"

    async def open_checkout(self, order: SubscriptionOrder) -> Checkout:
        expires_at, session = datetime.now(UTC) + PAGE_LIFETIME, f"cs_test_{order.subscription_id.hex}"
        price = order.price
        description = f"{price.plan_name}, each {price.interval.value}"
        page = DemoOrder(order.subscription_id, session, description, price.amount, price.currency)
        token = token_of(page, self._secret, AUDIENCE, expires_at)
        return Checkout(session, f"{self._base_url}{PATH}/{token}", expires_at)

    async def close_checkout(self, checkout_ref: str) -> bool:
        known = await self._of_checkout(checkout_ref)
        if known is None or known.state is not SubscriptionState.INCOMPLETE:
            return False
        page = _page(checkout_ref, "unpaid")
        await self._events.send("checkout.session.expired", page)
        return True

    async def change_price(self, subscription_ref: str, price: Price, price_ref: str) -> None:
        known = await self._find(subscription_ref)
        await self._change(known, replace(known.standing, price_id=price.id))

    async def cancel_at_period_end(self, subscription_ref: str, cancels: bool) -> None:
        known = await self._find(subscription_ref)
        await self._change(known, replace(known.standing, cancels_at_end=cancels))

    async def end_now(self, subscription_ref: str) -> None:
        if await self._subscriptions.id_of(self.scope, subscription_ref) is None:
            # It was never begun here, and nothing runs that is not known here.
            return
        known = await self._find(subscription_ref)
        ended = _billed(known, known.standing, "canceled")
        await self._events.send("customer.subscription.deleted", ended)

    # What happens by itself at a real provider

    def order_of(self, token: str) -> DemoOrder | None:
        """None for an address that is none, or of a page that has ended."""
        return order_in(token, self._secret, AUDIENCE)

    async def pay(self, subscription_id: UUID) -> bool:
        """The first payment; False when there is nothing to pay any more. Raises ApiError."""
        known = await self._subscriptions.find(subscription_id)
        if known is None or known.state is not SubscriptionState.INCOMPLETE or known.checkout is None:
            return False
        ref = f"sub_test_{known.id.hex}"
        end = datetime.now(UTC).replace(microsecond=0) + PERIODS[known.interval]
        paid = replace(known.standing, provider_ref=ref, period_end=end)
        await self._events.send("customer.subscription.created", _billed(known, paid, "active"))
        begun = await self._subscriptions.find(subscription_id)
        if begun is None or begun.standing.provider_ref != ref:
            return False
        page = _page(known.checkout.ref, "paid")
        await self._events.send("checkout.session.completed", {**page, **_names(known), "subscription": ref})
        await self._invoice("invoice.paid", begun, "subscription_create")
        return True

    async def renew(self, subscription_id: UUID) -> None:
        """Another month or year is paid."""
        known = await self._subscriptions.find(subscription_id)
        if known is not None:
            await self._renew(known)

    async def _renew(self, known: Subscription) -> None:
        """By several at once, who know the same of it, it is paid once."""
        if known.standing.period_end is None:
            return
        end = known.standing.period_end + PERIODS[known.interval]
        renewed = replace(known.standing, period_end=end)
        await self._invoice("invoice.paid", replace(known, standing=renewed), "subscription_cycle")
        await self._change(known, renewed)

    async def fail(self, subscription_id: UUID) -> None:
        """A payment is due and does not come."""
        known = await self._subscriptions.find(subscription_id)
        if known is not None:
            await self._events.send(
                "customer.subscription.updated", _billed(known, known.standing, "past_due")
            )
            await self._invoice("invoice.payment_failed", known, "subscription_cycle")

    async def run(self) -> None:
        """Renew and end what is due, until cancelled."""
        while True:
            try:
                await self.run_once(datetime.now(UTC))
            except (ApiError, DatabaseUnavailable, TimeoutError) as error:
                logger.warning("test_subscriptions_not_renewed", error=str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def run_once(self, now: datetime) -> None:
        for subscription_id in await self._subscriptions.due(self.scope, now, BATCH):
            known = await self._subscriptions.find(subscription_id)
            if known is None or known.standing.provider_ref is None or not _is_due(known, now):
                continue
            if known.standing.cancels_at_end:
                await self.end_now(known.standing.provider_ref)
            else:
                await self._renew(known)

    async def _find(self, subscription_ref: str) -> Subscription:
        subscription_id = await self._subscriptions.id_of(self.scope, subscription_ref)
        known = await self._subscriptions.find(subscription_id) if subscription_id is not None else None
        assert known is not None
        return known

    async def _of_checkout(self, checkout_ref: str) -> Subscription | None:
        subscription_id = await self._subscriptions.id_of_checkout(self.scope, checkout_ref)
        return await self._subscriptions.find(subscription_id) if subscription_id is not None else None

    async def _change(self, known: Subscription, after: Standing) -> None:
        await self._events.send("customer.subscription.updated", _billed(known, after, "active"))

    async def _invoice(self, kind: str, known: Subscription, reason: str) -> None:
        end = known.standing.period_end
        price = await self._plans.price(known.standing.price_id)
        assert end is not None and price is not None
        number = f"{known.id.hex}_{int(end.timestamp())}"
        invoice = {
            "id": f"in_test_{number}",
            "object": "invoice",
            "currency": price.currency,
            "amount_paid": price.amount if kind == "invoice.paid" else 0,
            "billing_reason": reason,
            "payment_intent": f"pi_test_{number}",
            "parent": {
                "subscription_details": {"subscription": known.standing.provider_ref, **_names(known)}
            },
        }
        await self._events.send(kind, invoice)


class DemoSubscriptionTill:
    """TEST. Implements Till: what the buttons of a subscription's page do."""

    def __init__(self, billing: DemoBilling) -> None:
        self.path = PATH
        self._billing = billing

    def order_of(self, token: str) -> DemoOrder | None:
        return self._billing.order_of(token)

    async def pay(self, order: DemoOrder) -> None:
        if not await self._billing.pay(order.purchase_id):
            raise conflict("checkout_over", "This was paid, or is not wanted any more.")

    async def decline(self, order: DemoOrder) -> None:
        """Nothing happens: the page can still be paid."""


def _is_due(known: Subscription, now: datetime) -> bool:
    """Another node may have been here meanwhile."""
    return known.standing.period_end is not None and known.standing.period_end < now


def _page(checkout_ref: str, payment_status: str) -> dict[str, Any]:
    """The page as Stripe would describe it."""
    return {
        "id": checkout_ref,
        "object": "checkout.session",
        "mode": "subscription",
        "payment_status": payment_status,
    }


def _names(known: Subscription) -> dict[str, Mapping[str, str]]:
    return {"metadata": {SUBSCRIPTION_ID: str(known.id)}}


def _billed(known: Subscription, standing: Standing, status: str) -> dict[str, Any]:
    """The subscription as Stripe would describe it."""
    end = standing.period_end or datetime.now(UTC)
    item = {
        "price": {"id": f"price_test_{standing.price_id.hex}"},
        "current_period_end": int(end.timestamp()),
    }
    return {
        "id": standing.provider_ref,
        "object": "subscription",
        "status": status,
        "cancel_at_period_end": standing.cancels_at_end,
        "items": {"data": [item]},
        **_names(known),
    }
