"""What the provider's events make of a subscription, whatever order they come in."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest

from control_api.payments.billing_objects import BilledSubscription, Item, Items, Named
from control_api.services.subscription_states import Rank, next_standing
from storage.repositories.subscriptions import Standing, SubscriptionState

T = datetime(2026, 5, 1, 12, tzinfo=UTC)
PRICE, OTHER_PRICE = UUID(int=1), UUID(int=2)
NEW = Standing(SubscriptionState.INCOMPLETE, False, False, None, PRICE, None, None, 0)


def billed(status: str, days: int = 30, cancels: bool = False) -> BilledSubscription:
    end = int((T + timedelta(days=days)).timestamp())
    items = Items([Item(Named("price_1"), end)])
    return BilledSubscription("sub_1", status, items=items, cancel_at_period_end=cancels)


Event = tuple[int, Rank, BilledSubscription]
"""The second in which it happened, and what."""


def after(*events: Event) -> Standing:
    known = NEW
    for second, rank, subscription in events:
        changed = next_standing(known, subscription, T + timedelta(seconds=second), rank, PRICE)
        known = changed or known
    return known


@pytest.mark.parametrize(
    ("status", "state", "gives_access"),
    [
        ("incomplete", "incomplete", False),
        ("incomplete_expired", "ended", False),
        ("trialing", "active", True),
        ("active", "active", True),
        ("past_due", "past_due", True),
        ("unpaid", "past_due", False),
        ("paused", "past_due", False),
        ("canceled", "ended", False),
    ],
)
def test_states(status: str, state: str, gives_access: bool):
    found = after((0, Rank.UPDATED, billed(status)))
    assert (found.state.value, found.gives_access) == (state, gives_access)


def test_a_state_that_only_a_newer_stripe_knows_changes_nothing():
    assert after((0, Rank.UPDATED, billed("sleeping"))) == NEW


def test_canceled_has_access_and_an_end():
    found = after((0, Rank.UPDATED, billed("active", cancels=True)))
    assert (found.state, found.gives_access, found.cancels_at_end) == (SubscriptionState.CANCELED, True, True)
    assert found.period_end == T + timedelta(days=30)


HISTORIES: list[list[Event]] = [
    [
        (0, Rank.CREATED, billed("incomplete")),
        (0, Rank.UPDATED, billed("active")),
        (9, Rank.UPDATED, billed("active", cancels=True)),
    ],
    [
        (0, Rank.CREATED, billed("active")),
        (5, Rank.UPDATED, billed("past_due", 60)),
        (6, Rank.UPDATED, billed("active", 60)),
        (7, Rank.DELETED, billed("canceled", 60)),
    ],
    [
        (0, Rank.CREATED, billed("incomplete")),
        (0, Rank.UPDATED, billed("incomplete")),
        (0, Rank.UPDATED, billed("active")),
    ],
    [
        (0, Rank.CREATED, billed("active")),
        (8, Rank.UPDATED, billed("active", 30)),
        (8, Rank.UPDATED, billed("active", 60)),
    ],
    [(3, Rank.UPDATED, billed("active")), (3, Rank.DELETED, billed("canceled"))],
]


@pytest.mark.parametrize("history", HISTORIES)
def test_the_order_in_which_they_come_makes_no_difference(history: list[Event]):
    expected = after(*history)
    for order in permutations(history):
        found = after(*order)
        assert (found.state, found.gives_access, found.cancels_at_end) == (
            expected.state,
            expected.gives_access,
            expected.cancels_at_end,
        )
        assert found.state is SubscriptionState.ENDED or found.period_end == expected.period_end


@pytest.mark.parametrize("history", HISTORIES)
def test_what_comes_twice_makes_no_difference(history: list[Event]):
    assert after(*history, *history) == after(*history) == after(*(e for e in history for _ in range(2)))


def test_what_has_ended_stays_so():
    ended = (5, Rank.DELETED, billed("canceled"))
    assert after(ended, (9, Rank.UPDATED, billed("active"))).state is SubscriptionState.ENDED


def test_a_price_that_is_not_ours_leaves_ours():
    first = next_standing(NEW, billed("active"), T, Rank.UPDATED, None)
    assert first is not None and first.price_id == PRICE
    changed = next_standing(first, billed("active"), T + timedelta(seconds=1), Rank.UPDATED, OTHER_PRICE)
    assert changed is not None and changed.price_id == OTHER_PRICE
