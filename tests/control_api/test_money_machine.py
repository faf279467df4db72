"""Whatever people, providers and connections do, at once, in any order: money is where it should be."""

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.control_api.money_machine.examples import by_examples
from tests.control_api.money_machine.machine import MoneyMachine

EXAMPLES, STEPS = 32, 40


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_lost_made_up_or_done_twice(database_url: str) -> None:
    """Slow: each step moves money on several connections, and proves the whole ledger."""
    run_state_machine_as_test(lambda: MoneyMachine(database_url), settings=by_examples(EXAMPLES, STEPS))
