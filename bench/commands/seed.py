"""``bench seed``: a database as large as a busy installation's, for ``bench api`` to load."""

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final

from bench.api_load.population import PASSWORD, Population, username
from bench.api_load.seeding import Seeder
from bench.commands.command import Command, bounded
from bench.errors import BenchError
from bench.measure.progress import Progress
from bench.reporting.model import Report
from storage.database import Database
from storage.errors import StorageError
from storage.migrating import migrate

DEFAULT_USERS: Final = 100_000
DEFAULT_ROOMS: Final = 10_000
DEFAULT_FOLLOWS: Final = 1_000_000
DEFAULT_LIVE: Final = 500


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--database-url", required=True, help="postgresql://…; a database that may be filled")
    for name, default, least, most in (
        ("users", DEFAULT_USERS, 2, 999_999),
        ("rooms", DEFAULT_ROOMS, 0, 99_999),
        ("follows", DEFAULT_FOLLOWS, 0, 50_000_000),
        ("live", DEFAULT_LIVE, 0, 99_999),
    ):
        parser.add_argument(
            f"--{name}",
            type=bounded(int, least, most),
            default=default,
            help=f"rooms that are live (default {default})" if name == "live" else f"default {default}",
        )


async def _run(arguments: Namespace) -> Sequence[Report]:
    population = Population(arguments.users, arguments.rooms, arguments.follows, arguments.live)
    if population.follows_per_user >= population.users:
        raise BenchError(f"{population.users} users cannot follow each other {population.follows} times")
    progress, started = Progress(), asyncio.get_running_loop().time()
    try:
        async with Database(arguments.database_url) as database:
            progress.show("migrating")
            await migrate(database)
            async with database.dedicated_connection() as connection:
                await Seeder(connection, population, progress.show).seed()
    except StorageError as error:
        raise BenchError(f"--database-url: {error}") from None
    finally:
        progress.clear()
    seconds = asyncio.get_running_loop().time() - started
    last = username(population.users - 1)
    print(f"seeded in {seconds:.0f} s; log in as {username(0)} … {last} with the password {PASSWORD!r}")
    return ()


COMMAND = Command("seed", "fill a database with users, rooms and follows", _add_arguments, _run)
