"""What payouts should come to, and the whole model."""

from collections import defaultdict
from dataclasses import dataclass, field
from uuid import UUID

from storage.repositories.ledger import TransferKind
from storage.repositories.ledger_accounts import AccountKind
from storage.repositories.payouts import PayoutState
from tests.control_api.money_machine.model import EARNINGS, MINIMUM_PAYOUT, USD
from tests.control_api.money_machine.model_subscriptions import SubscriptionBooks

PENDING, PAYOUTS = AccountKind.PENDING_PAYOUT, AccountKind.PAYOUTS


@dataclass
class PaidOut:
    """``id`` is known once it was seen."""

    person: int
    amount: int
    id: UUID | None = None
    state: PayoutState = PayoutState.PENDING
    returned: int = 0
    is_retried: bool = False


@dataclass
class Model(SubscriptionBooks):
    """``payouts`` by whose they are, the oldest first. ``told`` are the events that were taken."""

    payouts: defaultdict[int, list[PaidOut]] = field(default_factory=lambda: defaultdict(list))
    told: set[str] = field(default_factory=set)

    def is_in_flight(self, person: int) -> bool:
        return any(payout.state is PayoutState.PENDING for payout in self.payouts[person])

    def payout(self, payout_id: UUID) -> PaidOut:
        found = [each for own in self.payouts.values() for each in own if each.id == payout_id]
        (payout,) = found
        return payout

    def demand(self, key: str, person: int) -> str:
        if key not in self.done:
            outcome = self.begin(person)
            if not outcome.startswith("payout of"):
                return outcome
            self.done[key] = outcome
        return self.done[key]

    def begin(self, person: int, minimum: int = MINIMUM_PAYOUT) -> str:
        """Debts first, even where too little is left to be paid."""
        if self.is_in_flight(person):
            return "payout_in_progress"
        self.repay_earned(person)
        amount = self.held(person, EARNINGS, USD)
        if amount < minimum:
            return "below_payout_minimum"
        changes = {(person, EARNINGS, USD): -amount, (person, PENDING, USD): amount}
        self.move(TransferKind.PAYOUT, changes)
        self.payouts[person].append(PaidOut(person, amount))
        return f"payout of {amount}"

    def end_payout(self, payout: PaidOut, state: PayoutState) -> None:
        """It arrived, or the money is given back."""
        assert payout.state is PayoutState.PENDING, (payout, state)
        payout.state = state
        if state is PayoutState.PAID:
            kind, target = TransferKind.PAYOUT_PAID, (None, PAYOUTS, USD)
        else:
            kind, target = TransferKind.PAYOUT_RETURN, (payout.person, EARNINGS, USD)
        self.move(kind, {(payout.person, PENDING, USD): -payout.amount, target: payout.amount})

    def told_of_reversal(self, payout_id: UUID, returned: int) -> str:
        """The provider took back so much in all."""
        payout = self.payout(payout_id)
        if payout.state is PayoutState.PENDING:
            return "too_early"
        more = returned - payout.returned
        if payout.state is PayoutState.PAID and more > 0:
            changes = {(None, PAYOUTS, USD): -more, (payout.person, EARNINGS, USD): more}
            self.move(TransferKind.PAYOUT_RETURN, changes)
            payout.returned = returned
            if returned == payout.amount:
                payout.state = PayoutState.REVERSED
        return "done"
