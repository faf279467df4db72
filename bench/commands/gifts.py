"""``bench gifts``: gifts a second into one room, or over many, as the server's own service gives them.

The service and an embedded PostgreSQL of its own, with the settings and the disk that a server has; without
HTTP, whose cost ``bench api`` tells. Gifts start by the clock, whether or not those before are done.
"""

import asyncio
import tempfile
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

from bench.commands.command import Command, add_output_arguments, bounded
from bench.commands.steady import scaled, utc_now
from bench.measure.progress import Progress
from bench.measure.statistics import distribution
from bench.reporting.machine import machine_name
from bench.reporting.model import Better, Metric, Report
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
from storage.repositories import Users
from storage.repositories.gifts import Gifts
from storage.repositories.ledger import COIN, Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts
from storage.repositories.rooms import Rooms

COINS: Final = 1_000_000_000
MAX_WAITING: Final = 5000
"""Gifts under way at once; further ones are not given, and counted."""
ANSWER_SECONDS: Final = 30.0


@dataclass(slots=True)
class _Tally:
    latencies: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Crowd:
    senders: Sequence[UUID]
    rooms: Sequence[UUID]
    gift_id: UUID


class _Live:
    """Every room is."""

    def is_live(self, _room_id: UUID) -> bool:
        return True


def _add_arguments(parser: ArgumentParser) -> None:
    for name, kind, least, most, default, text in (
        ("--rate", float, 1, 20_000, 300.0, "gifts a second"),
        ("--rooms", int, 1, 10_000, 1, "rooms that they are spread over, each of another creator"),
        ("--senders", int, 1, 10_000, 500, "people who give"),
        ("--seconds", float, 1, 600, 15.0, "length of the interval that is measured"),
        ("--connections", int, 2, 200, 10, "to PostgreSQL"),
    ):
        parser.add_argument(
            name, type=bounded(kind, least, most), default=default, help=f"{text} (default {default:g})"
        )
    add_output_arguments(parser)


async def _run(arguments: Namespace) -> Sequence[Report]:
    progress, started_at = Progress(), utc_now()
    try:
        async with _database(arguments.connections) as database:
            progress.show("making people and rooms")
            accounts = LedgerAccounts(database)
            crowd = await _populate(database, accounts, arguments)
            news = GiftNews(database, Bus())
            service = _service(database, accounts, news)
            telling = asyncio.create_task(news.run())
            progress.show(f"giving {arguments.rate:g} a second for {arguments.seconds:g} s")
            try:
                tally = await _load(service, crowd, arguments)
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
            differences = len((await reconcile(database)).differences)
    finally:
        progress.clear()
    return [_report(arguments, tally, differences, started_at)]


@asynccontextmanager
async def _database(connections: int) -> AsyncIterator[Database]:
    with tempfile.TemporaryDirectory(prefix="mediaserver-bench-") as name:
        server = EmbeddedPostgres(Path(name) / "postgres")
        async with Database(server, PoolOptions(size=connections)) as database:
            await migrate(database)
            yield database


def _service(database: Database, accounts: LedgerAccounts, news: GiftNews) -> GiftsService:
    options = MoneyOptions(welcome_coins=0)
    wallets = WalletService(database, accounts, options)
    parts = GiftParts(accounts, wallets, PlaybackAccess(database), _Live(), options, news.wake)
    return GiftsService(database, parts)


async def _populate(database: Database, accounts: LedgerAccounts, arguments: Namespace) -> _Crowd:
    senders = [await _person(database, f"sender_{number}") for number in range(arguments.senders)]
    for sender in senders:
        source, wallet = await accounts.ids(
            [Account(AccountKind.BONUS, COIN), Account(AccountKind.WALLET, COIN, sender)]
        )
        lines = (Line(source, -COINS), Line(wallet, COINS))
        await Ledger(database).post(NewTransfer(TransferKind.BONUS, "bench", str(sender), "", lines))
    rooms = []
    for number in range(arguments.rooms):
        owner = await _person(database, f"creator_{number}")
        rooms.append(await Rooms(database).add(owner, "A room", None))
    (rose, *_) = await Gifts(database).offered()
    return _Crowd(senders, rooms, rose.id)


async def _person(database: Database, name: str) -> UUID:
    return (await Users(database).add(name, f"{name}@bench.invalid", "!")).id


async def _load(service: GiftsService, crowd: _Crowd, arguments: Namespace) -> _Tally:
    loop, tally = asyncio.get_running_loop(), _Tally()
    tasks: set[asyncio.Task[None]] = set()
    began = loop.time()
    for number in range(int(arguments.rate * arguments.seconds)):
        due = began + number / arguments.rate
        if (pause := due - loop.time()) > 0:
            await asyncio.sleep(pause)
        elif number % 50 == 0:
            await asyncio.sleep(0)
        if len(tasks) >= MAX_WAITING:
            tally.refused["not given: too many wait"] += 1
            continue
        task = asyncio.create_task(_give(service, crowd, number, due, tally))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.wait(tasks, timeout=ANSWER_SECONDS) if tasks else None
    if tasks:
        tally.refused["no answer"] += len(tasks)
    return tally


async def _give(service: GiftsService, crowd: _Crowd, number: int, due: float, tally: _Tally) -> None:
    sender = crowd.senders[number % len(crowd.senders)]
    room = crowd.rooms[number % len(crowd.rooms)]
    try:
        await service.give(sender, room, str(new_id()), crowd.gift_id, 1)
    except ApiError as error:
        tally.refused[error.code] += 1
    except (StorageError, TimeoutError) as error:
        tally.refused[type(error).__name__] += 1
    else:
        tally.latencies.append(asyncio.get_running_loop().time() - due)


def _report(arguments: Namespace, tally: _Tally, differences: int, started_at: str) -> Report:
    names = ("rate", "rooms", "senders", "seconds", "connections")
    return Report(
        command="gifts",
        label="mediaserver",
        started_at=started_at,
        machine=machine_name(),
        parameters={name: f"{getattr(arguments, name):g}" for name in names},
        metrics=tuple(_metrics(arguments, tally, differences)),
        problems=tuple(_problems(tally, differences)),
        notes=tuple(f"{count} gifts: {code}" for code, count in tally.refused.most_common(5)),
    )


def _metrics(arguments: Namespace, tally: _Tally, differences: int) -> Iterator[Metric]:
    latencies = distribution(tally.latencies)
    yield Metric("gifts", len(tally.latencies) / arguments.seconds, "1/s", Better.HIGHER)
    yield Metric("latency p50", scaled(latencies.median, 1000), "ms", Better.LOWER)
    yield Metric("latency p99", scaled(latencies.p99, 1000), "ms", Better.LOWER)
    yield Metric("errors", tally.refused.total(), "gifts", Better.LOWER)
    yield Metric("differences in the ledger", differences, "", Better.LOWER)


def _problems(tally: _Tally, differences: int) -> Iterator[str]:
    if differences:
        yield f"the ledger has {differences} differences"
    if not tally.latencies:
        yield "nothing was given"


COMMAND = Command("gifts", "gifts a second into one room, or over many", _add_arguments, _run)
