"""``bench chat``: many clients in the rooms of a chat, of whom some write."""

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median
from typing import Final

from bench.api_load.population import room_id
from bench.chat_load.accounts import Accounts, make_accounts, open_rooms
from bench.chat_load.fleet import DRAIN_SECONDS, ChatFleet, ChatPlan
from bench.chat_load.frames import MAX_MESSAGE_BYTES
from bench.chat_load.node_peer import node_peer
from bench.chat_load.probe import ChatProbe
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
from bench.measure.statistics import distribution, quotient
from bench.peers import OwnServer, own_server
from bench.reporting.machine import machine_name
from bench.reporting.model import Better, Metric, Report
from bench.targets import Target, parse_target
from storage.embedded import EmbeddedPostgres

DEFAULT_CLIENTS: Final = 1000
DEFAULT_RATE: Final = 200.0
DEFAULT_SECONDS: Final = 20.0
DEFAULT_BYTES: Final = 100
SAMPLE_EVERY: Final = 10
WINDOW_SECONDS: Final = 10
MESSAGES_PER_WINDOW: Final = 5
"""That one user may write. With fewer users than that takes, a server of our own is told to allow more."""
MESSAGES_PER_WRITER: Final = 0.4
"""A second."""
ROOM_FOR_BURSTS: Final = 2
WARM_UP_SECONDS: Final = 3.0
SETTLE_SECONDS: Final = 1.0
SLOW_CLOSED: Final = 3008
SLOW_SECONDS: Final = 10.0
LATE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Loaded:
    """A server to be loaded. ``pid`` is None for one that cannot be sampled."""

    label: str
    target: Target
    pid: int | None
    accounts: Accounts
    database_pid: int | None = None
    is_echo: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    fleet: ChatFleet
    interval: IntervalFigures
    deliveries: int
    memory_per_client: float | None
    memory_per_idle: float | None
    slow_cut: int


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--url", help="ws://…/ws of a server (default: one of its own, started and stopped)")
    parser.add_argument("--database-url", help="with --url: its database, for accounts to write with")
    parser.add_argument("--peer", choices=["ws"], help="load a broadcast of the npm package ws too, in turns")
    numbers = (
        ("--turns", int, 1, 20, 1, "times that each server is loaded"),
        ("--rooms", int, 1, 5000, 1, "rooms that the clients are spread over"),
        ("--clients", int, 1, MAX_CONNECTIONS, DEFAULT_CLIENTS, "clients at once"),
        ("--rate", float, 0, 20_000, DEFAULT_RATE, "messages per second, of all together"),
        ("--message-bytes", int, 60, MAX_MESSAGE_BYTES, DEFAULT_BYTES, "length of a message"),
        ("--idle", int, 0, MAX_CONNECTIONS, 0, "more clients, in rooms in which nobody writes"),
        ("--slow", int, 0, 1000, 0, "of the clients, those that take nothing once they have joined"),
        ("--sample-every", int, 1, MAX_CONNECTIONS, SAMPLE_EVERY, "every so many-th client takes latencies"),
    )
    for name, kind, least, most, default, text in numbers:
        parser.add_argument(
            name, type=bounded(kind, least, most), default=default, help=f"{text} (default {default:g})"
        )
    add_load_arguments(parser, DEFAULT_SECONDS)


async def _run(arguments: Namespace) -> Sequence[Report]:
    if arguments.url is None and (arguments.server_pid or arguments.database_url):
        raise BenchError("--server-pid and --database-url belong to --url")
    reserve_descriptors(arguments.clients + arguments.idle)
    progress, ours, theirs = Progress(), [], []
    try:
        for _ in range(arguments.turns):
            async with _server(arguments, progress) as loaded:
                ours.append(await _load(loaded, arguments, progress))
            if arguments.peer:
                async with _peer(arguments) as loaded:
                    theirs.append(await _load(loaded, arguments, progress))
    finally:
        progress.clear()
    if theirs:
        _print_ratios(ours, theirs)
    return [*ours, *theirs]


