"""Payouts: demanded, due, sent by two nodes at once, refused, hanging, cancelled, tried again, taken back."""

import asyncio
from collections.abc import Awaitable, Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from control_api.errors import ApiError
from storage.errors import DatabaseUnavailable
from storage.ids import new_id
from storage.repositories.ledger import COIN
from storage.repositories.ledger_accounts import AccountKind
from storage.repositories.payouts import Payout, PayoutState
from tests.control_api.money_machine.base import Operation, copies, creators, needs, numbers
from tests.control_api.money_machine.lossy import Loss, losses
from tests.control_api.money_machine.model import MINIMUM_PAYOUT
from tests.control_api.money_machine.model_payouts import PaidOut
from tests.control_api.money_machine.rules_events import EventRules, delays
from tests.control_api.money_machine.rules_giving import GivingRules
from tests.control_api.money_machine.world import CREATORS, NODES, PEOPLE, Observed

faults = st.sampled_from(
    [None, ("refused", "before")]
    + [(kind, moment) for kind in ("unavailable", "hangs") for moment in ("before", "after")]
)
incomes = st.sampled_from([0, 30, 100])
KNOWN = (ApiError, DatabaseUnavailable)
BELOW = "below_payout_minimum"


def _is_any(machine: "PayoutRules") -> bool:
    return bool(machine.known_payouts)


