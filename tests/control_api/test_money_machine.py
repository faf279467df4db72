"""Whatever people, providers and connections do, at once, in any order: money is where it should be."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.control_api.money_machine.machine import MoneyMachine

EXAMPLES, STEPS = 32, 40
MORE = "MONEY_MACHINE_EXAMPLES"
"""In the environment: so many examples, other ones each time, instead of the same few."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_lost_made_up_or_done_twice(database_url: str) -> None:
    """Slow: each step moves money on several connections, and proves the whole ledger."""
    more = os.environ.get(MORE)
    run_state_machine_as_test(
        lambda: MoneyMachine(database_url),
        settings=settings(
            max_examples=int(more or EXAMPLES),
            stateful_step_count=STEPS,
            derandomize=more is None,
            database=None,
            print_blob=True,
            # To find the smallest of what fails would take longer than a test may.
            phases=(Phase.generate,),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
