"""What commands print: one JSON object, or lines for people."""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Record:
    """One thing. ``labels`` say which of its values people see, and under which name.

    ``is_good`` is false for what a script must not overlook.
    """

    values: Row
    labels: Mapping[str, str]
    is_good: bool = True

    def as_json(self) -> Row:
        return self.values

    def lines(self) -> list[str]:
        width = max(len(label) for label in self.labels.values())
        return [f"{label:<{width}}  {_text(self.values[key])}" for key, label in self.labels.items()]


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of many. ``columns`` are what people see of each; ``next_cursor`` is None on the last page."""

    items: Sequence[Row]
    columns: Sequence[str]
    next_cursor: str | None
    is_good: bool = True

    def as_json(self) -> Row:
        return {"items": self.items, "nextCursor": self.next_cursor}

    def lines(self) -> list[str]:
        rows = [list(self.columns), *([_text(item[key]) for key in self.columns] for item in self.items)]
        widths = [max(len(row[index]) for row in rows) for index in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
        more = [f"more with --cursor {self.next_cursor}"] if self.next_cursor is not None else []
        return [line.rstrip() for line in lines] + more


Result = Record | Listing


def quiet_logs() -> None:
    """Only warnings, and on standard error: standard output is for the result."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def show(result: Result, is_json: bool) -> None:
    """Print ``result`` as one JSON object, or in lines for people."""
    print(json.dumps(result.as_json()) if is_json else "\n".join(result.lines()))


def _text(value: object) -> str:
    """On one line, and without anything that a terminal would take for a command."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    shown = "".join(each if each.isprintable() else " " for each in text)
    return "-" if value is None else shown