@asynccontextmanager
async def _server(arguments: Namespace, progress: Progress) -> AsyncIterator[Loaded]:
    database_pid = None
    async with AsyncExitStack() as stack:
        if arguments.url is not None:
            target = parse_target(arguments.url, ("ws",), arguments.allow_remote)
            label, pid = arguments.label or target.authority, arguments.server_pid
            database = arguments.database_url
        else:
            progress.show("starting a server")
            server = await stack.enter_async_context(own_server(_own_settings(arguments)))
            target = parse_target(f"ws://127.0.0.1:{server.http_port}/ws", ("ws",))
            label, pid, database = (
                arguments.label or "mediaserver",
                server.pid,
                EmbeddedPostgres(_database_folder(server)).url,
            )
            database_pid = _database_pid(server)
        if database is None:
            raise BenchError("--url needs --database-url, for accounts and rooms")
        accounts = await make_accounts(database, arguments.rooms * 2, _writers(arguments), progress.show)
        yield Loaded(label, target, pid, accounts, database_pid)


def _own_settings(arguments: Namespace) -> tuple[str, ...]:
    per_window = ceil(arguments.rate / _writers(arguments) * WINDOW_SECONDS * ROOM_FOR_BURSTS)
    return (
        *("--chat.max-connections", str(arguments.clients + arguments.idle + 100)),
        *("--chat.messages-per-window", str(max(MESSAGES_PER_WINDOW, per_window))),
    )


def _database_folder(server: OwnServer) -> Path:
    return Path(server.flags[server.flags.index("--data-dir") + 1]) / "postgres"


def _database_pid(server: OwnServer) -> int:
    return int((_database_folder(server) / "postmaster.pid").read_text().split()[0])


@asynccontextmanager
async def _peer(arguments: Namespace) -> AsyncIterator[Loaded]:
    async with node_peer() as peer:
        target = parse_target(f"ws://127.0.0.1:{peer.port}/ws", ("ws",))
        rooms = [room_id(number) for number in open_rooms(arguments.rooms * 2)]
        yield Loaded("node ws", target, peer.pid, Accounts(rooms, ()), is_echo=True)


def _writers(arguments: Namespace) -> int:
    """As many as it takes for none to be refused, if there are so many."""
    wanted = max(1, round(float(arguments.rate) / MESSAGES_PER_WRITER))
    return min(int(arguments.clients - arguments.slow), wanted)


async def _load(loaded: Loaded, arguments: Namespace, progress: Progress) -> Report:
    started_at = utc_now()
    probe = ChatProbe(loaded.pid, loaded.database_pid) if loaded.pid is not None else None
    async with AsyncExitStack() as stack:
        before = _memory(probe)
        idle = ChatFleet(_idle_plan(loaded, arguments))
        stack.callback(idle.close)
        await idle.connect(lambda detail: progress.show("connecting idle clients", detail))
        await asyncio.sleep(SETTLE_SECONDS)
        between = _memory(probe)
        fleet = ChatFleet(_plan(loaded, arguments))
        stack.callback(fleet.close)
        await fleet.connect(lambda detail: progress.show("connecting clients", detail))
        await asyncio.sleep(SETTLE_SECONDS)
        memory = _per(before, between, idle.size), _per(between, _memory(probe), fleet.size)
        outcome = await _measure(fleet, memory, probe, arguments, progress)
        if idle.tally.closed:
            fleet.tally.closed.update(idle.tally.closed)
    return _report(loaded, arguments, outcome, started_at)


def _plan(loaded: Loaded, arguments: Namespace) -> ChatPlan:
    return ChatPlan(
        loaded.target,
        loaded.accounts.rooms[: arguments.rooms],
        arguments.clients,
        _writers(arguments),
        loaded.accounts.keys,
        arguments.rate,
        arguments.message_bytes,
        arguments.sample_every,
        arguments.slow,
        loaded.is_echo,
        arguments.idle,
    )


def _idle_plan(loaded: Loaded, arguments: Namespace) -> ChatPlan:
    rooms = loaded.accounts.rooms[arguments.rooms :]
    return ChatPlan(loaded.target, rooms, arguments.idle, 0, (), 0, DEFAULT_BYTES, MAX_CONNECTIONS)


async def _measure(
    fleet: ChatFleet,
    memory: tuple[float | None, float | None],
    probe: ServerProbe | None,
    arguments: Namespace,
    progress: Progress,
) -> Outcome:
    progress.show("warming up")
    fleet.start_writing()
    await asyncio.sleep(WARM_UP_SECONDS)
    fleet.begin()
    phase = f"measuring {arguments.rate:g} messages/s for {arguments.seconds:g} s"
    interval = await Sampler(probe).run(arguments.seconds, lambda gone: progress.show(phase, f"{gone:.0f} s"))
    deliveries = fleet.end()
    await fleet.finish()
    slow_cut = await fleet.slow_closed(SLOW_CLOSED, SLOW_SECONDS) if arguments.slow else 0
    return Outcome(fleet, interval, deliveries, memory[1], memory[0], slow_cut)


