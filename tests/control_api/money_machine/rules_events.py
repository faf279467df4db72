"""What providers tell: at once or later, again, in any order, several at the same time, or forged."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import rule

from control_api.payments.signatures import signature_of
from storage.ids import new_id
from tests.control_api.money_machine.base import MoneyBase, Operation, copies, needs, numbers
from tests.control_api.money_machine.lossy import losses
from tests.control_api.money_machine.model import DONE
from tests.control_api.money_machine.model_payouts import Model

delays = st.booleans()
"""Whether what has happened is told later."""
LONG = 100_000


@dataclass(frozen=True)
class Event:
    """``effect`` is what it does the first time."""

    id: str
    kind: str
    data: Mapping[str, Any]
    at: int
    effect: Callable[[Model], str]


class EventRules(MoneyBase):
    """``waiting`` are the events that the provider has not told yet, or was asked to tell again."""

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url)
        self.now = int(time.time()) - LONG
        self.waiting: list[Event] = []
        self._sent: list[Event] = []

    def happens(
        self,
        kind: str,
        data: Mapping[str, Any],
        effect: Callable[[Model], str] = lambda model: DONE,
        seconds: int = 1,
    ) -> Event:
        """``seconds`` after what happened before."""
        self.now += seconds
        event = Event(f"evt_{new_id().hex}", kind, data, self.now, effect)
        self.event_ids.add(event.id)
        self.waiting.append(event)
        return event

    @rule(number=numbers, copies=copies, loss=losses)
    @needs(lambda self: self.waiting)
    def tell(self, number, copies, loss) -> None:
        self.deliver(self.waiting[number % len(self.waiting)], copies, loss)

    @rule(number=numbers, copies=copies)
    @needs(lambda self: self._sent)
    def tell_again(self, number, copies) -> None:
        self.do(self.telling(self._sent[number % len(self._sent)]), copies)

    @rule(number=numbers)
    @needs(lambda self: self.waiting)
    def forge(self, number) -> None:
        """Nothing is learned of what the provider did not sign."""
        body = self._body(self.waiting[number % len(self.waiting)])

        async def call() -> Any:
            signature = signature_of("x" * 32, body, time.time())
            return await self.world.billing.events.receive(body, signature)

        self.do(Operation(call, lambda model: "signature_invalid"))

    def deliver(self, event: Event, copies: int = 1, loss: Any = None) -> None:
        if self.do(self.telling(event), copies, loss) == DONE:
            self.was_told(event)

    def chosen(self, numbers: Sequence[int]) -> list[Event]:
        """Of those that wait."""
        waiting = self.waiting
        events = [waiting[number % len(waiting)] for number in numbers] if waiting else []
        return list({event.id: event for event in events}.values())

    def do_and_tell(
        self, operations: Sequence[Operation], events: Sequence[Event], copies: int, loss: Any
    ) -> None:
        """All at once."""
        if not operations and not events:
            return
        outcomes = self.do_at_once([*map(self.telling, events), *operations], copies, loss)
        for event, outcome in zip(events, outcomes, strict=False):
            if DONE in outcome:
                self.was_told(event)

    def was_told(self, event: Event) -> None:
        self.waiting.remove(event)
        self._sent.append(event)

    def telling(self, event: Event) -> Operation:
        async def call() -> bool:
            return await self.world.billing.send(event.kind, event.data, event.at, event.id)

        def expect(model: Model) -> str:
            if event.id in model.told:
                return DONE
            outcome = event.effect(model)
            if outcome == DONE:
                model.told.add(event.id)
            return outcome

        firsts = 0 if event.id in self.model.told else 1
        return Operation(call, expect, is_first=lambda is_new: is_new, firsts=firsts)

    def settle(self) -> None:
        """Tell all that is left, the newest first."""
        super().settle()
        while self.waiting:
            self.deliver(self.waiting[-1])

    @staticmethod
    def _body(event: Event) -> bytes:
        told = {"id": event.id, "type": event.kind, "created": event.at, "data": {"object": event.data}}
        return msgspec.json.encode(told)
