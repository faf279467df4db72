"""TEST: a checkout where no money moves, for servers without Stripe that are not for real.

It knows nothing but what stands, signed, in the address of its page; and it credits nothing: it sends signed
events, as Stripe does.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, Protocol
from uuid import UUID

import jwt

from control_api.payments.demo_events import DemoEvents
from control_api.payments.ports import PURCHASE_ID, CheckoutOrder, CheckoutSession, ProviderEvent
from control_api.payments.signatures import SignedEvents

ALGORITHM: Final = "HS256"
AUDIENCE: Final = "test-checkout"
PATH: Final = "/test-checkout"
MAX_TOKEN: Final = 4096


def demo_secret(secret: bytes) -> str:
    """What the test provider signs with, made of the server's ``secret``."""
    return hmac.new(secret, b"test payments", sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class DemoOrder:
    """What stands on a test page. ``amount`` in minor units of ``currency``."""

    purchase_id: UUID
    session: str
    description: str
    amount: int
    currency: str


def token_of(order: DemoOrder, secret: str, audience: str, expires_at: datetime) -> str:
    """The end of a test page's address. ``audience``: of which kind the page is."""
    claims = {
        "aud": audience,
        "exp": expires_at.astimezone(UTC),
        "sub": str(order.purchase_id),
        "session": order.session,
        "description": order.description,
        "amount": order.amount,
        "currency": order.currency,
    }
    return jwt.encode(claims, secret, ALGORITHM)


def order_in(token: str, secret: str, audience: str) -> DemoOrder | None:
    """What ``token_of`` wrote; None for an address that is none, or of a page that has ended."""
    if len(token) > MAX_TOKEN:
        return None
    try:
        claims = jwt.decode(
            token, secret, [ALGORITHM], audience=audience, options={"require": ["exp", "sub", "session"]}
        )
    except jwt.InvalidTokenError:
        return None
    return DemoOrder(
        UUID(claims["sub"]), claims["session"], claims["description"], claims["amount"], claims["currency"]
    )


class DemoCheckout:
    """TEST. Implements PaymentProvider, with pages below ``base_url()``. ``secret``: of ``demo_secret``."""

    scope: Final = "test"

    def __init__(self, secret: str, base_url: Callable[[], str]) -> None:
        self._secret = secret
        self._base_url = base_url
        self._events = SignedEvents(secret)

    async def open_checkout(self, order: CheckoutOrder) -> CheckoutSession:
        session = f"cs_test_{order.purchase_id.hex}"
        page = DemoOrder(order.purchase_id, session, order.description, order.amount, order.currency)
        token = token_of(page, self._secret, AUDIENCE, order.expires_at)
        return CheckoutSession(session, f"{self._base_url()}{PATH}/{token}")

    def event_of(self, body: bytes, signature: str) -> ProviderEvent:
        return self._events.event_of(body, signature)

    def order_of(self, token: str) -> DemoOrder | None:
        """None for an address that is none, or of a page that has ended."""
        return order_in(token, self._secret, AUDIENCE)


class Till(Protocol):
    """What stands on test pages below ``path``, and what their buttons do."""

    path: str

    def order_of(self, token: str) -> DemoOrder | None:
        """None for an address that is none, or of a page that has ended."""
        ...

    async def pay(self, order: DemoOrder) -> None:
        """Raises ApiError."""
        ...

    async def decline(self, order: DemoOrder) -> None:
        """Raises ApiError."""
        ...


class DemoTill:
    """Implements Till for purchases."""

    def __init__(self, checkout: DemoCheckout, events: DemoEvents) -> None:
        self.path = PATH
        self._checkout = checkout
        self._events = events

    def order_of(self, token: str) -> DemoOrder | None:
        return self._checkout.order_of(token)

    async def pay(self, order: DemoOrder) -> None:
        """Raises ApiError."""
        await self._events.send("checkout.session.completed", _session(order, "complete", "paid"))

    async def decline(self, order: DemoOrder) -> None:
        """Raises ApiError."""
        await self._events.send(
            "checkout.session.async_payment_failed", _session(order, "complete", "unpaid")
        )


def _session(order: DemoOrder, status: str, payment_status: str) -> dict[str, object]:
    return {
        "id": order.session,
        "object": "checkout.session",
        "mode": "payment",
        "status": status,
        "payment_status": payment_status,
        "amount_total": order.amount,
        "currency": order.currency,
        "payment_intent": f"pi_test_{order.purchase_id.hex}",
        "metadata": {PURCHASE_ID: str(order.purchase_id)},
    }
