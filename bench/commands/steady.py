"""The steady interval of a load command: measuring it, and the figures that all commands report of it."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from bench.measure.sampling import IntervalFigures, Sampler, ServerProbe
from bench.reporting.model import Better, Metric, Series

OTHER_CORES_LIMIT: Final = 0.2
"""When others use more of the machine than this, figures are disturbed."""


def server_probe(arguments: Namespace) -> ServerProbe | None:
    return None if arguments.server_pid is None else ServerProbe(arguments.server_pid)


async def measure(
    arguments: Namespace, own_pids: Sequence[int], tick: Callable[[float], None]
) -> IntervalFigures:
    """Sample the steady interval; ``tick`` is called once a second with the seconds gone."""
    return await Sampler(server_probe(arguments), own_pids).run(arguments.seconds, tick)


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
