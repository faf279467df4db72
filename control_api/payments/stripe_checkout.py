"""Purchases paid on Stripe Checkout's pages."""

from typing import TYPE_CHECKING, Final

from control_api.errors import unavailable
from control_api.payments.ports import PURCHASE_ID, CheckoutOrder, CheckoutSession, ProviderEvent
from control_api.payments.return_addresses import ReturnAddresses
from control_api.payments.signatures import SignedEvents
from control_api.payments.stripe_client import StripeApi

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams


class StripeCheckout:
    """Implements PaymentProvider. ``webhook_secret`` is that of the endpoint for webhooks."""

    scope: Final = "stripe"

    def __init__(self, api: StripeApi, webhook_secret: str, addresses: ReturnAddresses) -> None:
        self._api = api
        self._events = SignedEvents(webhook_secret)
        self._addresses = addresses

    async def open_checkout(self, order: CheckoutOrder) -> CheckoutSession:
        sessions = self._api.client.v1.checkout.sessions
        key = f"purchase-{order.purchase_id}"
        session = await self._api.ask(sessions.create_async(self._params(order), {"idempotency_key": key}))
        name, url = getattr(session, "id", None), getattr(session, "url", None)
        if not isinstance(name, str) or not isinstance(url, str):
            raise unavailable("The payment provider opened no page; try again shortly.")
        return CheckoutSession(name, url)

    def event_of(self, body: bytes, signature: str) -> ProviderEvent:
        return self._events.event_of(body, signature)

    def _params(self, order: CheckoutOrder) -> "SessionCreateParams":
        names = {PURCHASE_ID: str(order.purchase_id)}
        params: SessionCreateParams = {
            "mode": "payment",
            "client_reference_id": str(order.purchase_id),
            "metadata": names,
            # Charges and their refunds carry the metadata of their payment, not of its page.
            "payment_intent_data": {"metadata": names, "description": order.description},
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": order.currency,
                        "unit_amount": order.amount,
                        "product_data": {"name": order.description},
                    },
                }
            ],
            # What is paid is compared with what was asked, in its currency.
            "adaptive_pricing": {"enabled": False},
            "expires_at": int(order.expires_at.timestamp()),
            "success_url": self._addresses.success,
            "cancel_url": self._addresses.cancelled,
        }
        if is_public_address(order.email):
            params["customer_email"] = order.email
        return params


def is_public_address(email: str) -> bool:
    """Stripe refuses addresses without a domain, such as those of the first administrator."""
    return "." in email.rpartition("@")[2]
