"""How the machines are run: by the same few examples each time, or by as many others as are asked for."""

import os
from typing import Final

from hypothesis import HealthCheck, Phase, settings

MORE: Final = "MONEY_MACHINE_EXAMPLES"
"""In the environment: so many examples, other ones each time."""


def by_examples(few: int, steps: int) -> settings:
    more = os.environ.get(MORE)
    return settings(
        max_examples=int(more or few),
        stateful_step_count=steps,
        derandomize=more is None,
        database=None,
        print_blob=True,
        # To find the smallest of what fails would take longer than a test may.
        phases=(Phase.generate,),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
