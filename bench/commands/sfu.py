"""``bench sfu``: publishers by WHIP, viewers by WHEP, and what forwarding between them costs the server."""

import asyncio
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from bench.commands.command import MAX_CONNECTIONS, Command, add_load_arguments, bounded
from bench.commands.steady import (
    interval_notes,
    interval_problems,
    scaled,
    server_metrics,
    server_series,
    utc_now,
)
from bench.errors import BenchError
from bench.measure.limits import reserve_descriptors
from bench.measure.progress import Progress
from bench.measure.sampling import IntervalFigures, Sampler, ServerProbe, Share
from bench.measure.statistics import distribution, percentile, quotient
from bench.peers import HOST, own_server
from bench.reporting.machine import machine_name
from bench.reporting.model import Better, Metric, Report
from bench.targets import Target, parse_target
from bench.webrtc_load.core_server import core_server
from bench.webrtc_load.figures import PublisherFigures, SubscriberFigures
from bench.webrtc_load.fleets import PublisherFleet, SubscriberFleet
from bench.webrtc_load.plan import RtcPlan, RtcRoom
from bench.webrtc_load.publisher import MediaPlan
from bench.workers import make_fleet

DEFAULT_SUBSCRIBERS: Final = 100
DEFAULT_BITRATE: Final = 600_000
DEFAULT_PACKET_BYTES: Final = 1200
DEFAULT_RATE: Final = 40.0
DEFAULT_SECONDS: Final = 20.0
SAMPLE_EVERY: Final = 10
MAX_ROOMS: Final = 200
STARTUP_SECONDS: Final = 10.0
WARM_UP_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 2.0
LATE_SECONDS: Final = 0.2
SHORT_OF_DATA: Final = 0.95
"""A viewer with less than this share of the median's packets was short of data."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A server to be loaded; `pid` is None for one that cannot be sampled."""

    label: str
    target: Target
    rooms: tuple[RtcRoom, ...]
    pid: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the interval brought; `grown` is the server's memory that came with the viewers."""

    publishers: Sequence[PublisherFigures]
    subscribers: Sequence[SubscriberFigures]
    interval: IntervalFigures
    grown: int | None

    @property
    def watching(self) -> list[SubscriberFigures]:
        return [figures for figures in self.subscribers if figures.media_at is not None]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--url", help="http://… of a server (default: one of its own, started and stopped)")
    parser.add_argument(
        "--core", action="store_true", help="its own: the SFU alone, without database and bridges"
    )
    parser.add_argument("--rooms", type=Path, help="with --url: file of rooms, one 'name [key]' per line")
    parser.add_argument("--whip", default="/whip/{room}", help="path of WHIP (default /whip/{room})")
    parser.add_argument("--whep", default="/whep/{room}", help="path of WHEP (default /whep/{room})")
    numbers = (
        ("--publishers", int, 1, MAX_ROOMS, 1, "publishers, one in each room"),
        ("--subscribers", int, 1, MAX_CONNECTIONS, DEFAULT_SUBSCRIBERS, "viewers of all rooms together"),
        ("--bitrate", float, 50_000, 50_000_000, DEFAULT_BITRATE, "bits per second of a publisher's video"),
        ("--packet-bytes", int, 100, 1400, DEFAULT_PACKET_BYTES, "length of a packet of video"),
        ("--rate", float, 1, 1000, DEFAULT_RATE, "viewers that connect per second"),
        ("--sample-every", int, 1, MAX_CONNECTIONS, SAMPLE_EVERY, "every so many-th viewer takes latencies"),
        ("--processes", int, 1, 64, 1, "processes that share the viewers"),
    )
    for name, kind, least, most, default, text in numbers:
        parser.add_argument(
            name, type=bounded(kind, least, most), default=default, help=f"{text} (default {default:g})"
        )
    parser.add_argument(
        "--no-feedback", action="store_true", help="viewers without transport-wide congestion control"
    )
    add_load_arguments(parser, DEFAULT_SECONDS)


async def _run(arguments: Namespace) -> Sequence[Report]:
    if arguments.url is None and arguments.server_pid is not None:
        raise BenchError("--server-pid belongs to --url")
    if arguments.url is not None and (arguments.rooms is None or arguments.core):
        raise BenchError("--url needs --rooms, and cannot be with --core")
    reserve_descriptors(arguments.subscribers + arguments.publishers)
    progress = Progress()
    try:
        async with _server(arguments, progress) as loaded:
            return [await _load(loaded, arguments, progress)]
    finally:
        progress.clear()


# Servers


