"""When creators are paid, and how amounts and cells are written."""

from datetime import UTC, datetime

import pytest

from control_api.services.money import amount_text, written_amount
from control_api.services.payout_rules import csv_cell, next_turn
from storage.repositories.payouts import Schedule


@pytest.mark.parametrize(
    ("schedule", "now", "expected"),
    [
        (Schedule.WEEKLY, (2026, 11, 21, 18), (2026, 11, 23)),
        (Schedule.WEEKLY, (2026, 11, 23), (2026, 11, 30)),
        (Schedule.MONTHLY, (2026, 11, 21, 18), (2026, 12, 1)),
        (Schedule.MONTHLY, (2026, 12, 31, 23, 59), (2027, 1, 1)),
        (Schedule.MONTHLY, (2026, 1, 1), (2026, 2, 1)),
        (Schedule.MONTHLY, (2028, 2, 29), (2028, 3, 1)),
    ],
)
def test_turns(schedule, now, expected):
    assert next_turn(schedule, datetime(*now, tzinfo=UTC)) == datetime(*expected, tzinfo=UTC)


def test_every_other_week_is_every_other_week():
    first = next_turn(Schedule.BIWEEKLY, datetime(2026, 12, 20, tzinfo=UTC))
    second = next_turn(Schedule.BIWEEKLY, first)
    assert (second - first).days == 14
    assert first.weekday() == second.weekday() == 0


def test_by_hand_there_is_no_turn():
    assert next_turn(Schedule.MANUAL, datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (123456, "usd", "1234.56"),
        (5, "usd", "0.05"),
        (0, "usd", "0.00"),
        (-5, "usd", "-0.05"),
        (-123, "jpy", "-123"),
        (1234, "kwd", "1.234"),
    ],
)
def test_amounts(amount, currency, text):
    assert written_amount(amount, currency) == text
    assert amount_text(amount, currency) == f"{currency.upper()} {text}"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "-", "-1;2", "+49"]
)
def test_formulas_are_defused(text):
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "alice", "-12.34", "12", "a=b"])
def test_the_rest_is_left_as_it_is(text):
    assert csv_cell(text) == text
