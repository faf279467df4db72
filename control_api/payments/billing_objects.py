"""What events of subscriptions are about, as Stripe describes it, in its older and its newer shape.

Since https://docs.stripe.com/changelog/basil#2025-03-31.basil a subscription's period is that of its items,
an invoice's subscription and payments stand elsewhere.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import msgspec
import structlog
from msgspec import Meta, Struct, field

from control_api.payments.billing_ports import SUBSCRIPTION_ID
from control_api.payments.ports import NotUnderstood, ProviderEvent

logger = structlog.get_logger("mediaserver.money")

MAX_AMOUNT: Final = 1_000_000_000_000
_END_OF_TIME: Final = 253_402_300_799

Ref = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
Moment = Annotated[int, Meta(ge=0, le=_END_OF_TIME)]
Amount = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
Currency = Annotated[str, Meta(pattern=r"^[a-z]{3}$")]
ObjectType = TypeVar("ObjectType", bound=Struct)


class Named(Struct):
    id: Ref


class Item(Struct):
    price: Named
    current_period_end: Moment | None = None


class Items(Struct):
    data: list[Item] = field(default_factory=list)


class BilledSubscription(Struct):
    id: Ref
    status: str
    metadata: dict[str, Any] | None = None
    items: Items = field(default_factory=Items)
    cancel_at_period_end: bool = False
    cancel_at: Moment | None = None
    current_period_end: Moment | None = None

    @property
    def price_ref(self) -> str | None:
        return self.items.data[0].price.id if self.items.data else None

    @property
    def period_end(self) -> datetime | None:
        ends = [item.current_period_end for item in self.items.data if item.current_period_end is not None]
        seconds = max(ends, default=self.current_period_end)
        return moment(seconds) if seconds is not None else None

    @property
    def cancels_at_end(self) -> bool:
        return self.cancel_at_period_end or self.cancel_at is not None


class SubscriptionDetails(Struct):
    subscription: Ref | Named | None = None
    metadata: dict[str, Any] | None = None


class InvoiceParent(Struct):
    subscription_details: SubscriptionDetails | None = None


class Invoice(Struct):
    """``amount_paid`` in minor units of ``currency``."""

    id: Ref
    currency: Currency
    amount_paid: Amount = 0
    billing_reason: str | None = None
    parent: InvoiceParent | None = None
    subscription_details: SubscriptionDetails | None = None
    subscription: Ref | Named | None = None
    payment_intent: Ref | Named | None = None
    charge: Ref | Named | None = None

    @property
    def details(self) -> SubscriptionDetails:
        """Which subscription it is of."""
        if self.parent is not None and self.parent.subscription_details is not None:
            return self.parent.subscription_details
        metadata = self.subscription_details.metadata if self.subscription_details is not None else None
        return SubscriptionDetails(self.subscription, metadata)

    @property
    def payment_ref(self) -> str | None:
        return ref_of(self.payment_intent) or ref_of(self.charge)

    @property
    def is_period(self) -> bool:
        return self.billing_reason in ("subscription_create", "subscription_cycle")


class Payment(Struct):
    payment_intent: Ref | Named | None = None
    charge: Ref | Named | None = None


class InvoicePayment(Struct):
    invoice: Ref | Named
    payment: Payment


class Charge(Struct):
    """``amount_refunded`` is what went back of it in all."""

    id: Ref
    amount_refunded: Amount
    currency: Currency | None = None
    payment_intent: Ref | Named | None = None
    invoice: Ref | Named | None = None

    @property
    def payment_ref(self) -> str:
        return ref_of(self.payment_intent) or self.id


class Dispute(Struct):
    id: Ref
    amount: Amount
    currency: Currency | None = None
    charge: Ref | Named | None = None
    payment_intent: Ref | Named | None = None

    @property
    def payment_ref(self) -> str | None:
        return ref_of(self.payment_intent) or ref_of(self.charge)


class CheckoutPage(Struct):
    id: Ref
    mode: str = ""
    subscription: Ref | Named | None = None
    metadata: dict[str, Any] | None = None


def read(kind: type[ObjectType], event: ProviderEvent) -> ObjectType:
    """What the event is about. Raises NotUnderstood for something of another shape, which is logged."""
    try:
        return msgspec.convert(dict(event.data), kind)
    except msgspec.ValidationError as error:
        logger.error("payment_event_not_understood", event_id=event.id, type=event.type, reason=str(error))
        raise NotUnderstood from error


def ref_of(value: str | Named | None) -> str | None:
    return value.id if isinstance(value, Named) else value


def our_id(metadata: Mapping[str, Any] | None) -> UUID | None:
    """Of the subscription that something was made for at the provider."""
    try:
        return UUID(str((metadata or {}).get(SUBSCRIPTION_ID, "")))
    except ValueError:
        return None


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
