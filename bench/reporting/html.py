"""Reports as one HTML page without anything from elsewhere."""

from collections.abc import Sequence
from html import escape
from typing import Final

from bench.reporting.model import Report
from bench.reporting.svg import render_series
from bench.reporting.table import format_value

STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; }
td, th { padding: .2rem .8rem; border-bottom: 1px solid #8884; text-align: right; }
td:first-child, th:first-child { text-align: left; }
figure { margin: 1.5rem 0; }
svg { width: 100%; height: auto; }
svg text { font-size: 11px; fill: currentColor; }
svg line { stroke: #8884; }
.middle { text-anchor: middle; } .end { text-anchor: end; }
.curve { fill: none; stroke: #2b7de9; stroke-width: 2; }
.problem { color: #c0392b; font-weight: bold; }
"""


def render_page(reports: Sequence[Report]) -> str:
    """A complete page: for each report its parameters, figures and plots."""
    sections = "".join(_section(report) for report in reports)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        f"<title>Load test</title><style>{STYLE}</style><h1>Load test</h1>{sections}</html>\n"
    )


def _section(report: Report) -> str:
    parameters = ", ".join(f"{escape(name)} {escape(value)}" for name, value in report.parameters.items())
    remarks = "".join(f'<p class="problem">Invalid: {escape(problem)}</p>' for problem in report.problems)
    remarks += "".join(f"<p>{escape(note)}</p>" for note in report.notes)
    plots = "".join(
        f"<figure><figcaption>{escape(series.name)}</figcaption>{render_series(series)}</figure>"
        for series in report.series
        if series.points
    )
    return (
        f"<h2>{escape(report.command)}: {escape(report.label)}</h2>"
        f"<p>{escape(report.started_at)}; {escape(report.machine)}</p><p>{parameters}</p>"
        f"{remarks}{_table(report)}{plots}"
    )


def _table(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{escape(m.name)}</td><td>{format_value(m.value)}</td><td>{escape(m.unit)}</td></tr>"
        for m in report.metrics
    )
    return f"<table><tr><th>figure</th><th>value</th><th>unit</th></tr>{rows}</table>"