@asynccontextmanager
async def _server(arguments: Namespace, progress: Progress) -> AsyncIterator[Loaded]:
    if arguments.url is not None:
        target = parse_target(arguments.url, ("http",), arguments.allow_remote)
        label = arguments.label or target.authority
        yield Loaded(label, target, _read_rooms(arguments.rooms, arguments.publishers), arguments.server_pid)
        return
    progress.show("starting a server")
    if arguments.core:
        async with core_server() as core:
            rooms = tuple(RtcRoom(f"room-{number}") for number in range(arguments.publishers))
            target = parse_target(f"http://{HOST}:{core.port}", ("http",))
            yield Loaded(arguments.label or "SFU alone", target, rooms, core.pid)
        return
    async with own_server(("--rtc.announced-addresses", HOST)) as server:
        made = [await server.create_room(f"bench {number}") for number in range(arguments.publishers)]
        rooms = tuple(RtcRoom(room.room_id, room.stream_key) for room in made)
        target = parse_target(server.http_url("/"), ("http",))
        yield Loaded(arguments.label or "mediaserver", target, rooms, server.pid)


def _read_rooms(path: Path, count: int) -> tuple[RtcRoom, ...]:
    """Raises BenchError where there are not enough."""
    try:
        lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"--rooms {path}: {error}") from None
    if len(lines) < count:
        raise BenchError(f"--rooms: {count} publishers need as many rooms, there are {len(lines)}")
    return tuple(RtcRoom(words[0], words[1] if len(words) > 1 else None) for words in lines[:count])


# One run


async def _load(loaded: Loaded, arguments: Namespace, progress: Progress) -> Report:
    started_at = utc_now()
    plan = _plan(loaded, arguments)
    probe = None if loaded.pid is None else ServerProbe(loaded.pid)
    async with AsyncExitStack() as stack:
        publishers = PublisherFleet(plan)
        stack.push_async_callback(publishers.close)
        progress.show("publishing")
        await publishers.connect()
        await asyncio.sleep(WARM_UP_SECONDS)
        before = _memory(probe)
        fleet, pids = make_fleet(plan, arguments.processes, SubscriberFleet)
        stack.push_async_callback(fleet.close)
        progress.show(f"connecting {arguments.subscribers} viewers")
        await fleet.connect(STARTUP_SECONDS)
        _check_served(await fleet.finish())
        await asyncio.sleep(SETTLE_SECONDS)
        after = _memory(probe)
        publishers.begin()
        await fleet.begin()
        phase = f"measuring {arguments.subscribers} viewers for {arguments.seconds:g} s"
        interval = await Sampler(probe, pids).run(
            arguments.seconds, lambda gone: progress.show(phase, f"{gone:.0f} s")
        )
        grown = None if before is None or after is None else after - before
        outcome = Outcome(publishers.finish(), await fleet.finish(), interval, grown)
    return _report(loaded, arguments, outcome, started_at)


def _plan(loaded: Loaded, arguments: Namespace) -> RtcPlan:
    return RtcPlan(
        target=loaded.target,
        rooms=loaded.rooms,
        media=MediaPlan(int(arguments.bitrate), int(arguments.packet_bytes)),
        viewers=int(arguments.subscribers),
        sample_every=int(arguments.sample_every),
        connects_per_second=arguments.rate,
        has_feedback=not arguments.no_feedback,
        whip=arguments.whip,
        whep=arguments.whep,
    )


def _check_served(subscribers: Sequence[SubscriberFigures]) -> None:
    """Raises BenchError when there is nothing to measure."""
    if all(figures.media_at is None for figures in subscribers):
        reason, _ = Counter(figures.error for figures in subscribers).most_common(1)[0]
        raise BenchError(f"no viewer got any media: {reason}")


def _memory(probe: ServerProbe | None) -> int | None:
    return None if probe is None else probe.read()[Share.SERVER].memory_bytes


# The report


def _report(loaded: Loaded, arguments: Namespace, outcome: Outcome, started_at: str) -> Report:
    return Report(
        command="sfu",
        label=loaded.label,
        started_at=started_at,
        machine=machine_name(),
        parameters=_parameters(arguments),
        metrics=(*_metrics(outcome), *server_metrics(outcome.interval)),
        series=server_series(outcome.interval),
        problems=tuple(_problems(outcome)),
        notes=(*interval_notes(outcome.interval), *_notes(outcome)),
    )


