"""No query of a repository reads a large table from end to end."""

import asyncio
import pkgutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from inspect import Parameter, isclass, iscoroutinefunction, signature
from typing import Any, get_type_hints

import asyncpg
import pytest

import storage.repositories
from bench.api_load.population import Population
from bench.api_load.seeding import Seeder
from storage.database import Database, Executor
from storage.embedded import EmbeddedPostgres
from storage.errors import Conflict, InvalidValue
from tests.conftest import TEMPLATE, url_of
from tests.control_api.filling import fill
from tests.control_api.plans import LARGE_TABLE_ROWS, ExplainingDatabase, calls

NAME = "query_plans"
POPULATION = Population(users=20_000, rooms=5_000, follows=100_000, live=200)
SMALL_TABLES = {"categories", "room_live_state"}
"""As many rows as there are kinds of streams, or streams at the same time."""
IMPOSSIBLE = {"Search.positions": {"with_rooms": False, "with_users": False}}
"""Arguments that no caller would combine."""


class _RolledBackError(Exception):
    pass


@pytest.fixture(scope="module")
def seeded_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _make(postgres)).result()
        yield url_of(postgres, NAME)
        thread.submit(asyncio.run, _administer(postgres, f"DROP DATABASE {NAME} WITH (FORCE)")).result()


@pytest.fixture
async def explaining(seeded_url: str) -> AsyncIterator[ExplainingDatabase]:
    async with ExplainingDatabase(seeded_url) as database:
        yield database


async def _make(postgres: EmbeddedPostgres) -> None:
    await _administer(postgres, f"CREATE DATABASE {NAME} TEMPLATE {TEMPLATE}")
    connection = await asyncpg.connect(url_of(postgres, NAME))
    await Seeder(connection, POPULATION, lambda *_: None).seed()
    await fill(connection)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def _administer(postgres: EmbeddedPostgres, sql: str) -> None:
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(sql)
    await connection.close()


def _repositories() -> Iterator[type]:
    """Every class of storage.repositories that is made from an executor."""
    for module in pkgutil.iter_modules(storage.repositories.__path__):
        found = import_module(f"storage.repositories.{module.name}")
        for thing in vars(found).values():
            if isclass(thing) and thing.__module__ == found.__name__ and _takes_executor(thing):
                yield thing


def _takes_executor(kind: type) -> bool:
    parameters = list(signature(kind).parameters.values())
    if not parameters or any(p.default is Parameter.empty for p in parameters[1:]):
        return False
    return get_type_hints(kind.__init__).get(parameters[0].name) in (Executor, Database)


def _methods() -> list[Any]:
    return [
        pytest.param(kind, method, id=f"{kind.__name__}.{name}")
        for kind in _repositories()
        for name, method in vars(kind).items()
        if not name.startswith("_") and iscoroutinefunction(method)
    ]


@pytest.mark.parametrize(("repository", "method"), _methods())
async def test_no_query_scans_a_large_table(explaining, repository, method):
    impossible = IMPOSSIBLE.get(method.__qualname__, {"": None}).items()
    for arguments in calls(method):
        if impossible <= arguments.items():
            continue
        # A broken constraint is no matter here: the plan was made before.
        with suppress(_RolledBackError, Conflict, InvalidValue):
            async with explaining.transaction() as transaction:
                await method(repository(transaction), **arguments)
                raise _RolledBackError
    assert explaining.statements
    if explaining.scans:
        pytest.fail("\n".join(map(str, explaining.scans)), pytrace=False)


async def test_every_table_is_large_here(explaining):
    rows = await explaining.fetch(
        """SELECT relname, reltuples FROM pg_class
           WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT LIKE '%pogo%'"""
    )
    small = {row["relname"] for row in rows if row["reltuples"] <= LARGE_TABLE_ROWS}
    assert small - SMALL_TABLES == set()


async def test_every_foreign_key_has_an_index(explaining):
    """Or deleting what it points to would read the whole table."""
    rows = await explaining.fetch(
        """SELECT conrelid::regclass::text AS name, conname FROM pg_constraint AS key
           WHERE contype = 'f' AND NOT EXISTS (
               SELECT 1 FROM pg_index
                             WHERE indrelid = conrelid AND indkey[0] = ANY (conkey) AND indpred IS NULL)"""
    )
    assert [tuple(row) for row in rows] == []


async def test_a_scan_is_found(explaining):
    await explaining.fetch("SELECT 1 FROM users WHERE bio = $1", "x")
    assert [scan.table for scan in explaining.scans] == ["users"]
