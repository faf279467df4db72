"""``bench ladder``: twice the viewers at each step, until a service level breaks."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.commands import fanout
from bench.commands.command import MAX_CONNECTIONS, Command, bounded
from bench.errors import BenchError
from bench.measure.statistics import quotient
from bench.reporting.model import Better, Metric, Report, Series

DEFAULT_MAX_VIEWERS: Final = 8000
DEFAULT_MAX_LATENCY_MS: Final = 1000
MAX_STARTUP_MS: Final = 1000
MIN_BITRATE_SHARE: Final = 0.95

Figures = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Step:
    """One rung: how many viewers were asked for, what was measured, and what broke."""

    viewers: int
    figures: Figures
    broken: tuple[str, ...]


def broken_levels(viewers: int, figures: Figures, max_latency_ms: float) -> tuple[str, ...]:
    """Which service levels the figures of a fanout of ``viewers`` miss, in words; none if all are kept."""
    limits = (
        ("p99 start-up", figures["start-up p99"], MAX_STARTUP_MS),
        ("p99 latency", figures["latency p99"], max_latency_ms),
    )
    broken = [
        f"{name} {value:.0f} ms over {limit:g} ms"
        for name, value, limit in limits
        if value is not None and value > limit
    ]
    for name in ("viewers lost", "stalls", "timestamp gaps", "frames lost"):
        count = figures[name]
        if count:
            broken.append(f"{count:.0f} {name}")
    refused = viewers - (figures["viewers served"] or 0)
    if refused:
        broken.append(f"{refused:.0f} viewers refused")
    share = quotient(figures["bitrate per viewer, least"], figures["bitrate per viewer, median"])
    if share is not None and share < MIN_BITRATE_SHARE and figures.get("hold-back") is None:
        broken.append(f"a viewer got only {share:.0%} of the bitrate")
    return tuple(broken)


def _add_arguments(parser: ArgumentParser) -> None:
    fanout.COMMAND.add_arguments(parser)
    parser.add_argument(
        "--max-viewers",
        type=bounded(int, 1, MAX_CONNECTIONS),
        default=DEFAULT_MAX_VIEWERS,
        help=f"where to stop; --viewers is where to begin (default {DEFAULT_MAX_VIEWERS})",
    )
    parser.add_argument(
        "--max-latency-ms",
        type=bounded(float, 1, 60_000),
        default=DEFAULT_MAX_LATENCY_MS,
        help=f"the p99 latency that is still good (default {DEFAULT_MAX_LATENCY_MS})",
    )


async def _run(arguments: Namespace) -> Sequence[Report]:
    reports: list[Report] = []
    steps: list[Step] = []
    viewers = arguments.viewers
    while viewers <= arguments.max_viewers:
        label = f"{viewers} viewers"
        rung = Namespace(**vars(arguments) | {"viewers": viewers, "label": label})
        (report,) = await fanout.COMMAND.run(rung)
        reports.append(report)
        steps.append(_judge(viewers, report, arguments.max_latency_ms))
        if steps[-1].broken:
            break
        viewers *= 2
    if not steps:
        raise BenchError("--viewers is more than --max-viewers")
    return [*reports, _summary(arguments, reports[0], steps)]


def _judge(viewers: int, report: Report, max_latency_ms: float) -> Step:
    figures = {metric.name: metric.value for metric in report.metrics}
    return Step(viewers, figures, (*report.problems, *broken_levels(viewers, figures, max_latency_ms)))


def _summary(arguments: Namespace, first: Report, steps: Sequence[Step]) -> Report:
    good = [step for step in steps if not step.broken]
    capacity = good[-1].viewers if good else 0
    cores = (good[-1].figures["server CPU"] or 0) / 100 if good else 0
    last = steps[-1]
    end = f"gave out at {last.viewers}: {'; '.join(last.broken)}" if last.broken else "nothing gave out"
    return Report(
        command=f"ladder {arguments.protocol.value}",
        label=arguments.label or "server",
        started_at=first.started_at,
        machine=first.machine,
        parameters=first.parameters,
        metrics=(
            Metric("capacity", capacity, "viewers", Better.HIGHER),
            Metric("capacity per core", quotient(capacity, cores), "viewers", Better.HIGHER),
        ),
        series=(_curve(steps, "server CPU", "% of a core"), _curve(steps, "latency p99", "ms")),
        notes=(end,),
    )


def _curve(steps: Sequence[Step], name: str, unit: str) -> Series:
    values = [(float(step.viewers), step.figures[name]) for step in steps]
    return Series(name, "viewers", unit, tuple((x, y) for x, y in values if y is not None))


COMMAND = Command("ladder", "twice the viewers until a service level breaks", _add_arguments, _run)
