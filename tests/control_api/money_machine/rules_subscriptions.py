"""Subscriptions as they are at the provider, and what it tells of them and their invoices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import rule

from control_api.errors import ApiError
from storage.ids import new_id
from storage.repositories.plans import Interval
from storage.repositories.subscriptions import Subscriptions
from tests.control_api.money_machine.base import creators, needs, numbers, people
from tests.control_api.money_machine.model_subscriptions import PRICE, Invoice
from tests.control_api.money_machine.rules_events import Event, EventRules, delays

PERIOD = 30 * 86400


@dataclass
class Truth:
    """A subscription as it is at the provider."""

    id: UUID
    creator: int
    price: UUID
    period_end: int
    status: str = "active"
    cancels: bool = False

    @property
    def expected(self) -> tuple[str, bool]:
        """The state, and whether it gives access."""
        if self.status == "canceled":
            return "ended", False
        if self.status == "active" and self.cancels:
            return "canceled", True
        return self.status, True

    @property
    def object(self) -> dict[str, Any]:
        """As the provider describes it."""
        price = {"id": f"price_test_{self.price.hex}"}
        return {
            "id": f"sub_{self.id.hex}",
            "status": self.status,
            "metadata": {"subscription_id": str(self.id)},
            "cancel_at_period_end": self.cancels,
            "items": {"data": [{"price": price, "current_period_end": self.period_end}]},
        }


def _runs(machine: "SubscriptionRules") -> bool:
    return bool(machine.running)


def _has_paid(machine: "SubscriptionRules") -> bool:
    return bool(machine.back)


class SubscriptionRules(EventRules):
    def __init__(self, database_url: str) -> None:
        super().__init__(database_url)
        self._truths: dict[UUID, Truth] = {}
        self.back: dict[str, tuple[int, bool]] = {}
        """What was refunded of each invoice, and whether it is disputed."""

    @rule(person=people, creator=creators, is_late=delays)
    def subscribe(self, person, creator, is_late) -> None:
        user, plan = self.world.people[person].id, self.world.plans[creator]
        service = self.world.billing.subscriptions
        try:
            made = self.run(service.subscribe(user, plan.id, Interval.MONTH))
        except ApiError as error:
            assert error.code == ("own_plan" if person == creator else "already_subscribed")
            return
        known = made.subscription
        if known.id in self._truths:
            # It is paid, but that was not told yet: it is the same page.
            return
        truth = Truth(known.id, creator, known.standing.price_id, self.now + PERIOD)
        self._truths[known.id] = truth
        self.happens("customer.subscription.created", {**truth.object, "status": "incomplete"}, seconds=0)
        self._changed(truth)
        self._is_paid(truth)
        if not is_late:
            self._tell_all()

    @rule(number=numbers, is_late=delays)
    @needs(_runs)
    def renew(self, number, is_late) -> None:
        truth = self.running[number % len(self.running)]
        truth.status, truth.period_end = "active", truth.period_end + PERIOD
        self._changed(truth)
        self._is_paid(truth)
        if not is_late:
            self._tell_all()

    @rule(number=numbers, status=st.sampled_from(["active", "past_due"]), cancels=st.booleans())
    @needs(_runs)
    def change(self, number, status, cancels) -> None:
        truth = self.running[number % len(self.running)]
        truth.status, truth.cancels = status, cancels
        self._changed(truth)

    @rule(number=numbers)
    @needs(_runs)
    def end(self, number) -> None:
        truth = self.running[number % len(self.running)]
        truth.status = "canceled"
        self.happens("customer.subscription.deleted", truth.object)

    @rule(number=numbers, amount=st.integers(1, PRICE), is_late=delays)
    @needs(_has_paid)
    def refund_invoice(self, number, amount, is_late) -> None:
        event = self.refunding(list(self.back)[number % len(self.back)], amount)
        if not is_late:
            self.deliver(event)

    @rule(number=numbers, is_late=delays)
    @needs(_has_paid)
    def dispute_invoice(self, number, is_late) -> None:
        event = self.disputing(list(self.back)[number % len(self.back)])
        if not is_late:
            self.deliver(event)

    def refunding(self, invoice: str, amount: int) -> Event:
        refunded, is_disputed = self.back[invoice]
        refunded = min(refunded + amount, PRICE)
        self.back[invoice] = refunded, is_disputed
        data = {"id": f"ch_{invoice}", "amount_refunded": refunded}
        return self._goes_back("charge.refunded", invoice, data, "refund", refunded)

    def disputing(self, invoice: str) -> Event:
        """It is opened, and won the next time."""
        refunded, was_disputed = self.back[invoice]
        self.back[invoice] = refunded, not was_disputed
        kind = "funds_reinstated" if was_disputed else "funds_withdrawn"
        status = "won" if was_disputed else "needs_response"
        data = {"id": f"dp_{invoice}", "amount": PRICE, "status": status}
        amount = 0 if was_disputed else PRICE
        return self._goes_back(f"charge.dispute.{kind}", invoice, data, "dispute", amount)

    def _goes_back(self, kind: str, invoice: str, data: Mapping[str, Any], source: str, amount: int) -> Event:
        data = {**data, "payment_intent": f"pi_{invoice}", "currency": "usd"}
        at = self.now + 1
        return self.happens(kind, data, lambda model: model.told_back(invoice, source, at, amount))

    @property
    def running(self) -> list[Truth]:
        return [truth for truth in self._truths.values() if truth.status != "canceled"]

    def _changed(self, truth: Truth) -> None:
        self.happens("customer.subscription.updated", truth.object)

    def _is_paid(self, truth: Truth) -> None:
        invoice = f"in_{new_id().hex}"
        self.back[invoice] = 0, False
        self.model.invoices[invoice] = Invoice(truth.creator)
        billed = truth.object
        details = {"subscription": billed["id"], "metadata": billed["metadata"]}
        paid = {
            "id": invoice,
            "currency": "usd",
            "amount_paid": PRICE,
            "billing_reason": "subscription_cycle",
            "parent": {"subscription_details": details},
        }
        self.happens("invoice.paid", paid, lambda model: model.told_of_invoice(invoice))
        payment = {"invoice": invoice, "payment": {"payment_intent": f"pi_{invoice}"}}
        self.happens("invoice_payment.paid", payment, lambda model: model.told_of_payment(invoice))

    def _tell_all(self) -> None:
        """What happened by now of subscriptions, in its order."""
        for event in [event for event in self.waiting if event.kind.startswith(("customer", "invoice"))]:
            self.deliver(event)

    async def check_subscriptions(self) -> None:
        """Once everything was told, all is here as it is at the provider."""
        for truth in self._truths.values():
            found = await Subscriptions(self.world.database).find(truth.id)
            assert found is not None
            standing = found.standing
            assert (standing.state.value, standing.gives_access) == truth.expected
            if truth.status != "canceled":
                assert standing.period_end is not None
                assert standing.period_end.timestamp() == truth.period_end
