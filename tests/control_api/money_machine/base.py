"""What all rules share: how something is asked for, by many at once, over a connection that breaks."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import wraps
from itertools import permutations
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from control_api.errors import ApiError
from storage.database import PoolOptions
from storage.errors import DatabaseUnavailable
from storage.reconciliation import ALL_CHECKS, reconcile
from tests.control_api.money_machine.lossy import Loss, LossyDatabase
from tests.control_api.money_machine.model import DONE
from tests.control_api.money_machine.model_payouts import Model
from tests.control_api.money_machine.world import CREATORS, PEOPLE, SHARES, Observed, World

ATTEMPTS = 10
POOL = 6
UNAVAILABLE = 503
REFUSALS = {
    "below_payout_minimum",
    "discount_used_up",
    "insufficient_balance",
    "insufficient_coins",
    "payout_in_progress",
    "too_early",
}

people = st.integers(0, PEOPLE - 1)
creators = st.integers(0, CREATORS - 1)
copies = st.integers(1, 3)
numbers = st.integers(0, 1000)
"""Which of several, counted from the start again."""


def needs(condition: Callable[[Any], object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a step do nothing where the machine has not what it is about.

    Not Hypothesis's precondition: of several things at once it is not always the same that comes first, and
    what is drawn must not depend on that.
    """

    def decorate(step: Callable[..., None]) -> Callable[..., None]:
        @wraps(step)
        def decorated(machine: Any, **drawn: Any) -> None:
            if condition(machine):
                step(machine, **drawn)

        return decorated

    return decorate


@dataclass(frozen=True)
class Operation:
    """Something that is asked for, and what the model makes of it.

    ``outcome`` is what an answer says; ``identity`` of an answer is the same for all that ask for the same,
    and ``is_first`` at most ``firsts`` times true. ``learn`` hears an answer once the model knows of it.
    """

    call: Callable[[], Awaitable[Any]]
    expect: Callable[[Model], str]
    outcome: Callable[[Any], str] = lambda answer: DONE
    identity: Callable[[Any], Any] = lambda answer: None
    is_first: Callable[[Any], bool] = lambda answer: False
    firsts: int = 1
    learn: Callable[[Model, Any], None] = lambda model, answer: None


PROOF = " UNION ALL ".join(
    f"SELECT '{what}', subject, expected::bigint, found::bigint FROM ({sql}) AS difference"
    for what, sql in ALL_CHECKS.items()
)
"""All that ``reconcile`` looks for, in one statement that PostgreSQL plans once."""


class MoneyBase(RuleBasedStateMachine):
    """``model`` is what should be, ``world`` what is."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        self.model = Model(SHARES)
        self.event_ids: set[str] = set()
        self._runner = asyncio.Runner()
        self.database = LossyDatabase(database_url, PoolOptions(size=POOL))
        self.run(self.database.__aenter__())
        self.is_begun = False

    def run(self, awaitable: Any) -> Any:
        return self._runner.run(awaitable)

    @initialize()
    def begin(self) -> None:
        self.world = World(self.database)
        self.run(self.world.populate())
        self.is_begun = True

    def teardown(self) -> None:
        # A step that failed is what should be told of.
        if self.is_begun and sys.exc_info()[0] is None:
            self.settle()
            self.everything_adds_up()
            assert self.run(reconcile(self.database)).differences == ()
        self.run(self.database.__aexit__())
        self._runner.close()

    def settle(self) -> None:
        """Let all that is on its way arrive, and see that it did."""

    @invariant()
    def everything_adds_up(self) -> None:
        if self.is_begun:
            self.run(self._check())

    async def _check(self) -> None:
        assert [tuple(row) for row in await self.database.fetch(PROOF)] == []
        observed = await self.observed()
        differences = observed.differences(self.model)
        assert differences == [], differences
        for person, seen in observed.payouts.items():
            known = [(each.id, each.state, each.amount, each.returned) for each in self.model.payouts[person]]
            assert [(each.id, each.state, each.amount, each.returned) for each in seen] == known
        assert self.world.provider.differing == []
        for bought in self.model.bought.values():
            if bought.state is not None:
                assert observed.purchases[bought.id] == bought.state, bought

    async def observed(self) -> Observed:
        return await self.world.observed(self.event_ids)

    def do(self, operation: Operation, copies: int = 1, loss: Loss | None = None) -> str:
        """By ``copies`` at once, and again by who got no answer: all are told the same."""
        answers = self.run(self._asked([operation], copies, loss))[0]
        answers += self.run(self._insisted(operation))
        outcomes = {_outcome(operation, answer) for answer in answers} - {None}
        _check_answers(operation, answers)
        assert outcomes == {operation.expect(self.model)}, answers
        (outcome,) = outcomes
        self._learn(operation, answers)
        return str(outcome)

    def do_at_once(self, operations: Sequence[Operation], copies: int, loss: Loss | None) -> list[set[str]]:
        """There is an order in which, one after the other, they had ended as they did."""
        answers = self.run(self._asked(operations, copies, loss))
        outcomes = []
        for operation, given in zip(operations, answers, strict=True):
            if all(_outcome(operation, answer) is None for answer in given):
                given += self.run(self._insisted(operation))
            _check_answers(operation, given)
            told = {str(_outcome(operation, answer)) for answer in given} - {"None"}
            # Who asked too early may be refused what was done for who asked later.
            outcomes.append({each for each in told if each not in REFUSALS} or told)
        self.model = self._in_some_order(operations, outcomes)
        for operation, given in zip(operations, answers, strict=True):
            self._learn(operation, given)
        return outcomes

    def _in_some_order(self, operations: Sequence[Operation], outcomes: Sequence[set[str]]) -> Model:
        observed = self.run(self.observed())
        pairs = list(zip(operations, outcomes, strict=True))
        for order in permutations(pairs):
            model = deepcopy(self.model)
            is_so = all(operation.expect(model) in told for operation, told in order)
            if is_so and not observed.differences(model):
                return model
        raise AssertionError(f"in no order: {outcomes}; {observed.differences(self.model)} since the start")

    async def _asked(
        self, operations: Sequence[Operation], copies: int, loss: Loss | None
    ) -> list[list[Any]]:
        self.database.loss = loss
        calls = [operation.call() for operation in operations for _ in range(copies)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        self.database.loss = None
        return [answers[start : start + copies] for start in range(0, len(answers), copies)]

    async def _insisted(self, operation: Operation) -> list[Any]:
        """Until there is an answer."""
        answers: list[Any] = []
        while not answers or _outcome(operation, answers[-1]) is None:
            assert len(answers) < ATTEMPTS, answers
            answers += await asyncio.gather(operation.call(), return_exceptions=True)
        return answers

    def _learn(self, operation: Operation, answers: Sequence[Any]) -> None:
        good = [answer for answer in answers if not isinstance(answer, BaseException)]
        if good:
            operation.learn(self.model, good[0])


def _outcome(operation: Operation, answer: Any) -> str | None:
    """None of who got no answer."""
    if isinstance(answer, DatabaseUnavailable):
        return None
    if isinstance(answer, ApiError):
        return None if answer.status == UNAVAILABLE else answer.code
    if isinstance(answer, BaseException):
        raise answer
    return operation.outcome(answer)


def _check_answers(operation: Operation, answers: Sequence[Any]) -> None:
    good = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len({operation.identity(answer) for answer in good}) <= 1, good
    assert sum(operation.is_first(answer) for answer in good) <= operation.firsts, good
