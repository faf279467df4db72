"""A report: named figures with units, curves for the plots, and why the run may not count.

JSON is the interchange form: ``parse_reports(serialize_reports(reports)) == reports``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Final

from bench.errors import BenchError

FORMAT: Final = "mediaserver-bench-1"


class Better(Enum):
    """Which direction of a figure is an improvement."""

    LOWER = "lower"
    HIGHER = "higher"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure; ``value`` is None where it could not be measured."""

    name: str
    value: float | None
    unit: str
    better: Better = Better.NEITHER


@dataclass(frozen=True, slots=True)
class Series:
    """One curve; axes are labelled with their units."""

    name: str
    x_label: str
    y_label: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """One command against one server. ``problems`` make the run invalid, ``notes`` only explain it."""

    command: str
    label: str
    started_at: str
    """UTC, ISO 8601."""
    machine: str
    parameters: Mapping[str, str]
    metrics: tuple[Metric, ...]
    series: tuple[Series, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_valid(self) -> bool:
        return not self.problems


def serialize_reports(reports: Sequence[Report]) -> str:
    """JSON text of ``reports``."""
    document = {"format": FORMAT, "reports": [asdict(report) for report in reports]}
    return json.dumps(document, indent=2, default=_plain) + "\n"


def parse_reports(text: str) -> tuple[Report, ...]:
    """Read what ``serialize_reports`` wrote. Raises BenchError for anything else."""
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise BenchError(f"written by another version of the bench: format {document['format']!r}")
        return tuple(_report(entry) for entry in document["reports"])
    except (ValueError, KeyError, TypeError) as error:
        raise BenchError(f"not a bench report: {type(error).__name__}: {error}") from None


def _report(entry: Mapping[str, Any]) -> Report:
    metrics = tuple(Metric(m["name"], m["value"], m["unit"], Better(m["better"])) for m in entry["metrics"])
    series = tuple(
        Series(s["name"], s["x_label"], s["y_label"], tuple((float(x), float(y)) for x, y in s["points"]))
        for s in entry["series"]
    )
    texts = (entry["command"], entry["label"], entry["started_at"], entry["machine"])
    notes = tuple(entry["problems"]), tuple(entry["notes"])
    return Report(*texts, dict(entry["parameters"]), metrics, series, *notes)


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no JSON form")
