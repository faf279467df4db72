"""What subscriptions ask of Stripe: prices, pages and subscriptions, after its documented API.

https://docs.stripe.com/api/prices, https://docs.stripe.com/api/checkout/sessions,
https://docs.stripe.com/api/subscriptions
"""

import time
from collections.abc import Mapping
from typing import Any

from tests.helpers.stripe_stand_in import StripeRefusal, StripeRequest, StripeStandIn


class BillingStandIn:
    """Answers on ``stripe``. ``pay`` is what a subscriber does on a page."""

    def __init__(self, stripe: StripeStandIn) -> None:
        self._stripe = stripe
        self.sessions: dict[str, dict[str, Any]] = {}
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.prices: dict[str, Mapping[str, str]] = {}
        stripe.register("/v1/prices", self._price)
        stripe.register("/v1/checkout/sessions", self._open)
        stripe.register("/v1/checkout/sessions/{id}", self._session, "GET")
        stripe.register("/v1/checkout/sessions/{id}/expire", self._expire)
        stripe.register("/v1/subscriptions/{id}", self._subscription, "GET")
        stripe.register("/v1/subscriptions/{id}", self._update)
        stripe.register("/v1/subscriptions/{id}", self._cancel, "DELETE")

    def pay(self, session_id: str) -> dict[str, Any]:
        """The subscription that comes of it."""
        session = self.sessions[session_id]
        session["status"] = "complete"
        item = {
            "id": self._stripe.id("si"),
            "price": {"id": session["price"]},
            "current_period_end": int(time.time()) + 30 * 86400,
        }
        subscription = {
            "id": self._stripe.id("sub"),
            "object": "subscription",
            "status": "active",
            "cancel_at_period_end": False,
            "metadata": session["subscription_metadata"],
            "items": {"object": "list", "data": [item]},
        }
        self.subscriptions[subscription["id"]] = subscription
        return subscription

    async def _price(self, asked: StripeRequest) -> Mapping[str, Any]:
        price = self._stripe.id("price")
        self.prices[price] = asked.form
        return {"id": price, "object": "price", "unit_amount": int(asked.form["unit_amount"])}

    async def _open(self, asked: StripeRequest) -> Mapping[str, Any]:
        session = self._stripe.id("cs_test")
        prefix = "subscription_data[metadata]["
        self.sessions[session] = {
            "id": session,
            "object": "checkout.session",
            "mode": asked.form["mode"],
            "status": "open",
            "url": f"https://checkout.stripe.com/c/pay/{session}",
            "expires_at": int(time.time()) + 86400,
            "price": asked.form["line_items[0][price]"],
            "subscription_metadata": {
                name[len(prefix) : -1]: value for name, value in asked.form.items() if name.startswith(prefix)
            },
        }
        return self.sessions[session]

    async def _session(self, asked: StripeRequest) -> Mapping[str, Any]:
        return _found(self.sessions, asked)

    async def _expire(self, asked: StripeRequest) -> Mapping[str, Any]:
        session = _found(self.sessions, asked)
        if session["status"] != "open":
            raise StripeRefusal(400)
        session["status"] = "expired"
        return session

    async def _subscription(self, asked: StripeRequest) -> Mapping[str, Any]:
        return _found(self.subscriptions, asked)

    async def _update(self, asked: StripeRequest) -> Mapping[str, Any]:
        subscription, form = _found(self.subscriptions, asked), asked.form
        if "cancel_at_period_end" in form:
            subscription["cancel_at_period_end"] = form["cancel_at_period_end"].lower() == "true"
        if "items[0][price]" in form:
            [item] = subscription["items"]["data"]
            assert form["items[0][id]"] == item["id"]
            item["price"] = {"id": form["items[0][price]"]}
        return subscription

    async def _cancel(self, asked: StripeRequest) -> Mapping[str, Any]:
        subscription = _found(self.subscriptions, asked)
        if subscription["status"] == "canceled":
            raise StripeRefusal(404, code="resource_missing")
        subscription["status"] = "canceled"
        return subscription


def _found(things: dict[str, dict[str, Any]], asked: StripeRequest) -> dict[str, Any]:
    if asked.match["id"] not in things:
        raise StripeRefusal(404, code="resource_missing")
    return things[asked.match["id"]]
