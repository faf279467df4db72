"""What subscriptions need of a payment provider. What becomes of them, its events say (see ports)."""

from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from storage.repositories.plans import Price
from storage.repositories.subscriptions import Checkout

SUBSCRIPTION_ID: Final = "subscription_id"
"""In the metadata of what is made at the provider: whose subscription it is here."""


@dataclass(frozen=True, slots=True)
class SubscriptionOrder:
    """What somebody wants to subscribe to. ``price_ref`` is what the provider calls ``price``."""

    subscription_id: UUID
    price: Price
    price_ref: str
    email: str


class BillingProvider(Protocol):
    """Each method raises ApiError 502 or 503 when the provider does not do what is asked.

    All may be asked again: they do the same once.
    """

    @property
    def scope(self) -> str:
        """Its name, and that of its movements in the ledger."""
        ...

    async def price_ref(self, price: Price) -> str:
        """What it calls the price from now on."""
        ...

    async def open_checkout(self, order: SubscriptionOrder) -> Checkout:
        """Where the first payment is made: the same page for the same subscription."""
        ...

    async def close_checkout(self, checkout_ref: str) -> bool:
        """Nobody can pay there any more. False: somebody has."""
        ...

    async def change_price(self, subscription_ref: str, price: Price, price_ref: str) -> None:
        """From now on it costs that; what was paid already counts."""
        ...

    async def cancel_at_period_end(self, subscription_ref: str, cancels: bool) -> None:
        """It ends when what is paid ends, or, with False, goes on after all."""
        ...

    async def end_now(self, subscription_ref: str) -> None: ...
