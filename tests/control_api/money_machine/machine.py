"""All rules together, and those that need more than one of their kinds."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.control_api.money_machine.base import Operation, copies, creators, needs, numbers, people
from tests.control_api.money_machine.lossy import losses
from tests.control_api.money_machine.model_subscriptions import PRICE
from tests.control_api.money_machine.rules_events import EventRules
from tests.control_api.money_machine.rules_giving import adjustments, quantities, tips
from tests.control_api.money_machine.rules_payouts import PayoutRules
from tests.control_api.money_machine.rules_purchases import PurchaseRules
from tests.control_api.money_machine.rules_subscriptions import SubscriptionRules

wishes = st.one_of(
    st.tuples(st.just("give"), people, creators, quantities),
    st.tuples(st.just("tip"), people, creators, tips),
    st.tuples(st.just("adjust"), people, adjustments),
    st.tuples(st.just("buy"), people, st.booleans()),
    st.tuples(st.just("demand"), creators),
    st.tuples(st.just("tell"), numbers),
    st.tuples(st.just("tell"), numbers),
)


class MoneyMachine(PurchaseRules, SubscriptionRules, PayoutRules):
    """What each rule asks for is done as often as it was asked for, whatever breaks meanwhile: once."""

    @initialize()
    def begin(self) -> None:
        """Each example starts with something of each kind, so that there is something for each rule."""
        super().begin()
        for person, creator in ((2, 0), (3, 1)):
            self.buy(person=person, with_code=False, is_paid=True, copies=1, loss=None)
            self.subscribe(person=person, creator=creator, is_late=False)
            self.tip(sender=person, receiver=creator, coins=50, copies=1, loss=None)
            self.demand(creator=creator, income=0, copies=1, loss=None)

    @rule(wishes=st.lists(wishes, min_size=2, max_size=4), copies=st.integers(1, 2), loss=losses)
    @needs(lambda self: self.model.transfers)
    def at_once(self, wishes, copies, loss) -> None:
        operations = [self._operation(*wish) for wish in wishes if wish[0] != "tell"]
        told = self.chosen([wish[1] for wish in wishes if wish[0] == "tell"])
        self.do_and_tell(operations, told, copies, loss)
        self.learn_of_payouts()

    @rule(sender=people, amounts=st.lists(tips, min_size=2, max_size=4), receiver=creators, loss=losses)
    def spend_at_once(self, sender, amounts, receiver, loss) -> None:
        """More, perhaps, than there is."""
        self.do_at_once([self.tipping(sender, receiver, coins) for coins in amounts], 1, loss)

    @rule(chosen=st.lists(numbers, min_size=1, max_size=3), creator=creators, copies=copies, loss=losses)
    @needs(lambda self: self.waiting)
    def demand_while_told(self, chosen, creator, copies, loss) -> None:
        """Of refunds and disputes, perhaps, of what is being paid out."""
        self.do_and_tell([self.demanding(creator)], self.chosen(chosen), copies, loss)
        self.learn_of_payouts()

    @rule(number=numbers, kind=st.sampled_from(["refund", "dispute"]), at_once=st.booleans(), loss=losses)
    @needs(lambda self: self.back)
    def take_back_what_was_paid_out(self, number, kind, at_once, loss) -> None:
        """Of an invoice; what the creator does not have any more is owed."""
        invoice = list(self.back)[number % len(self.back)]
        demand = self.demanding(self.model.invoices[invoice].creator)
        if not at_once:
            self.do(demand)
        event = self.refunding(invoice, PRICE) if kind == "refund" else self.disputing(invoice)
        self.do_and_tell([demand] if at_once else [], [event], 1, loss)
        self.learn_of_payouts()

    def _operation(self, what: str, *details: Any) -> Operation:
        makers = {
            "give": self.giving,
            "tip": self.tipping,
            "adjust": self.adjusting,
            "buy": self.buying,
            "demand": self.demanding,
        }
        return makers[what](*details)

    def settle(self) -> None:
        self.send_all()
        EventRules.settle(self)
        self.run(self.check_subscriptions())