class PayoutRules(GivingRules, EventRules):
    @rule(creator=creators, income=incomes, copies=copies, loss=losses)
    def demand(self, creator, income, copies, loss) -> None:
        self._earn(creator, income)
        self.do(self.demanding(creator), copies, loss)
        self.learn_of_payouts()

    @rule(
        creator=st.one_of(st.none(), creators),
        income=incomes,
        is_soon=st.booleans(),
        fault=faults,
        loss=losses,
    )
    def work(self, creator, income, is_soon, fault, loss) -> None:
        """On all nodes, perhaps while somebody is due, and once more by who saw the database fail."""
        if creator is not None:
            self._earn(creator, income)
            self.run(self.world.be_due(creator))
        if not is_soon:
            self.run(self.world.let_time_pass())
        self.world.provider.fault = fault
        self._try([node.job.work_once() for node in self.world.paying], loss)
        self.run(self.world.work())
        self.world.provider.fault = None
        self.learn_of_payouts(creator, may_fail=fault == ("refused", "before"))
        if fault is None and loss is None:
            self.check_none_waits()

    @rule()
    @needs(_is_any)
    def let_time_pass(self) -> None:
        self.run(self.world.let_time_pass())

    @rule(number=numbers, copies=copies, is_free=st.booleans(), loss=losses)
    @needs(_is_any)
    def retry(self, number, copies, is_free, loss) -> None:
        """One on its way is hurried; of one that came back another begins, once."""
        payout = self.known_payouts[number % len(self.known_payouts)]
        if is_free:
            self.run(self.world.let_time_pass())
        service, actor = self.world.paying[0].payouts, self.world.admin.id
        self._try([service.retry(actor, "", payout.id) for _ in range(copies)], loss)
        before = len(self.model.payouts[payout.person])
        self._learn_of_begun(self.run(self.observed()), payout.person, min(MINIMUM_PAYOUT, payout.amount))
        if len(self.model.payouts[payout.person]) > before:
            assert payout.state in (PayoutState.FAILED, PayoutState.REVERSED)
            assert not payout.is_retried
            payout.is_retried = True

    @rule(number=numbers, is_free=st.booleans(), loss=losses)
    @needs(_is_any)
    def cancel(self, number, is_free, loss) -> None:
        """While a node is sending."""
        payout = self.known_payouts[number % len(self.known_payouts)]
        if is_free:
            self.run(self.world.let_time_pass())
        paying, actor = self.world.paying, self.world.admin.id
        self._try([paying[0].sending.cancel(actor, "", payout.id, False), paying[1].job.work_once()], loss)
        self.learn_of_payouts(may_fail=True)

    @rule(number=numbers, thirds=st.integers(1, 3), is_late=delays, copies=copies, loss=losses)
    @needs(lambda self: self.world.provider.transfers)
    def take_back(self, number, thirds, is_late, copies, loss) -> None:
        orders = sorted(self.world.provider.transfers.values(), key=lambda order: order.payout_id)
        order = orders[number % len(orders)]
        payout_id, returned = order.payout_id, order.amount * thirds // 3
        data = {
            "id": f"tr_{payout_id.hex}",
            "amount_reversed": returned,
            "metadata": {"payout_id": str(payout_id)},
        }
        event = self.happens(
            "transfer.reversed", data, lambda model: model.told_of_reversal(payout_id, returned)
        )
        if not is_late:
            self.deliver(event, copies, loss)

    def demanding(self, creator: int) -> Operation:
        user, key = self.world.people[creator].id, str(new_id())
        nodes = iter(self.world.paying * 100)

        async def call() -> Payout:
            return await next(nodes).payouts.demand(user, key)

        return Operation(
            call,
            lambda model: model.demand(key, creator),
            outcome=lambda payout: f"payout of {payout.amount}",
            identity=lambda payout: payout.id,
        )

    def learn_of_payouts(self, due: int | None = None, may_fail: bool = False) -> None:
        """How those ended that were on their way, and what began of ``due``."""
        observed = self.run(self.observed())
        for creator in range(CREATORS):
            was_in_flight = self.model.is_in_flight(creator)
            self._learn_of_ends(observed.payouts[creator], creator, may_fail)
            if creator == due:
                self._learn_of_begun(observed, creator, MINIMUM_PAYOUT, must=not was_in_flight)
                self._learn_of_ends(observed.payouts[creator], creator, may_fail)

    def _learn_of_ends(self, seen: Sequence[Payout], creator: int, may_fail: bool) -> None:
        """What was refused has not been done, and what is paid has."""
        transfers = self.world.provider.transfers
        for payout, known in zip(seen, self.model.payouts[creator], strict=False):
            known.id = payout.id
            if payout.state is known.state:
                continue
            if payout.state is PayoutState.FAILED:
                assert may_fail and payout.id not in transfers, payout
            else:
                order = transfers[payout.id]
                assert (order.amount, order.account) == (known.amount, payout.account)
            self.model.end_payout(known, payout.state)

    def _learn_of_begun(self, observed: Observed, creator: int, minimum: int, must: bool = False) -> None:
        """Whether one began cannot be known beforehand, but what it was then."""
        seen, known = observed.payouts[creator], self.model.payouts[creator]
        if len(seen) > len(known):
            assert self.model.begin(creator, minimum) == f"payout of {seen[len(known) - 1].amount}"
            known[-1].id = seen[len(known) - 1].id
        elif must:
            assert self.model.begin(creator, minimum) == BELOW
        else:
            # Debts may have been repaid all the same.
            tried = deepcopy(self.model)
            if tried.begin(creator, minimum) == BELOW and observed.differences(self.model):
                self.model = tried

    def check_none_waits(self) -> None:
        """But for what was tried before, and must wait for its next attempt."""
        seen = self.run(self.observed()).payouts
        waiting = [each for own in seen.values() for each in own if each.state is PayoutState.PENDING]
        assert all(payout.attempts for payout in waiting), waiting

    def _earn(self, creator: int, coins: int) -> None:
        """From who has most."""
        givers = [person for person in range(PEOPLE) if person != creator]
        richest = max(givers, key=lambda person: self.model.held(person, AccountKind.WALLET, COIN))
        coins = min(coins, self.model.held(richest, AccountKind.WALLET, COIN))
        if coins:
            self.do(self.tipping(richest, creator, coins))

    @property
    def known_payouts(self) -> list[PaidOut]:
        return [payout for creator in range(CREATORS) for payout in self.model.payouts[creator]]

    def _try(self, calls: Sequence[Awaitable[Any]], loss: Loss | None) -> None:
        """At once. They are refused or fail, but in no other way."""
        self.database.loss = loss
        answers = self.run(_gathered(calls))
        self.database.loss = None
        for answer in answers:
            assert isinstance(answer, KNOWN) or not isinstance(answer, BaseException), repr(answer)

    def send_all(self) -> None:
        """Once nothing fails any more, nothing stays on its way."""
        self.run(self.world.let_time_pass())
        for node in range(NODES):
            self.run(self.world.work(node))
        self.learn_of_payouts()
        assert not any(self.model.is_in_flight(creator) for creator in range(CREATORS))


async def _gathered(calls: Sequence[Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)
