"""``bench fanout``: many viewers of one stream."""

import asyncio
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Final

from bench.commands.command import MAX_CONNECTIONS, Command, add_load_arguments, bounded
from bench.commands.publishing import add_publish_arguments, publish_for
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
from bench.measure.sampling import IntervalFigures, ServerProbe, Share
from bench.measure.statistics import distribution, percentile, quotient
from bench.reporting.machine import machine_name
from bench.reporting.model import Better, Metric, Report, Series
from bench.targets import Target, parse_target
from bench.viewers.figures import ViewerFigures
from bench.viewers.plan import FleetPlan, Protocol
from bench.workers import make_fleet

DEFAULT_VIEWERS: Final = 100
DEFAULT_SECONDS: Final = 20.0
CONNECTS_PER_SECOND: Final = 200.0
PARSE_EVERY: Final = 10
STARTUP_SECONDS: Final = 15.0
SETTLE_SECONDS: Final = 1.0
"""Between the last viewer's first media and the steady interval, for what is sent at joining to drain."""
SHORT_OF_DATA: Final = 0.95
"""A viewer with less than this share of the median bitrate was short of data."""
CURVE_POINTS: Final = 100


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--url", required=True, help="http://…/live/x.flv, ws://…, rtmp://… or …/index.m3u8")
    parser.add_argument(
        "--protocol",
        type=Protocol,
        choices=list(Protocol),
        default=Protocol.FLV,
        metavar="PROTOCOL",
        help="flv (default), ws-flv, fmp4, ts, rtmp, hls or ll-hls",
    )
    parser.add_argument(
        "--viewers",
        type=bounded(int, 1, MAX_CONNECTIONS),
        default=DEFAULT_VIEWERS,
        help=f"viewers at once (default {DEFAULT_VIEWERS})",
    )
    parser.add_argument(
        "--rate",
        type=bounded(float, 1, 5000),
        default=CONNECTS_PER_SECOND,
        help=f"viewers connecting per second (default {CONNECTS_PER_SECOND:g})",
    )
    parser.add_argument(
        "--parse-every",
        type=bounded(int, 1, MAX_CONNECTIONS),
        default=PARSE_EVERY,
        metavar="K",
        help=f"every K-th viewer parses what it gets, the others count bytes (default {PARSE_EVERY})",
    )
    parser.add_argument(
        "--processes",
        type=bounded(int, 1, 64),
        default=1,
        help="processes that share the viewers (default 1)",
    )
    add_publish_arguments(parser)
    add_load_arguments(parser, DEFAULT_SECONDS)


async def _run(arguments: Namespace) -> Sequence[Report]:
    target = parse_target(arguments.url, arguments.protocol.schemes, arguments.allow_remote)
    reserve_descriptors(arguments.viewers)
    probe, progress, started_at = server_probe(arguments), Progress(), utc_now()
    plan = FleetPlan(target, arguments.protocol, arguments.viewers, arguments.parse_every, arguments.rate)
    async with AsyncExitStack() as stack:
        stack.callback(progress.clear)
        await publish_for(stack, arguments, progress, arguments.protocol.warm_up_seconds)
        memory_before = _memory(probe)
        fleet, own_pids = make_fleet(plan, arguments.processes, FleetPlan.make_fleet)
        stack.push_async_callback(fleet.close)
        progress.show(f"connecting {arguments.viewers} viewers")
        await fleet.connect(STARTUP_SECONDS)
        _check_served(await fleet.finish(), target)
        await asyncio.sleep(SETTLE_SECONDS)
        await fleet.begin()
        phase = f"measuring {arguments.viewers} viewers for {arguments.seconds:g} s"
        interval = await measure(arguments, own_pids, lambda gone: progress.show(phase, f"{gone:.0f} s"))
        viewers = await fleet.finish()
    metrics = [*_metrics(viewers, interval, memory_before), *server_metrics(interval)]
    return [
        Report(
            command=f"fanout {arguments.protocol.value}",
            label=arguments.label or target.authority,
            started_at=started_at,
            machine=machine_name(),
            parameters=_parameters(arguments, target),
            metrics=tuple(metrics),
            series=(*_curves(viewers), *server_series(interval)),
            problems=tuple(interval_problems(interval)),
            notes=tuple([*interval_notes(interval), *_notes(viewers)]),
        )
    ]


def _check_served(viewers: Sequence[ViewerFigures], target: Target) -> None:
    """Raises BenchError when there is nothing to measure."""
    if all(viewer.media_at is None for viewer in viewers):
        reason, _ = Counter(viewer.error for viewer in viewers).most_common(1)[0]
        raise BenchError(f"{target.authority}: no viewer got any media: {reason}")


