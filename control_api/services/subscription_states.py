"""What a provider's event makes of a subscription. Pure: no clock, no database.

Rules:

* Events may come late, twice and in any order. What happened before the newest one that counted says nothing.
* Times are told in whole seconds. Within one, what made a subscription comes before its changes, and they
  before its end; of two changes, the one that takes it further counts.
* What has ended stays so. What runs at the provider all the same is to be ended there.
"""

from datetime import datetime
from enum import IntEnum
from typing import Final
from uuid import UUID

from control_api.payments.billing_objects import BilledSubscription
from storage.repositories.subscriptions import Standing, SubscriptionState


class Rank(IntEnum):
    """What an event of a subscription says: the order within a second."""

    CREATED = 0
    UPDATED = 1
    DELETED = 2


_STATES: Final = {
    "incomplete": SubscriptionState.INCOMPLETE,
    "incomplete_expired": SubscriptionState.ENDED,
    "trialing": SubscriptionState.ACTIVE,
    "active": SubscriptionState.ACTIVE,
    "past_due": SubscriptionState.PAST_DUE,
    "unpaid": SubscriptionState.PAST_DUE,
    "paused": SubscriptionState.PAST_DUE,
    "canceled": SubscriptionState.ENDED,
}
_GIVES_ACCESS: Final = frozenset(("trialing", "active", "past_due"))
"""While the provider tries to get the money, a subscriber stays one; not once it has given up."""


def next_standing(
    known: Standing, billed: BilledSubscription, at: datetime, rank: Rank, price_id: UUID | None
) -> Standing | None:
    """None: the event changes nothing. ``price_id`` is None for a price that is not ours."""
    state = SubscriptionState.ENDED if rank is Rank.DELETED else _STATES.get(billed.status)
    if state is None:
        return None
    if state is SubscriptionState.ACTIVE and billed.cancels_at_end:
        state = SubscriptionState.CANCELED
    after = Standing(
        state,
        state is not SubscriptionState.ENDED and billed.status in _GIVES_ACCESS,
        billed.cancels_at_end,
        billed.period_end or known.period_end,
        price_id or known.price_id,
        billed.id,
        at,
        rank,
    )
    return after if _counts(known, after) else None


def is_stray(known: Standing, billed: BilledSubscription) -> bool:
    """Whether somebody goes on paying for what has ended here, as far as is known."""
    if known.state is not SubscriptionState.ENDED or known.rank == Rank.DELETED:
        return False
    return _STATES.get(billed.status) is not SubscriptionState.ENDED


def _counts(known: Standing, after: Standing) -> bool:
    if known.state is SubscriptionState.ENDED:
        return False
    if after.state is SubscriptionState.ENDED or known.event_at is None or after.event_at is None:
        return True
    if (after.event_at, after.rank) != (known.event_at, known.rank):
        return (after.event_at, after.rank) > (known.event_at, known.rank)
    goes_back = _is_before(after.period_end, known.period_end)
    return not goes_back and after.state is not SubscriptionState.INCOMPLETE


def _is_before(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one < other
