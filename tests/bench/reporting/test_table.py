import pytest

from bench.reporting.model import Metric, Report
from bench.reporting.table import format_value, render_reports


def report(label: str, value: float | None, **more) -> Report:
    return Report("fanout", label, "", "", {}, (Metric("latency", value, "ms"),), **more)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (12.0, "12"),
        (0.01234, "0.0123"),
        (1234.5, "1,234"),
        (5_000_000.0, "5,000,000"),
    ],
)
def test_values(value, text):
    assert format_value(value) == text


def test_the_same_command_stands_side_by_side():
    table = render_reports([report("ours", 1.5), report("theirs", None)])
    assert table.splitlines() == [
        "fanout   ours  theirs  unit",
        "-------  ----  ------  ----",
        "latency   1.5       -    ms",
    ]


def test_an_invalid_run_says_so():
    assert "INVALID (ours): too slow" in render_reports([report("ours", 1.0, problems=("too slow",))])
