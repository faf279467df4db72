"""``bench ingest``: many RTMP publishers."""

import os
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench.commands.command import Command, add_load_arguments, bounded
from bench.commands.publishing import add_clip_arguments, make_clip, publish_targets, read_keys
from bench.commands.steady import (
    interval_notes,
    interval_problems,
    measure,
    scaled,
    server_metrics,
    server_probe,
    server_series,
    utc_now,
)
from bench.errors import BenchError
from bench.measure.limits import reserve_descriptors
from bench.measure.progress import Progress
from bench.measure.sampling import IntervalFigures
from bench.measure.statistics import distribution, percentile, quotient
from bench.publishers.fleet import PublisherFleet
from bench.publishers.publisher import PublisherFigures
from bench.reporting.machine import machine_name
from bench.reporting.model import Better, Metric, Report
from bench.targets import Target

DEFAULT_PUBLISHERS: Final = 10
DEFAULT_SECONDS: Final = 20.0
MAX_PUBLISHERS: Final = 2000
CONNECTS_PER_SECOND: Final = 20.0
REFERENCE_BITRATE: Final = 2e6
LATENESS_LIMIT: Final = 0.25
"""A generator that sends this late does not replay in real time."""


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--url", required=True, help="rtmp://…/live/{key} or …/live/stream{n}")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="stream keys for {key}, one per line")
    parser.add_argument(
        "--publishers",
        type=bounded(int, 1, MAX_PUBLISHERS),
        default=DEFAULT_PUBLISHERS,
        help=f"publishers at once (default {DEFAULT_PUBLISHERS})",
    )
    parser.add_argument(
        "--rate",
        type=bounded(float, 1, 1000),
        default=CONNECTS_PER_SECOND,
        help=f"publishers connecting per second (default {CONNECTS_PER_SECOND:g})",
    )
    add_clip_arguments(parser)
    add_load_arguments(parser, DEFAULT_SECONDS)


async def _run(arguments: Namespace) -> Sequence[Report]:
    keys = read_keys(arguments.keys)
    targets = publish_targets(arguments.url, keys, arguments.publishers, arguments.allow_remote)
    reserve_descriptors(arguments.publishers)
    server_probe(arguments)  # a wrong process id is told before the work begins
    progress, started_at = Progress(), utc_now()
    async with AsyncExitStack() as stack:
        stack.callback(progress.clear)
        clip = make_clip(arguments, progress)
        fleet = PublisherFleet(targets, clip, arguments.chunk_size, arguments.rate)
        stack.push_async_callback(fleet.close)
        progress.show(f"connecting {arguments.publishers} publishers")
        await fleet.connect()
        _check_accepted(fleet.finish(), targets[0])
        fleet.restart()
        phase = f"measuring {arguments.publishers} publishers for {arguments.seconds:g} s"
        interval = await measure(arguments, [os.getpid()], lambda gone: progress.show(phase, f"{gone:.0f} s"))
        publishers = fleet.finish()
    return [
        Report(
            command="ingest",
            label=arguments.label or targets[0].authority,
            started_at=started_at,
            machine=machine_name(),
            parameters=_parameters(arguments),
            metrics=(*_metrics(publishers, interval), *server_metrics(interval)),
            series=server_series(interval),
            problems=tuple([*interval_problems(interval), *_problems(publishers)]),
            notes=tuple([*interval_notes(interval), *_notes(publishers)]),
        )
    ]


def _check_accepted(publishers: Sequence[PublisherFigures], target: Target) -> None:
    """Raises BenchError when there is nothing to measure."""
    if all(publisher.refusal is not None for publisher in publishers):
        reason, _ = Counter(publisher.refusal for publisher in publishers).most_common(1)[0]
        raise BenchError(f"{target.authority}: no publisher was accepted: {reason}")


def _metrics(publishers: Sequence[PublisherFigures], interval: IntervalFigures) -> Iterator[Metric]:
    accepted = [publisher for publisher in publishers if publisher.refusal is None]
    setup = distribution([p.setup_seconds for p in accepted if p.setup_seconds is not None])
    bits = sum(publisher.bytes for publisher in accepted) * 8 / interval.seconds
    rate = percentile([publisher.bytes * 8 / interval.seconds for publisher in accepted], 0.5)
    yield Metric("accepted", len(accepted), "publishers", Better.HIGHER)
    yield Metric("refused", len(publishers) - len(accepted), "publishers", Better.LOWER)
    yield Metric("ended early", sum(p.error is not None for p in accepted), "publishers", Better.LOWER)
    yield Metric("set-up p50", scaled(setup.median, 1e3), "ms", Better.LOWER)
    yield Metric("set-up p99", scaled(setup.p99, 1e3), "ms", Better.LOWER)
    yield Metric("bytes sent", sum(publisher.bytes for publisher in accepted), "bytes")
    yield Metric("bitrate per publisher", scaled(rate, 1e-6), "Mb/s")
    yield Metric("messages", sum(p.frames for p in accepted) / interval.seconds, "per second")
    yield Metric("most unread", max((p.unsent for p in accepted), default=None), "bytes", Better.LOWER)
    yield Metric("generator lateness", scaled(max((p.lateness for p in accepted), default=None), 1e3), "ms")
    cores = interval.server_cores
    per_publisher = quotient(cores, len(accepted))
    yield Metric("server CPU per publisher", scaled(per_publisher, 100), "% of a core", Better.LOWER)
    per_rate = quotient(cores, bits / REFERENCE_BITRATE)
    yield Metric("server CPU per 2 Mb/s", scaled(per_rate, 100), "% of a core", Better.LOWER)


def _problems(publishers: Sequence[PublisherFigures]) -> Iterator[str]:
    lateness = max(publisher.lateness for publisher in publishers)
    if lateness > LATENESS_LIMIT:
        yield f"the load generator sent up to {lateness * 1000:.0f} ms late"


def _notes(publishers: Sequence[PublisherFigures]) -> Iterator[str]:
    reasons = Counter(p.refusal or p.error for p in publishers)
    for reason, count in reasons.most_common():
        if reason is not None:
            yield f"{count} publishers: {reason}"


def _parameters(arguments: Namespace) -> dict[str, str]:
    """The address is left out, since it may hold stream keys."""
    source = "generated" if arguments.file is None else str(arguments.file)
    names = ("publishers", "rate", "chunk_size", "seconds")
    return {"file": source} | {name.replace("_", "-"): f"{getattr(arguments, name):g}" for name in names}


COMMAND = Command("ingest", "many RTMP publishers", _add_arguments, _run)
