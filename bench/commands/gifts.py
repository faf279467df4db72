"""``bench gifts``: gifts a second into one room, or over many.

Over HTTP, to a server of its own with an embedded PostgreSQL; or with ``--core`` to the service alone, which
then runs in the generator's process. Gifts start by the clock, whether or not those before are done.
"""

import asyncio
import tempfile
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from bench.api_load.givers import ANSWER_SECONDS, Crowd, GiftClient, populate, sign_in
from bench.chat_load.probe import ChatProbe
from bench.commands.command import Command, add_output_arguments, bounded
from bench.commands.steady import interval_notes, scaled, server_metrics, utc_now
from bench.errors import BenchError
from bench.measure.progress import Progress
from bench.measure.sampling import IntervalFigures, Sampler
from bench.measure.statistics import distribution
from bench.peers import own_server
from bench.reporting.machine import machine_name
from bench.reporting.model import Better, Metric, Report
from bench.targets import parse_target
from control_api.errors import ApiError
from control_api.services.gift_news import GiftNews
from control_api.services.gift_rules import GiftParts
from control_api.services.gifts import GiftsService
from control_api.services.money import MoneyOptions
from control_api.services.playback import PlaybackAccess
from control_api.services.wallet import WalletService
from storage.bus import Bus
from storage.database import Database, PoolOptions
from storage.embedded import EmbeddedPostgres
from storage.errors import StorageError
from storage.ids import new_id
from storage.migrating import migrate
from storage.reconciliation import reconcile
from storage.repositories.ledger_accounts import LedgerAccounts

MAX_WAITING: Final = 5000
"""Gifts under way at once; further ones are not given, and counted."""
WARM_UP_SECONDS: Final = 2.0
UNLIMITED: Final = "1000000000"

Give: TypeAlias = Callable[[int, int], Awaitable[str]]
"""By the numbers of sender and room; returns why it was refused, or nothing."""


