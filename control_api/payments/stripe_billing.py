"""Subscriptions by Stripe Billing, begun on Stripe Checkout's pages.

https://docs.stripe.com/billing/subscriptions/build-subscriptions
"""

from typing import TYPE_CHECKING, Final

import stripe

from control_api.errors import ApiError, unavailable
from control_api.payments.billing_objects import moment
from control_api.payments.billing_ports import SUBSCRIPTION_ID, SubscriptionOrder
from control_api.payments.return_addresses import ReturnAddresses
from control_api.payments.stripe_checkout import is_public_address
from control_api.payments.stripe_client import StripeApi
from storage.repositories.plans import Price
from storage.repositories.subscriptions import Checkout

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

PRICE_ID: Final = "price_id"
"""In the metadata of a price: which it is here."""


class StripeBilling:
    """Implements BillingProvider."""

    scope: Final = "stripe"

    def __init__(self, api: StripeApi, addresses: ReturnAddresses) -> None:
        self._api = api
        self._addresses = addresses

    async def price_ref(self, price: Price) -> str:
        made = await self._api.ask(
            self._api.client.v1.prices.create_async(
                {
                    "currency": price.currency,
                    "unit_amount": price.amount,
                    "recurring": {"interval": price.interval.value},
                    "product_data": {"name": price.plan_name},
                    "metadata": {PRICE_ID: str(price.id)},
                },
                {"idempotency_key": f"price-{price.id}"},
            )
        )
        return made.id

    async def open_checkout(self, order: SubscriptionOrder) -> Checkout:
        sessions = self._api.client.v1.checkout.sessions
        key = f"subscription-{order.subscription_id}"
        session = await self._api.ask(sessions.create_async(self._params(order), {"idempotency_key": key}))
        if not session.url:
            raise unavailable("The payment provider opened no page; try again shortly.")
        return Checkout(session.id, session.url, moment(session.expires_at))

    async def close_checkout(self, checkout_ref: str) -> bool:
        sessions = self._api.client.v1.checkout.sessions
        session = await self._api.ask(sessions.retrieve_async(checkout_ref))
        if session.status == "open":
            try:
                session = await self._api.ask(sessions.expire_async(checkout_ref))
            except ApiError:
                # Somebody may have paid, or the page may have expired, in between.
                session = await self._api.ask(sessions.retrieve_async(checkout_ref))
                if session.status == "open":
                    raise
        return session.status == "expired"

    async def change_price(self, subscription_ref: str, price: Price, price_ref: str) -> None:
        subscriptions = self._api.client.v1.subscriptions
        known = await self._api.ask(subscriptions.retrieve_async(subscription_ref))
        await self._api.ask(
            subscriptions.update_async(
                subscription_ref,
                {
                    "items": [{"id": _item_of(known), "price": price_ref}],
                    "proration_behavior": "always_invoice",
                    # Until the difference is paid, the plan is the one before.
                    "payment_behavior": "pending_if_incomplete",
                },
            )
        )

    async def cancel_at_period_end(self, subscription_ref: str, cancels: bool) -> None:
        await self._api.ask(
            self._api.client.v1.subscriptions.update_async(
                subscription_ref, {"cancel_at_period_end": cancels}
            )
        )

    async def end_now(self, subscription_ref: str) -> None:
        subscriptions = self._api.client.v1.subscriptions
        known = await self._api.ask(subscriptions.retrieve_async(subscription_ref))
        if known.status not in ("canceled", "incomplete_expired"):
            await self._api.ask(subscriptions.cancel_async(subscription_ref))

    def _params(self, order: SubscriptionOrder) -> "SessionCreateParams":
        # Nothing in it may differ when it is asked for again, or Stripe refuses the key.
        names = {SUBSCRIPTION_ID: str(order.subscription_id)}
        params: SessionCreateParams = {
            "mode": "subscription",
            "client_reference_id": str(order.subscription_id),
            "metadata": names,
            # The events of a subscription and of its invoices carry its own metadata, not its page's.
            "subscription_data": {"metadata": names},
            "line_items": [{"price": order.price_ref, "quantity": 1}],
            "success_url": self._addresses.success,
            "cancel_url": self._addresses.cancelled,
        }
        if is_public_address(order.email):
            params["customer_email"] = order.email
        return params


def _item_of(subscription: stripe.Subscription) -> str:
    """Its one price, which is to be replaced."""
    item_id: str = subscription["items"]["data"][0]["id"]
    return item_id
