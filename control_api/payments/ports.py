"""What the services know of a payment provider.

Nothing is paid because somebody says so: only because an event says so that the provider signed.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from storage.database import Transaction


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """What has happened at the provider. ``data`` is the object that it happened to, in Stripe's words.

    ``is_prepared``: what was to be done before it, is done.
    """

    id: str
    type: str
    created_at: datetime
    data: Mapping[str, Any]
    is_prepared: bool = False


class TooEarly(Exception):
    """Raised by a handler whose event must wait for another one: nothing is kept, it is to be sent again."""


class NotUnderstood(TooEarly):
    """Raised for an object of a shape that this version does not know: after an update, it counts."""


class DoFirst(Exception):
    """Raised by a handler whose event counts only after ``action`` at the provider.

    Nothing is kept. It is done outside of the transaction, and the event then comes again as ``is_prepared``;
    when it fails, the provider gets no good answer and sends the event again.
    """

    def __init__(self, action: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.action = action


class EventHandler(Protocol):
    """Does what an event says, in the transaction that notes the event: both are done, or neither.

    The same type goes to every handler that asks for it: what is not theirs, they leave alone. What an event
    holds was signed, but is of any shape all the same.
    """

    async def __call__(self, transaction: Transaction, event: ProviderEvent) -> None: ...


PURCHASE_ID: Final = "purchase_id"
"""What a purchase is called in the metadata of its page and its payment."""


@dataclass(frozen=True, slots=True)
class CheckoutOrder:
    """What is to be paid for: ``amount`` minor units of ``currency``. ``email`` is the payer's."""

    purchase_id: UUID
    description: str
    amount: int
    currency: str
    email: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """``url`` is the provider's page where it is paid."""

    id: str
    url: str


class Events(Protocol):
    """How a provider's events are told from forgeries."""

    def event_of(self, body: bytes, signature: str) -> ProviderEvent:
        """Raises ApiError 400 for what is forged, stale, from the future or unreadable."""


class PaymentProvider(Events, Protocol):
    """Where purchases are paid. ``scope`` is that of its movements in the ledger."""

    @property
    def scope(self) -> str: ...

    async def open_checkout(self, order: CheckoutOrder) -> CheckoutSession:
        """The same session for the same purchase. Raises ApiError 502 or 503."""
