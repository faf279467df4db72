"""``bench compare``: the ratio of two runs, figure by figure."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from bench.commands.command import Command
from bench.errors import BenchError
from bench.measure.statistics import quotient
from bench.reporting.model import Better, Metric, Report, parse_reports
from bench.reporting.table import format_value, render_table


def render_comparison(before: Sequence[Report], after: Sequence[Report]) -> str:
    """A table per command that both have, with B / A. Raises BenchError when they have none in common."""
    tables = []
    for old in before:
        new = next((report for report in after if report.command == old.command), None)
        if new is not None:
            tables.append(_comparison_table(old, new))
    if not tables:
        raise BenchError("the two files have no command in common")
    return "\n".join(tables)


def _comparison_table(old: Report, new: Report) -> str:
    values = {metric.name: metric.value for metric in new.metrics}
    rows = [_row(metric, values[metric.name]) for metric in old.metrics if metric.name in values]
    head = [old.command, f"A: {old.label}", f"B: {new.label}", "B / A", "unit", "B is"]
    marks = [f"INVALID ({report.label})\n" for report in (old, new) if not report.is_valid]
    return render_table(head, rows) + "".join(marks)


def _row(metric: Metric, value: float | None) -> list[str]:
    ratio = quotient(value, metric.value)
    cells = [metric.name, format_value(metric.value), format_value(value)]
    return [*cells, "-" if ratio is None else f"{ratio:.2f}", metric.unit, _verdict(metric.better, ratio)]


def _verdict(better: Better, ratio: float | None) -> str:
    if ratio is None or better is Better.NEITHER or f"{ratio:.2f}" == "1.00":
        return ""
    return "better" if (ratio < 1) == (better is Better.LOWER) else "worse"


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("before", metavar="A.json", type=Path)
    parser.add_argument("after", metavar="B.json", type=Path)


async def _run(arguments: Namespace) -> Sequence[Report]:
    print(render_comparison(_read(arguments.before), _read(arguments.after)), end="")
    return ()


def _read(path: Path) -> tuple[Report, ...]:
    try:
        return parse_reports(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: {error}") from None
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from None


COMMAND = Command("compare", "ratios of two JSON reports", _add_arguments, _run)
