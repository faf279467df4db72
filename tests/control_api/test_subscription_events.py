"""Events of subscriptions: forged, twice, in any order, of any shape; and the money that they move."""

import asyncio
import random
import time
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from control_api.errors import ApiError
from control_api.services.subscription_ledger import SubscriptionLedger
from storage.database import Database
from storage.ids import new_id
from storage.repositories.ledger import Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts
from storage.repositories.subscriptions import Subscription
from tests.control_api.subscriptions_world import (
    SubscriptionsWorld,
    billed,
    invoice,
    subscriptions_world,
)

PERIOD_END = int(time.time()) + 30 * 86400


@pytest.fixture
async def world(database: Database, aiohttp_client: Any) -> SubscriptionsWorld:
    return await subscriptions_world(database, aiohttp_client)


async def asked(world: SubscriptionsWorld, **fields: Any) -> Subscription:
    """A subscription that nobody has paid yet."""
    _, made = await world.ask(**fields)
    return await world.find(UUID(made["subscription"]["id"]))


async def paid(world: SubscriptionsWorld, **fields: Any) -> Subscription:
    known = await asked(world)
    await world.billing.send("customer.subscription.created", billed(known))
    await world.billing.send("invoice.paid", invoice(known, payment_intent="pi_1", **fields))
    return await world.find(known.id)


def charge(refunded: int, **fields: Any) -> dict[str, Any]:
    return {"id": "ch_1", "payment_intent": "pi_1", "amount_refunded": refunded, **fields}


async def book(world: SubscriptionsWorld) -> dict[str, int]:
    """What alice has earned, what she owes, and what the platform and the provider have."""
    rows = await world.database.fetch(
        """SELECT kind, sum(balance)::bigint FROM ledger_accounts JOIN ledger_balances ON account_id = id
           WHERE currency = 'usd' GROUP BY kind HAVING sum(balance) <> 0"""
    )
    assert await world.is_right()
    return {row[0]: row[1] for row in rows}


# States


async def test_any_order_and_twice_ends_the_same(world: SubscriptionsWorld):
    now = time.time() - 100
    for number, order in enumerate(permutations(range(4))):
        known = await asked(world)
        events = [
            ("customer.subscription.created", billed(known, "incomplete"), now),
            ("customer.subscription.updated", billed(known, "active"), now),
            ("invoice.paid", invoice(known, f"in_{number}"), now + 1),
            ("customer.subscription.deleted", billed(known, "canceled"), now + 5),
        ]
        for place in (*order, *order):
            kind, data, at = events[place]
            await world.billing.send(kind, data, at)
        assert await world.state(known.id) == ("ended", False)
        assert len(await world.invoices(known.id)) == 1
    assert await world.held("alice") == 350 * 24


async def test_the_same_event_at_once_counts_once(world: SubscriptionsWorld):
    known = await asked(world)
    sent = await asyncio.gather(
        *(world.billing.send("invoice.paid", invoice(known), event_id="evt_1") for _ in range(5))
    )
    assert sorted(sent) == [False, False, False, False, True]
    assert await book(world) == {"provider": -500, "earnings": 350, "platform": 150}


async def test_an_invoice_that_several_events_tell_of_is_paid_once(world: SubscriptionsWorld):
    known = await asked(world)
    await asyncio.gather(*(world.billing.send("invoice.paid", invoice(known)) for _ in range(5)))
    assert await book(world) == {"provider": -500, "earnings": 350, "platform": 150}


async def test_everything_at_once(world: SubscriptionsWorld):
    """In whatever order the database lets them go."""
    known = await asked(world)
    now = time.time() - 50
    events = [
        ("customer.subscription.created", billed(known, "incomplete"), now),
        ("customer.subscription.updated", billed(known, "active"), now + 1),
        ("checkout.session.completed", {"id": "cs", "subscription": billed(known)["id"]}, now + 1),
        ("invoice.paid", invoice(known), now + 1),
        ("invoice_payment.paid", {"invoice": "in_1", "payment": {"payment_intent": "pi_1"}}, now + 1),
        ("charge.refunded", charge(200), now + 2),
        ("charge.refunded", charge(500), now + 3),
    ] * 2
    random.Random(7).shuffle(events)
    await asyncio.gather(*(world.billing.send(kind, data, at) for kind, data, at in events))
    assert await world.state(known.id) == ("active", True)
    assert await book(world) == {}
    assert (await world.invoices(known.id))[0].refunded == 500