def _metrics(
    viewers: Sequence[ViewerFigures], interval: IntervalFigures, memory_before: int | None
) -> Iterator[Metric]:
    served = [viewer for viewer in viewers if viewer.media_at is not None]
    startup = distribution([v.startup_seconds for v in served if v.startup_seconds is not None])
    rates = [viewer.bytes * 8 / interval.seconds for viewer in served]
    gigabits = sum(rates) / 1e9
    yield Metric("viewers served", len(served), "viewers", Better.HIGHER)
    yield Metric("viewers lost", sum(v.error is not None for v in served), "viewers", Better.LOWER)
    yield Metric("start-up p50", scaled(startup.median, 1000), "ms", Better.LOWER)
    yield Metric("start-up p99", scaled(startup.p99, 1000), "ms", Better.LOWER)
    yield Metric("bitrate per viewer, least", scaled(percentile(rates, 0.0), 1e-6), "Mb/s", Better.HIGHER)
    yield Metric("bitrate per viewer, median", scaled(percentile(rates, 0.5), 1e-6), "Mb/s")
    yield Metric("throughput", gigabits, "Gb/s")
    yield Metric("stalls", sum(v.stalls for v in served), "", Better.LOWER)
    yield Metric("timestamp gaps", sum(v.gaps for v in served), "", Better.LOWER)
    yield Metric("frames lost", sum(v.lost_frames for v in served), "frames", Better.LOWER)
    longest = max((viewer.longest_silence for viewer in served), default=None)
    yield Metric("longest silence", scaled(longest, 1000), "ms")
    yield from _latency_metrics(served)
    cores_per_gigabit = quotient(interval.server_cores, gigabits)
    yield Metric("server CPU per Gb/s", scaled(cores_per_gigabit, 100), "% of a core", Better.LOWER)
    grown = None
    if memory_before is not None and interval.server_memory is not None and served:
        grown = (interval.server_memory - memory_before) / len(served) / 1e3
    yield Metric("server memory per viewer", grown, "kB", Better.LOWER)


def _latency_metrics(served: Sequence[ViewerFigures]) -> Iterator[Metric]:
    """From the publisher's stamp to the viewer; for HLS also with what the player stays behind."""
    latencies = distribution([latency for viewer in served for latency in viewer.latencies])
    yield Metric("latency p50", scaled(latencies.median, 1000), "ms", Better.LOWER)
    yield Metric("latency p99", scaled(latencies.p99, 1000), "ms", Better.LOWER)
    hold_back = percentile([v.hold_back for v in served if v.hold_back is not None], 0.5)
    if hold_back is not None:
        yield Metric("hold-back", scaled(hold_back, 1000), "ms", Better.LOWER)


def _notes(viewers: Sequence[ViewerFigures]) -> Iterator[str]:
    reasons = Counter(viewer.error for viewer in viewers if viewer.error is not None)
    for reason, count in reasons.most_common(3):
        yield f"{count} viewers: {reason}"
    # HLS comes in segments, of which one viewer may have got one more than another.
    counts = sorted(v.bytes for v in viewers if v.media_at is not None and v.hold_back is None)
    if counts:
        short = sum(count < counts[len(counts) // 2] * SHORT_OF_DATA for count in counts)
        if short:
            yield f"{short} viewers were short of data (under {SHORT_OF_DATA:.0%} of the median)"


def _curves(viewers: Sequence[ViewerFigures]) -> Iterator[Series]:
    startup = [v.startup_seconds for v in viewers if v.startup_seconds is not None]
    yield _cumulative("Start-up time", startup)
    yield _cumulative("Latency", [latency for v in viewers for latency in v.latencies])


def _cumulative(name: str, values: Sequence[float]) -> Series:
    """Values in ms over the share of viewers or frames at or below them."""
    ordered = sorted(values)
    steps = [step / CURVE_POINTS for step in range(CURVE_POINTS + 1)] if ordered else []
    points = tuple((share * 100, ordered[round(share * (len(ordered) - 1))] * 1000) for share in steps)
    return Series(name, "% at or below", "ms", points)


def _parameters(arguments: Namespace, target: Target) -> dict[str, str]:
    names = ("viewers", "rate", "parse_every", "processes", "seconds")
    url = target.url.partition("?")[0]  # a query may hold a token
    return {"url": url} | {name.replace("_", "-"): f"{getattr(arguments, name):g}" for name in names}


def _memory(probe: ServerProbe | None) -> int | None:
    return None if probe is None else probe.read()[Share.SERVER].memory_bytes


COMMAND = Command("fanout", "many viewers of one stream", _add_arguments, _run)