@dataclass(slots=True)
class _Tally:
    latencies: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where gifts are given. ``probe`` is None where the server is this process."""

    give: Give
    database: Database
    probe: ChatProbe | None


@dataclass(frozen=True, slots=True)
class _Outcome:
    tally: _Tally
    interval: IntervalFigures
    differences: int


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--core", action="store_true", help="the service alone, without HTTP and chat")
    for name, kind, least, most, default, text in (
        ("--rate", float, 1, 20_000, 300.0, "gifts a second"),
        ("--rooms", int, 1, 10_000, 1, "rooms that they are spread over, each of another creator"),
        ("--senders", int, 1, 10_000, 500, "people who give"),
        ("--seconds", float, 1, 600, 15.0, "length of the interval that is measured"),
        ("--connections", int, 2, 200, 10, "to PostgreSQL, with --core"),
    ):
        parser.add_argument(
            name, type=bounded(kind, least, most), default=default, help=f"{text} (default {default:g})"
        )
    add_output_arguments(parser)


async def _run(arguments: Namespace) -> Sequence[Report]:
    progress, started_at = Progress(), utc_now()
    stage_of = _core if arguments.core else _server
    try:
        progress.show("starting, and making people and rooms")
        async with stage_of(arguments) as stage:
            progress.show("warming up")
            await _load(stage.give, arguments, WARM_UP_SECONDS)
            progress.show(f"giving {arguments.rate:g} a second for {arguments.seconds:g} s")
            sampler = Sampler(stage.probe)
            tally, interval = await asyncio.gather(
                _load(stage.give, arguments, arguments.seconds),
                sampler.run(arguments.seconds, lambda _: None),
            )
            differences = len((await reconcile(stage.database)).differences)
    finally:
        progress.clear()
    return [_report(arguments, _Outcome(tally, interval, differences), started_at)]


@asynccontextmanager
async def _server(arguments: Namespace) -> AsyncIterator[_Stage]:
    async with own_server(("--api.requests-per-window", UNLIMITED)) as server, AsyncExitStack() as stack:
        url = EmbeddedPostgres(server.data_dir / "postgres").url
        database = await stack.enter_async_context(Database(url))
        crowd = await populate(database, arguments.senders, arguments.rooms)
        tokens = await sign_in(database, server.data_dir, crowd.senders)
        client = GiftClient(parse_target(server.http_url("/"), ("http",)), crowd, tokens)
        stack.callback(client.close)
        yield _Stage(client.give, database, ChatProbe(server.pid, _postmaster(server.data_dir)))


def _postmaster(data_dir: Path) -> int:
    """It is no child of the server, which it outlives."""
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


@asynccontextmanager
async def _core(arguments: Namespace) -> AsyncIterator[_Stage]:
    with tempfile.TemporaryDirectory(prefix="mediaserver-bench-") as name:
        server = EmbeddedPostgres(Path(name) / "postgres")
        async with Database(server, PoolOptions(size=arguments.connections)) as database:
            await migrate(database)
            crowd = await populate(database, arguments.senders, arguments.rooms)
            news = GiftNews(database, Bus())
            telling = asyncio.create_task(news.run())
            try:
                yield _Stage(_giving(_service(database, news), crowd), database, None)
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)


class _NotHere:
    """No room is live on this node; the database knows of all."""

    def is_live(self, _room_id: object) -> bool:
        return False


def _service(database: Database, news: GiftNews) -> GiftsService:
    options, accounts = MoneyOptions(welcome_coins=0), LedgerAccounts(database)
    wallets = WalletService(database, accounts, b"", options)
    parts = GiftParts(accounts, wallets, PlaybackAccess(database), _NotHere(), options, news.wake)
    return GiftsService(database, parts)


def _giving(service: GiftsService, crowd: Crowd) -> Give:
    async def give(sender: int, room: int) -> str:
        try:
            await service.give(crowd.senders[sender], crowd.rooms[room], str(new_id()), crowd.gift_id, 1)
        except ApiError as error:
            return error.code
        return ""

    return give


async def _load(give: Give, arguments: Namespace, seconds: float) -> _Tally:
    loop, tally = asyncio.get_running_loop(), _Tally()
    tasks: set[asyncio.Task[None]] = set()
    began = loop.time()
    for number in range(int(arguments.rate * seconds)):
        due = began + number / arguments.rate
        if (pause := due - loop.time()) > 0:
            await asyncio.sleep(pause)
        elif number % 50 == 0:
            await asyncio.sleep(0)
        if len(tasks) >= MAX_WAITING:
            tally.refused["not given: too many wait"] += 1
            continue
        sender, room = number % arguments.senders, number % arguments.rooms
        task = asyncio.create_task(_give(give, sender, room, due, tally))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.wait(tasks, timeout=ANSWER_SECONDS) if tasks else None
    if tasks:
        tally.refused["no answer"] += len(tasks)
    return tally


async def _give(give: Give, sender: int, room: int, due: float, tally: _Tally) -> None:
    try:
        refusal = await give(sender, room)
    except (StorageError, BenchError, OSError, TimeoutError) as error:
        refusal = type(error).__name__
    if refusal:
        tally.refused[refusal] += 1
    else:
        tally.latencies.append(asyncio.get_running_loop().time() - due)


def _report(arguments: Namespace, outcome: _Outcome, started_at: str) -> Report:
    names = ("rate", "rooms", "senders", "seconds")
    refused = tuple(f"{count} gifts: {code}" for code, count in outcome.tally.refused.most_common(5))
    return Report(
        command="gifts",
        label="service alone" if arguments.core else "mediaserver",
        started_at=started_at,
        machine=machine_name(),
        parameters={name: f"{getattr(arguments, name):g}" for name in names},
        metrics=(*_metrics(arguments, outcome), *server_metrics(outcome.interval)),
        problems=tuple(_problems(outcome)),
        notes=(*refused, *interval_notes(outcome.interval)),
    )


def _metrics(arguments: Namespace, outcome: _Outcome) -> Iterator[Metric]:
    tally = outcome.tally
    latencies = distribution(tally.latencies)
    yield Metric("gifts", len(tally.latencies) / arguments.seconds, "1/s", Better.HIGHER)
    yield Metric("latency p50", scaled(latencies.median, 1000), "ms", Better.LOWER)
    yield Metric("latency p99", scaled(latencies.p99, 1000), "ms", Better.LOWER)
    yield Metric("errors", tally.refused.total(), "gifts", Better.LOWER)
    yield Metric("differences in the ledger", outcome.differences, "", Better.LOWER)


def _problems(outcome: _Outcome) -> Iterator[str]:
    if outcome.differences:
        yield f"the ledger has {outcome.differences} differences"
    if not outcome.tally.latencies:
        yield "nothing was given"


COMMAND = Command("gifts", "gifts a second into one room, or over many", _add_arguments, _run)