async def test_what_is_of_nobody_here_is_left_alone(world: SubscriptionsWorld):
    known = await asked(world)
    stranger = {"metadata": {"subscription_id": str(new_id())}}
    for data in (
        {**billed(known), **stranger},
        {**billed(known), "metadata": {}},
        {**billed(known), "metadata": {"subscription_id": "x"}},
    ):
        await world.billing.send("customer.subscription.updated", data)
    foreign = invoice(known, parent=None, subscription="sub_foreign")
    await world.billing.send("invoice.paid", foreign)
    await world.billing.send("invoice.payment_failed", foreign)
    await world.billing.send("charge.refunded", charge(100))
    assert await world.state(known.id) == ("incomplete", False)
    assert await book(world) == {}


async def test_another_subscription_does_not_take_the_place_of_the_one_that_runs(world: SubscriptionsWorld):
    known = await paid(world)
    await world.billing.send("customer.subscription.deleted", billed(known, "canceled", id="sub_other"))
    assert await world.state(known.id) == ("active", True)


async def test_stripe_may_know_it_by_name_alone(world: SubscriptionsWorld):
    known = await paid(world)
    await world.billing.send(
        "customer.subscription.updated", billed(known, "past_due", metadata={}), time.time() + 5
    )
    assert await world.state(known.id) == ("past_due", True)


async def test_a_checkout_that_has_expired(world: SubscriptionsWorld):
    known = await asked(world)
    assert known.checkout is not None
    await world.billing.send("checkout.session.expired", {"id": known.checkout.ref})
    assert await world.state(known.id) == ("ended", False)
    running = await paid(world)
    assert running.checkout is not None
    await world.billing.send("checkout.session.expired", {"id": running.checkout.ref})
    assert await world.state(running.id) == ("active", True)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"id": 5},
        {"id": "x", "status": None},
        {"id": "x" * 300, "status": "active"},
        {"id": "sub_1", "status": "active", "items": []},
        {"id": "sub_1", "status": "active", "current_period_end": 10**30},
        {"id": "in_1", "currency": "US Dollar", "amount_paid": 5},
        {"id": "in_1", "currency": "usd", "amount_paid": -5},
        {"id": "in_1", "currency": "usd", "amount_paid": 10**19},
        {"id": "in_1", "currency": "usd", "amount_paid": 5, "parent": 7},
        {"id": "ch_1", "amount_refunded": "all"},
        {"id": "dp_1", "amount": 5},
        {"id": "cs_1", "subscription": {"id": ""}},
        {"invoice": None, "payment": None},
    ],
)
async def test_events_of_any_shape_do_no_harm(world: SubscriptionsWorld, data: dict[str, Any]):
    known = await paid(world)
    before = await book(world)
    for kind in world.billing.subscriptions.handlers():
        try:
            assert await world.billing.send(kind, data)
        except ApiError as error:
            assert error.code == "too_early"
    assert await world.state(known.id) == ("active", True)
    assert await book(world) == before


@pytest.mark.parametrize("kind", ["customer.subscription.updated", "invoice.paid", "charge.refunded"])
async def test_what_is_not_understood_counts_when_it_is_sent_again(world: SubscriptionsWorld, kind: str):
    """After an update, which this test does the other way round: it sends another shape."""
    known = await asked(world)
    understood = {**billed(known), **invoice(known), "amount_refunded": 5}
    with pytest.raises(ApiError) as refused:
        await world.billing.send(kind, {**understood, "id": {"of": "another shape"}}, event_id="evt_1")
    assert (refused.value.status, refused.value.code) == (409, "too_early")
    assert await world.billing.send(kind, understood, event_id="evt_1")
    assert not await world.billing.send(kind, understood, event_id="evt_1")


async def test_forged_events_do_nothing(world: SubscriptionsWorld):
    with pytest.raises(ApiError):
        await world.billing.events.receive(b"{}", "t=1,v1=00")


# Money


