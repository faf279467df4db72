"""What a command of the bench is, and the options that several of them take.

A new command is one module with a ``COMMAND``, and its place in ``registry.py``; ``compare.py`` is the
smallest of them.
"""

import asyncio
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.measure.sampling import IntervalFigures, Sampler, ServerProbe
from bench.reporting.model import Better, Metric, Report, Series

MAX_SECONDS: Final = 3600
MAX_CONNECTIONS: Final = 20_000
OTHER_CORES_LIMIT: Final = 0.2

Run = Callable[[Namespace], Awaitable[Sequence[Report]]]


@dataclass(frozen=True, slots=True)
class Command:
    """``run`` does the work and returns reports, which are printed and written by whoever called it."""

    name: str
    summary: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Run

    async def run_words(self, words: Sequence[str]) -> Sequence[Report]:
        """Run as if ``words`` had been typed after the command's name."""
        parser = ArgumentParser(prog=self.name)
        self.add_arguments(parser)
        return await self.run(parser.parse_args(words))


def bounded(kind: type[int] | type[float], minimum: float, maximum: float) -> Callable[[str], float]:
    """An argparse type: a number within bounds, both included."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not minimum <= value <= maximum:
            raise ArgumentTypeError(f"{text!r} is not a number from {minimum:g} to {maximum:g}")
        return value

    return convert


def add_output_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON; - for standard output")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write the report as a page with plots")


def add_load_arguments(parser: ArgumentParser, seconds: float) -> None:
    """Options of every command that loads a server."""
    add_output_arguments(parser)
    parser.add_argument(
        "--seconds",
        type=bounded(float, 1, MAX_SECONDS),
        default=seconds,
        help=f"length of the steady interval that is measured (default {seconds:g})",
    )
    parser.add_argument("--label", help="name of the server in the report (default: its address)")
    parser.add_argument("--server-pid", type=int, metavar="PID", help="sample this process and its children")
    parser.add_argument("--allow-remote", action="store_true", help="load machines other than this one")


def server_probe(arguments: Namespace) -> ServerProbe | None:
    return None if arguments.server_pid is None else ServerProbe(arguments.server_pid)


async def measure(
    arguments: Namespace, own_pids: Sequence[int], tick: Callable[[float], None]
) -> IntervalFigures:
    """Sample the steady interval; ``tick`` is called once a second with the seconds gone."""
    sampler = Sampler(server_probe(arguments), own_pids)
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(_tick(tick))
        figures = await sampler.run(arguments.seconds)
        ticking.cancel()
    return figures


def server_metrics(figures: IntervalFigures) -> list[Metric]:
    """The figures every load command reports about server, generator and machine."""
    return [
        Metric("server CPU", scaled(figures.server_cores, 100), "% of a core", Better.LOWER),
        Metric("database CPU", scaled(figures.database_cores, 100), "% of a core", Better.LOWER),
        Metric("server memory", scaled(figures.server_memory, 1e-6), "MB", Better.LOWER),
        Metric("generator CPU", scaled(figures.own_cores, 100), "% of a core"),
        Metric("other CPU", scaled(figures.other_cores, 100), "% of a core"),
    ]


def server_series(figures: IntervalFigures) -> tuple[Series, ...]:
    cpu = tuple((at, cores * 100) for at, cores in figures.server_cpu_series)
    memory = tuple(figures.server_memory_series)
    if not cpu:
        return ()
    return (
        Series("Server CPU", "seconds", "% of a core", cpu),
        Series("Server memory", "seconds", "MB", memory),
    )


def interval_problems(figures: IntervalFigures) -> list[str]:
    """Why the interval does not count: the generator was the bottleneck."""
    if figures.is_own_cpu_exhausted:
        return [f"the load generator used {figures.own_cores:.0%} of a core: use --processes or less load"]
    return []


def interval_notes(figures: IntervalFigures) -> list[str]:
    if figures.server_cores is not None and figures.other_cores > OTHER_CORES_LIMIT:
        return [f"other processes used {figures.other_cores:.0%} of a core meanwhile"]
    return []


def scaled(value: float | None, factor: float) -> float | None:
    """``value`` in another unit, or None where it is unknown."""
    return None if value is None else value * factor


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


async def _tick(tick: Callable[[float], None]) -> None:
    gone = 0.0
    while True:
        tick(gone)
        await asyncio.sleep(1.0)
        gone += 1.0