def _report(loaded: Loaded, arguments: Namespace, outcome: Outcome, started_at: str) -> Report:
    return Report(
        command="chat",
        label=loaded.label,
        started_at=started_at,
        machine=machine_name(),
        parameters=_parameters(arguments),
        metrics=(*_metrics(outcome, arguments), *server_metrics(outcome.interval)),
        series=server_series(outcome.interval),
        problems=tuple(_problems(outcome, arguments)),
        notes=(*interval_notes(outcome.interval), *_notes(outcome)),
    )


def _metrics(outcome: Outcome, arguments: Namespace) -> Iterator[Metric]:
    fleet, interval, tally = outcome.fleet, outcome.interval, outcome.fleet.tally
    latencies = distribution(tally.latencies)
    per_second = outcome.deliveries / interval.seconds
    cpu = quotient(interval.server_cores, per_second / 100_000)
    yield Metric("deliveries", per_second, "1/s", Better.HIGHER)
    yield Metric("latency p50", scaled(latencies.median, 1000), "ms", Better.LOWER)
    yield Metric("latency p99", scaled(latencies.p99, 1000), "ms", Better.LOWER)
    yield Metric("lost", tally.lost + fleet.unseen, "messages", Better.LOWER)
    yield Metric("out of order", tally.reordered, "messages", Better.LOWER)
    yield Metric("refused", tally.refused.total(), "messages", Better.LOWER)
    yield Metric("unanswered", fleet.unanswered, "messages", Better.LOWER)
    yield Metric("clients lost", tally.closed.total() - outcome.slow_cut, "clients", Better.LOWER)
    yield Metric("server CPU per 100,000 deliveries", cpu, "s", Better.LOWER)
    yield Metric("memory per client", scaled(outcome.memory_per_client, 1e-3), "kB", Better.LOWER)
    if arguments.idle:
        yield Metric("memory per idle client", scaled(outcome.memory_per_idle, 1e-3), "kB", Better.LOWER)
    if arguments.slow:
        yield Metric("slow clients cut", outcome.slow_cut, "clients", Better.HIGHER)


def _problems(outcome: Outcome, arguments: Namespace) -> Iterator[str]:
    yield from interval_problems(outcome.interval)
    tally = outcome.fleet.tally
    if tally.lost:
        yield f"{tally.lost} messages were lost"
    if outcome.fleet.unseen:
        yield f"{outcome.fleet.unseen} messages had not come {DRAIN_SECONDS:g} s after the last was sent"
    if tally.reordered:
        yield f"{tally.reordered} messages came out of order"
    if arguments.rate and not outcome.deliveries:
        yield "nothing was delivered"


def _notes(outcome: Outcome) -> Iterator[str]:
    tally = outcome.fleet.tally
    for code, count in tally.refused.most_common(5):
        yield f"{count} messages refused: {code}"
    for reason, count in tally.closed.most_common(3):
        yield f"{count} clients: {reason}"
    if outcome.fleet.latest > LATE_SECONDS:
        yield f"the load generator was {outcome.fleet.latest * 1000:.0f} ms behind its clock"


def _parameters(arguments: Namespace) -> dict[str, str]:
    names = ("clients", "rooms", "rate", "message_bytes", "idle", "slow", "seconds")
    return {name.replace("_", "-"): f"{getattr(arguments, name):g}" for name in names}


def _print_ratios(ours: Sequence[Report], theirs: Sequence[Report]) -> None:
    """Of the medians over all turns."""
    for name in ("deliveries", "latency p99", "server CPU per 100,000 deliveries"):
        values = [[_value(report, name) for report in reports] for reports in (ours, theirs)]
        known = [[value for value in side if value is not None] for side in values]
        if all(known):
            ratio = quotient(median(known[0]), median(known[1]))
            print(f"{name}: {ratio:.2f} of the peer's" if ratio is not None else f"{name}: no ratio")


def _value(report: Report, name: str) -> float | None:
    return next((metric.value for metric in report.metrics if metric.name == name), None)


def _memory(probe: ServerProbe | None) -> int | None:
    return None if probe is None else probe.read()[Share.SERVER].memory_bytes


def _per(before: int | None, after: int | None, count: int) -> float | None:
    return None if before is None or after is None or not count else (after - before) / count


COMMAND = Command("chat", "many clients in the rooms of a chat", _add_arguments, _run)