async def test_the_older_shape_of_an_invoice(world: SubscriptionsWorld):
    known = await asked(world)
    await world.billing.send("customer.subscription.created", billed(known, current_period_end=PERIOD_END))
    old = {"parent": None, "subscription": f"sub_{known.id.hex}", "charge": "ch_1", "payment_intent": None}
    await world.billing.send("invoice.paid", invoice(known, **old))
    assert await world.held("alice") == 350
    period_end = (await world.find(known.id)).standing.period_end
    assert period_end is not None and int(period_end.timestamp()) == PERIOD_END
    await world.billing.send("charge.refunded", charge(500, payment_intent=None, invoice="in_1"))
    assert await book(world) == {}


async def test_what_was_free_moves_nothing(world: SubscriptionsWorld):
    known = await paid(world, amount_paid=0)
    assert await world.invoices(known.id) == []
    assert await book(world) == {}


async def test_another_currency_stays_in_it(world: SubscriptionsWorld):
    await paid(world, currency="eur", amount_paid=1000)
    holdings = await Ledger(world.database).holdings(world.people["alice"].id)
    assert [(each.currency, each.balance) for each in holdings if each.balance] == [("eur", 700)]


async def test_refunds_take_back_both_parts(world: SubscriptionsWorld):
    await paid(world)
    await world.billing.send("charge.refunded", charge(250))
    assert await book(world) == {"provider": -250, "earnings": 175, "platform": 75}
    await world.billing.send("charge.refunded", charge(500))
    assert await book(world) == {}


async def test_the_creators_part_is_rounded_down(world: SubscriptionsWorld):
    await paid(world, amount_paid=999)
    assert await book(world) == {"provider": -999, "earnings": 699, "platform": 300}
    await world.billing.send("charge.refunded", charge(1))
    assert await book(world) == {"provider": -998, "earnings": 698, "platform": 300}
    await world.billing.send("charge.refunded", charge(999))
    assert await book(world) == {}


async def test_refunds_that_come_in_the_wrong_order(world: SubscriptionsWorld):
    await paid(world)
    now = time.time()
    await world.billing.send("charge.refunded", charge(400), now)
    await world.billing.send("charge.refunded", charge(100), now - 10)
    assert await book(world) == {"provider": -100, "earnings": 70, "platform": 30}


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_a_refund_may_come_before_what_it_is_of(world: SubscriptionsWorld, order: tuple[int, ...]):
    known = await asked(world)
    events = [
        ("invoice.paid", invoice(known)),
        ("invoice_payment.paid", {"invoice": "in_1", "payment": {"payment_intent": "pi_1"}}),
        ("charge.refunded", charge(500)),
    ]
    for place in order:
        await world.billing.send(*events[place])
    assert await book(world) == {}


async def test_more_than_was_paid_is_not_taken_back(world: SubscriptionsWorld):
    await paid(world)
    await world.billing.send("charge.refunded", charge(9999))
    assert await book(world) == {}


async def test_what_the_creator_does_not_have_any_more_becomes_a_debt(world: SubscriptionsWorld):
    await paid(world)
    await spend(world, 300)
    await world.billing.send("charge.refunded", charge(500))
    assert await book(world) == {"debt": -300, "payouts": 300}
    assert await world.held("alice", AccountKind.DEBT) == -300


async def test_a_dispute_takes_and_gives_again(world: SubscriptionsWorld):
    await paid(world)
    await spend(world, 300)
    now = time.time() - 20
    dispute = {"id": "dp_1", "payment_intent": "pi_1", "amount": 500}
    await world.billing.send("charge.dispute.funds_withdrawn", dispute, now)
    assert await book(world) == {"debt": -300, "payouts": 300}
    await world.billing.send("charge.dispute.funds_reinstated", dispute, now + 5)
    assert await book(world) == {"provider": -500, "earnings": 50, "platform": 150, "payouts": 300}
    await world.billing.send("charge.dispute.funds_withdrawn", dispute, now)
    assert (await book(world))["earnings"] == 50


