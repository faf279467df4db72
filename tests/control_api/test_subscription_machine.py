"""Whatever happens at the provider, and however it is told: late, twice, in any order, with breaks."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from control_api.errors import ApiError
from control_api.services.money import MoneyOptions
from control_api.services.plans import PlanOffer
from storage.database import PoolOptions
from storage.errors import DatabaseUnavailable
from storage.ids import new_id
from storage.reconciliation import reconcile
from storage.repositories import User, Users
from storage.repositories.ledger import Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts
from storage.repositories.plans import Interval
from storage.repositories.subscriptions import Subscriptions
from tests.control_api.money_machine.examples import by_examples
from tests.control_api.money_machine.lossy import Loss, LossyDatabase, losses
from tests.control_api.subscriptions_world import Billing

PEOPLE = 2
PRICE, EARNED = 1001, 700
PERIOD = 30 * 86400
numbers = st.integers(0, 1000)


@dataclass
class Truth:
    """A subscription as it is at the provider. ``refunded`` by invoice: (by refunds, by a dispute)."""

    id: UUID
    price: UUID
    status: str = "active"
    cancels: bool = False
    period_end: int = 0
    refunded: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def expected(self) -> tuple[str, bool]:
        if self.status == "canceled":
            return "ended", False
        if self.status == "active" and self.cancels:
            return "canceled", True
        return ("active", True) if self.status == "active" else ("past_due", True)

    @property
    def earned(self) -> int:
        return sum(_kept(min(sum(parts), PRICE)) for parts in self.refunded.values())


@dataclass(frozen=True)
class Told:
    id: str
    kind: str
    data: Mapping[str, Any]
    at: int


class SubscriptionMachine(RuleBasedStateMachine):
    """``waiting`` are events that the provider has not sent yet, or sent without an answer."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._database = LossyDatabase(database_url, PoolOptions(size=4))
        self._run(self._database.__aenter__())
        self._waiting: list[Told] = []
        self._sent: list[Told] = []
        self._truths: dict[UUID, Truth] = {}
        self._spent = 0

    def teardown(self) -> None:
        if self._truths:
            while self._waiting:
                self._deliver(self._waiting[-1], 1)
            self._run(self._check_against_truth())
        self._run(self._database.__aexit__())
        self._runner.close()

    def _run(self, awaitable: Any) -> Any:
        return self._runner.run(awaitable)

    @initialize()
    def begin(self) -> None:
        self._billing = Billing(self._database, MoneyOptions())
        self._now = int(time.time()) - 100_000
        self._run(self._populate())

    async def _populate(self) -> None:
        self._people: list[User] = []
        for _ in range(PEOPLE + 1):
            name = f"u_{new_id().hex[-20:]}"
            self._people.append(await Users(self._database).add(name, f"{name}@example.com", "hash"))
        self._creator = self._people.pop()
        await Users(self._database).set_creator(self._creator.id, True)
        self._plan = await self._billing.plans.create(self._creator.id, PlanOffer("Plan", "", PRICE, None))

    # At the provider

    @rule(person=st.integers(0, PEOPLE - 1))
    def subscribe(self, person: int) -> None:
        user = self._people[person].id
        try:
            made = self._run(self._billing.subscriptions.subscribe(user, self._plan.id, Interval.MONTH))
        except ApiError as error:
            assert error.code == "already_subscribed"
            return
        if made.subscription.id in self._truths:
            return
        known = made.subscription
        truth = Truth(known.id, known.standing.price_id, period_end=self._now + PERIOD)
        self._truths[known.id] = truth
        self._happens("customer.subscription.created", {**_billed(truth), "status": "incomplete"}, 0)
        self._happens("customer.subscription.updated", _billed(truth))
        self._is_paid(truth)

    @rule(number=numbers)
    def renew(self, number: int) -> None:
        truth = self._running(number)
        if truth is not None:
            truth.status, truth.period_end = "active", truth.period_end + PERIOD
            self._happens("customer.subscription.updated", _billed(truth))
            self._is_paid(truth)

    @rule(number=numbers, status=st.sampled_from(["active", "past_due"]), cancels=st.booleans())
    def change(self, number: int, status: str, cancels: bool) -> None:
        truth = self._running(number)
        if truth is not None:
            truth.status, truth.cancels = status, cancels
            self._happens("customer.subscription.updated", _billed(truth))

    @rule(number=numbers)
    def end(self, number: int) -> None:
        truth = self._running(number)
        if truth is not None:
            truth.status = "canceled"
            self._happens("customer.subscription.deleted", _billed(truth))

    @rule(number=numbers, amount=st.integers(1, PRICE))
    def refund(self, number: int, amount: int) -> None:
        for truth, invoice in self._invoice(number):
            refunds, disputed = truth.refunded[invoice]
            refunds = min(refunds + amount, PRICE)
            truth.refunded[invoice] = refunds, disputed
            charge = {"id": f"ch_{invoice}", "payment_intent": f"pi_{invoice}", "amount_refunded": refunds}
            self._happens("charge.refunded", charge)

    @rule(number=numbers)
    def dispute(self, number: int) -> None:
        for truth, invoice in self._invoice(number):
            refunds, disputed = truth.refunded[invoice]
            truth.refunded[invoice] = refunds, 0 if disputed else PRICE
            kind = "funds_reinstated" if disputed else "funds_withdrawn"
            data = {"id": f"dp_{invoice}", "payment_intent": f"pi_{invoice}", "amount": PRICE}
            self._happens(f"charge.dispute.{kind}", data)

    def _running(self, number: int) -> Truth | None:
        running = [truth for truth in self._truths.values() if truth.status != "canceled"]
        return running[number % len(running)] if running else None

    def _invoice(self, number: int) -> list[tuple[Truth, str]]:
        found = [(truth, invoice) for truth in self._truths.values() for invoice in truth.refunded]
        return [found[number % len(found)]] if found else []

    def _is_paid(self, truth: Truth) -> None:
        invoice = f"in_{new_id().hex}"
        truth.refunded[invoice] = 0, 0
        details = {"subscription": _billed(truth)["id"], "metadata": _billed(truth)["metadata"]}
        paid = {
            "id": invoice,
            "currency": "usd",
            "amount_paid": PRICE,
            "billing_reason": "subscription_cycle",
            "parent": {"subscription_details": details},
        }
        self._happens("invoice.paid", paid)
        payment = {"invoice": invoice, "payment": {"payment_intent": f"pi_{invoice}"}}
        self._happens("invoice_payment.paid", payment)

    def _happens(self, kind: str, data: Mapping[str, Any], seconds: int = 1) -> None:
        self._now += seconds
        self._waiting.append(Told(f"evt_{new_id().hex}", kind, data, self._now))

    # What is told, and what else is done

    @rule(number=numbers, copies=st.integers(1, 3), loss=losses)
    def tell(self, number: int, copies: int, loss: Loss | None) -> None:
        if self._waiting:
            self._database.loss = loss
            self._deliver(self._waiting[number % len(self._waiting)], copies)
            self._database.loss = None

    @rule(first=numbers, second=numbers)
    def tell_two_at_once(self, first: int, second: int) -> None:
        if self._waiting:
            chosen = [self._waiting[number % len(self._waiting)] for number in (first, second)]
            told = [event for event in self._waiting if event in chosen]
            for event in told:
                self._waiting.remove(event)
            self._sent += told
            self._run(self._all_sent(told))

    @rule(number=numbers)
    def tell_again(self, number: int) -> None:
        if self._sent:
            event = self._sent[number % len(self._sent)]
            assert self._run(self._all_sent([event])) == [False]

    @rule(amount=st.integers(1, 2 * EARNED))
    def pay_out(self, amount: int) -> None:
        earned = self._run(self._held())[AccountKind.EARNINGS]
        if earned > 0:
            amount = min(amount, earned)
            self._run(self._spend(amount))
            self._spent += amount

    def _deliver(self, event: Told, copies: int) -> None:
        results = self._run(self._all_sent([event] * copies))
        assert results.count(True) <= 1
        # Who got no answer sends it again, and who has one does not.
        if any(isinstance(result, bool) for result in results):
            self._waiting.remove(event)
            self._sent.append(event)

    async def _all_sent(self, events: list[Told]) -> list[Any]:
        sent = (self._billing.send(each.kind, each.data, each.at, each.id) for each in events)
        results = await asyncio.gather(*sent, return_exceptions=True)
        for result in results:
            assert isinstance(result, bool | DatabaseUnavailable), result
        return results

    async def _spend(self, amount: int) -> None:
        earnings, payouts = await LedgerAccounts(self._database).ids(
            [Account(AccountKind.EARNINGS, "usd", self._creator.id), Account(AccountKind.PAYOUTS, "usd")]
        )
        lines = (Line(earnings, -amount), Line(payouts, amount))
        transfer = NewTransfer(TransferKind.PAYOUT, "test", new_id().hex, "", lines)
        await Ledger(self._database).post(transfer)

    async def _held(self) -> dict[AccountKind, int]:
        held = dict.fromkeys(AccountKind, 0)
        for holding in await Ledger(self._database).holdings(self._creator.id):
            held[holding.kind] = holding.balance
        return held

    # What must be true

    @invariant()
    def the_ledger_is_right(self) -> None:
        assert self._run(reconcile(self._database)).differences == ()

    async def _check_against_truth(self) -> None:
        """Once everything was told."""
        for truth in self._truths.values():
            found = await Subscriptions(self._database).find(truth.id)
            assert found is not None
            standing = found.standing
            assert (standing.state.value, standing.gives_access) == truth.expected
            if truth.status != "canceled":
                assert standing.period_end is not None
                assert standing.period_end.timestamp() == truth.period_end
        held = await self._held()
        expected = sum(truth.earned for truth in self._truths.values()) - self._spent
        assert held[AccountKind.EARNINGS] + held[AccountKind.DEBT] == expected


def _kept(refunded: int) -> int:
    """Rounded down."""
    return (PRICE - refunded) * EARNED // PRICE


def _billed(truth: Truth) -> dict[str, Any]:
    item = {"price": {"id": f"price_test_{truth.price.hex}"}, "current_period_end": truth.period_end}
    return {
        "id": f"sub_{truth.id.hex}",
        "status": truth.status,
        "metadata": {"subscription_id": str(truth.id)},
        "cancel_at_period_end": truth.cancels,
        "items": {"data": [item]},
    }


@pytest.mark.slow
def test_told_in_whatever_way_it_ends_as_it_is_at_the_provider(database_url: str) -> None:
    """Slow: each step may send several events, and proves the whole ledger."""
    run_state_machine_as_test(
        lambda: SubscriptionMachine(database_url),
        settings=by_examples(8, steps=25),
    )
