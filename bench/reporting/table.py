"""Reports as text: one row per figure, one column per report."""

from collections.abc import Iterable, Sequence

from bench.reporting.model import Report


def render_reports(reports: Sequence[Report]) -> str:
    """Tables of ``reports``, those of the same command side by side."""
    commands = dict.fromkeys(report.command for report in reports)
    return "\n".join(_command_table(c, [r for r in reports if r.command == c]) for c in commands)


def render_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns padded to their widest cell; the first is text, the rest are right-aligned."""
    body = list(rows)
    widths = [max(len(row[column]) for row in (head, *body)) for column in range(len(head))]
    lines = [_line(row, widths) for row in (head, *body)]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines) + "\n"


def format_value(value: float | None) -> str:
    """Three significant digits; whole numbers stay whole; a dash for what was not measured."""
    if value is None:
        return "-"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _command_table(command: str, reports: Sequence[Report]) -> str:
    names = dict.fromkeys((m.name, m.unit) for report in reports for m in report.metrics)
    values = [{m.name: m.value for m in report.metrics} for report in reports]
    rows = [[name, *(format_value(column.get(name)) for column in values), unit] for name, unit in names]
    table = render_table([command, *(report.label for report in reports), "unit"], rows)
    return table + "".join(_remarks(report) for report in reports)


def _remarks(report: Report) -> str:
    problems = "".join(f"INVALID ({report.label}): {problem}\n" for problem in report.problems)
    return problems + "".join(f"note ({report.label}): {note}\n" for note in report.notes)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first = row[0].ljust(widths[0])
    rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
    return "  ".join((first, *rest)).rstrip()