def _metrics(outcome: Outcome) -> Iterator[Metric]:
    watching, seconds = outcome.watching, outcome.interval.seconds
    packets_in = sum(figures.packets for figures in outcome.publishers)
    packets_out = sum(figures.packets + figures.retransmissions for figures in watching)
    lost = sum(figures.lost for figures in watching)
    yield Metric("viewers served", len(watching), "viewers", Better.HIGHER)
    yield Metric("viewers lost", sum(v.error is not None for v in watching), "viewers", Better.LOWER)
    yield Metric("packets out", packets_out / seconds, "1/s", Better.HIGHER)
    yield Metric("packets in", packets_in / seconds, "1/s")
    yield Metric("throughput", sum(figures.bytes for figures in watching) * 8e-6 / seconds, "Mb/s")
    yield Metric("lost", lost, "packets", Better.LOWER)
    yield Metric("lost, share", scaled(quotient(lost, packets_out + lost), 100), "%", Better.LOWER)
    yield Metric("reordered", sum(figures.reordered for figures in watching), "packets", Better.LOWER)
    yield Metric("duplicates", sum(figures.duplicates for figures in watching), "packets", Better.LOWER)
    yield Metric("retransmissions and probes", sum(v.retransmissions for v in watching), "packets")
    yield Metric("feedbacks in", sum(figures.feedbacks for figures in watching) / seconds, "1/s")
    yield from _times(watching)
    yield from _costs(outcome, packets_out)
    requests = sum(figures.keyframe_requests for figures in outcome.publishers)
    yield Metric("keyframe requests", requests / len(outcome.publishers), "per publisher", Better.LOWER)
    missed = sum(figures.missed for figures in outcome.publishers)
    yield Metric("asked again of publishers", missed, "packets", Better.LOWER)


def _times(watching: Sequence[SubscriberFigures]) -> Iterator[Metric]:
    latency = distribution(list(chain.from_iterable(figures.latencies for figures in watching)))
    startup = distribution([v.startup_seconds for v in watching if v.startup_seconds is not None])
    yield Metric("latency p50", scaled(latency.median, 1000), "ms", Better.LOWER)
    yield Metric("latency p99", scaled(latency.p99, 1000), "ms", Better.LOWER)
    yield Metric("latency, largest", scaled(latency.maximum, 1000), "ms", Better.LOWER)
    yield Metric("start-up p50", scaled(startup.median, 1000), "ms", Better.LOWER)
    yield Metric("start-up p99", scaled(startup.p99, 1000), "ms", Better.LOWER)


def _costs(outcome: Outcome, packets_out: int) -> Iterator[Metric]:
    interval = outcome.interval
    per_packet = quotient(scaled(interval.server_cores, interval.seconds), packets_out)
    yield Metric("server CPU per 1,000 packets", scaled(per_packet, 1e6), "ms", Better.LOWER)
    yield Metric("server CPU per packet", scaled(per_packet, 1e6), "µs", Better.LOWER)
    per_core = quotient(packets_out / interval.seconds, interval.server_cores)
    yield Metric("packets out per core", per_core, "1/s", Better.HIGHER)
    memory = quotient(outcome.grown, len(outcome.watching))
    yield Metric("server memory per viewer", scaled(memory, 1e-3), "kB", Better.LOWER)


def _problems(outcome: Outcome) -> Iterator[str]:
    yield from interval_problems(outcome.interval)
    latest = max(figures.latest for figures in outcome.publishers)
    if latest > LATE_SECONDS:
        yield f"a publisher was {latest * 1000:.0f} ms behind its clock"
    ended = sum(figures.error is not None for figures in outcome.publishers)
    if ended:
        yield f"{ended} publishers were ended by the server"


def _notes(outcome: Outcome) -> Iterator[str]:
    reasons = Counter(figures.error for figures in outcome.subscribers if figures.error is not None)
    for reason, count in reasons.most_common(3):
        yield f"{count} viewers: {reason}"
    counts = [figures.packets for figures in outcome.watching]
    median = percentile(counts, 0.5) or 0
    short = sum(count < median * SHORT_OF_DATA for count in counts)
    if short:
        yield f"{short} viewers were short of data (under {SHORT_OF_DATA:.0%} of the median)"
    unreadable = sum(figures.unreadable for figures in outcome.watching)
    if unreadable:
        yield f"{unreadable} packets did not decrypt"


def _parameters(arguments: Namespace) -> dict[str, str]:
    names = ("publishers", "subscribers", "bitrate", "packet_bytes", "processes", "seconds")
    values = {name.replace("_", "-"): f"{getattr(arguments, name):g}" for name in names}
    return {**values, "feedback": "none" if arguments.no_feedback else "transport-cc"}


COMMAND = Command("sfu", "WebRTC viewers of WebRTC publishers, by WHIP and WHEP", _add_arguments, _run)
