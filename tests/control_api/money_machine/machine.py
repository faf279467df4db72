"""All rules together, and those that need more than one of their kinds."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.control_api.money_machine.base import Operation, creators, numbers, people
from tests.control_api.money_machine.lossy import losses
from tests.control_api.money_machine.model import DONE
from tests.control_api.money_machine.rules_events import Event, EventRules
from tests.control_api.money_machine.rules_giving import GivingRules, adjustments, quantities, tips
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


class MoneyMachine(GivingRules, PurchaseRules, SubscriptionRules, PayoutRules):
    """What each rule asks for is done as often as it was asked for, whatever breaks meanwhile: once."""

    @rule(wishes=st.lists(wishes, min_size=2, max_size=4), copies=st.integers(1, 2), loss=losses)
    def at_once(self, wishes, copies, loss) -> None:
        events: dict[str, Event] = {}
        operations = []
        for wish in wishes:
            if wish[0] != "tell":
                operations.append(self._operation(*wish))
            elif self.waiting:
                event = self.waiting[wish[1] % len(self.waiting)]
                events[event.id] = event
        told = list(events.values())
        operations += map(self.telling, told)
        if operations:
            outcomes = self.do_at_once(operations, copies, loss)
            for event, outcome in zip(told, outcomes[len(outcomes) - len(told) :], strict=True):
                if outcome == DONE:
                    self.was_told(event)
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