@pytest.mark.parametrize("is_told_before", [False, True])
async def test_a_dispute_in_another_currency_takes_all(world: SubscriptionsWorld, is_told_before: bool):
    dispute = {"id": "dp_1", "payment_intent": "pi_1", "amount": 463, "currency": "eur"}
    now = time.time() - 20
    if is_told_before:
        await world.billing.send("charge.dispute.funds_withdrawn", dispute, now)
        await paid(world)
    else:
        await paid(world)
        await world.billing.send("charge.dispute.funds_withdrawn", dispute, now)
    assert await book(world) == {}
    await world.billing.send("charge.dispute.funds_reinstated", dispute, now + 5)
    assert await book(world) == {"provider": -500, "earnings": 350, "platform": 150}


async def test_a_refund_in_another_currency_is_left_for_people(world: SubscriptionsWorld):
    await paid(world)
    with capture_logs() as logs:
        await world.billing.send("charge.refunded", charge(463, currency="eur"))
    assert "refund_in_another_currency" in {entry["event"] for entry in logs}
    assert await book(world) == {"provider": -500, "earnings": 350, "platform": 150}
    await world.billing.send("charge.refunded", charge(500, currency="usd"), time.time() + 5)
    assert await book(world) == {}


async def test_who_takes_earnings_while_an_invoice_is_paid_waits(
    world: SubscriptionsWorld, monkeypatch: pytest.MonkeyPatch
):
    """A refund that was told of before takes from all shards, of which the payment has moved one."""
    known = await paid(world)
    await world.billing.send("charge.refunded", charge(250) | {"payment_intent": "pi_2"})
    is_paid, go_on, settle = asyncio.Event(), asyncio.Event(), SubscriptionLedger.settle

    async def settle_later(self: SubscriptionLedger, *arguments: Any) -> None:
        is_paid.set()
        await go_on.wait()
        await settle(self, *arguments)

    monkeypatch.setattr(SubscriptionLedger, "settle", settle_later)
    second = invoice(known, "in_2", payment_intent="pi_2")
    payment = asyncio.create_task(world.billing.send("invoice.paid", second))
    await is_paid.wait()
    spending = asyncio.create_task(spend(world, 300))
    await until_somebody_waits(world)
    go_on.set()
    assert await payment
    await spending
    assert await book(world) == {"provider": -750, "earnings": 225, "platform": 225, "payouts": 300}


async def test_a_refund_that_is_told_of_while_its_invoice_is_paid_is_not_lost(
    world: SubscriptionsWorld, monkeypatch: pytest.MonkeyPatch
):
    known = await asked(world)
    payment = {"invoice": "in_1", "payment": {"payment_intent": "pi_1"}}
    await world.billing.send("invoice_payment.paid", payment)
    is_settled, go_on, settle = asyncio.Event(), asyncio.Event(), SubscriptionLedger.settle

    async def wait_then(self: SubscriptionLedger, *arguments: Any) -> None:
        monkeypatch.setattr(SubscriptionLedger, "settle", settle)
        await settle(self, *arguments)
        is_settled.set()
        await go_on.wait()

    monkeypatch.setattr(SubscriptionLedger, "settle", wait_then)
    paying = asyncio.create_task(world.billing.send("invoice.paid", invoice(known)))
    await is_settled.wait()
    refunding = asyncio.create_task(world.billing.send("charge.refunded", charge(500)))
    await until_somebody_waits(world, refunding)
    go_on.set()
    assert await paying and await refunding
    assert await book(world) == {}


async def until_somebody_waits(world: SubscriptionsWorld, *unless: asyncio.Task[Any]) -> None:
    """For a lock in the database, unless one of these is done."""
    name = await world.database.fetch_value("SELECT current_database()")
    sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1)"
    async with asyncio.timeout(10):
        while not await world.database.fetch_value(sql, name):
            if any(task.done() for task in unless):
                return


async def spend(world: SubscriptionsWorld, amount: int) -> None:
    """So much of what alice has earned is paid out."""
    earnings, payouts = await LedgerAccounts(world.database).ids(
        [
            Account(AccountKind.EARNINGS, "usd", world.people["alice"].id),
            Account(AccountKind.PAYOUTS, "usd"),
        ]
    )
    lines = (Line(earnings, -amount), Line(payouts, amount))
    await Ledger(world.database).post(NewTransfer(TransferKind.PAYOUT, "test", "1", "", lines))
