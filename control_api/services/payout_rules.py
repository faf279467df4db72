"""When creators are paid, and what their statements may hold."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from storage.repositories.payouts import Schedule

WEEK: Final = timedelta(days=7)
_A_MONDAY: Final = datetime(1970, 1, 5, tzinfo=UTC)
FORMULA_STARTS: Final = ("=", "+", "-", "@")
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class PayoutOptions:
    """``minimum`` in minor units is the least that is paid; ``base_url`` is where the server is reached."""

    minimum: int = 5000
    base_url: Callable[[], str] = lambda: ""


def next_turn(schedule: Schedule, now: datetime) -> datetime | None:
    """The first turn after ``now``: Mondays, every other Monday, or the first of the month; 0:00 UTC."""
    if schedule is Schedule.MANUAL:
        return None
    if schedule is Schedule.MONTHLY:
        year, month = divmod(now.year * 12 + now.month, 12)
        return datetime(year, month + 1, 1, tzinfo=UTC)
    length = WEEK if schedule is Schedule.WEEKLY else 2 * WEEK
    return _A_MONDAY + ((now - _A_MONDAY) // length + 1) * length


def csv_cell(text: str) -> str:
    """``text`` so that no spreadsheet takes it for a formula. Numbers stay numbers."""
    if _NUMBER.fullmatch(text) or not text.lstrip().startswith(FORMULA_STARTS):
        return text
    return f"'{text}"
