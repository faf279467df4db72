"""The pool and its errors, with a real server that is stopped and started again under it."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from storage.database import Database, PoolOptions, translated_errors
from storage.embedded import EmbeddedPostgres
from storage.errors import Conflict, DatabaseUnavailable, InvalidValue, StorageError
from tests.conftest import UNSAFE_BUT_FAST

NOBODY_LISTENS = "postgresql://nobody@127.0.0.1:1/nothing"


async def until_it_answers(database: Database, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await database.ping()
            except DatabaseUnavailable:
                await asyncio.sleep(0.02)


async def test_runs_sql_with_arguments(database: Database) -> None:
    assert await database.fetch_value("SELECT $1::int + 1", 41) == 42
    row = await database.fetch_row("SELECT 1 AS one, 2 AS two")
    assert row is not None and (row["one"], row["two"]) == (1, 2)
    assert [row[0] for row in await database.fetch("SELECT generate_series(1, 3)")] == [1, 2, 3]
    assert await database.fetch_row("SELECT 1 WHERE false") is None


async def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    await database.execute("CREATE TABLE things (name text)")
    with pytest.raises(KeyError):
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO things VALUES ('lost')")
            raise KeyError
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO things VALUES ('kept')")
        with pytest.raises(KeyError):
            async with transaction.transaction() as inner:
                await inner.execute("INSERT INTO things VALUES ('rolled back to here')")
                raise KeyError
    assert [row["name"] for row in await database.fetch("SELECT name FROM things")] == ["kept"]


async def test_broken_constraints_have_their_name(database: Database) -> None:
    await database.execute(
        "CREATE TABLE things (name text CONSTRAINT name_unique UNIQUE"
        " CONSTRAINT name_short CHECK (length(name) < 5))"
    )
    await database.execute("INSERT INTO things VALUES ('one')")
    with pytest.raises(Conflict) as conflict:
        await database.execute("INSERT INTO things VALUES ('one')")
    assert conflict.value.constraint == "name_unique"
    with pytest.raises(InvalidValue) as invalid:
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO things VALUES ('too long')")
    assert invalid.value.constraint == "name_short"


async def test_a_fault_in_our_sql_is_no_outage(database: Database) -> None:
    for sql, arguments in (("SELEC 1", ()), ("SELECT $1::int", ("one",)), ("SELECT $1::int", (1, 2))):
        with pytest.raises(Exception) as error:
            await database.execute(sql, *arguments)
        assert not isinstance(error.value, StorageError), sql


async def test_a_slow_command_is_given_up(database_url: str) -> None:
    async with Database(database_url, PoolOptions(size=2, command_timeout=0.1)) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.execute("SELECT pg_sleep(60)")
        await database.ping()


async def test_a_full_pool_is_not_waited_for_for_ever(database_url: str) -> None:
    async with Database(database_url, PoolOptions(size=2, acquire_timeout=0.1)) as database:
        async with database.transaction(), database.transaction():
            assert database.connections == (2, 0)
            with pytest.raises(DatabaseUnavailable):
                await database.ping()
        await database.ping()


async def test_no_server_is_an_outage_and_a_refusal_is_said_at_once(database_url: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with Database(NOBODY_LISTENS, PoolOptions(patience=0.1)):
            pass
    with pytest.raises(StorageError, match="does not exist") as refused:
        async with Database(database_url.replace("/test_", "/no_such_"), PoolOptions(patience=60)):
            pass
    assert not isinstance(refused.value, DatabaseUnavailable)


@pytest.mark.parametrize("url", ["postgresql://host:port/x", "postgresql://[::1/x"])
async def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(StorageError):
        async with Database(url, PoolOptions(patience=0)):
            pass


async def test_connections_cut_by_the_server_are_replaced(database: Database) -> None:
    await database.ping()
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with pytest.raises(DatabaseUnavailable):
        await database.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    await until_it_answers(database)


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "postgres", UNSAFE_BUT_FAST)
    yield server
    await asyncio.to_thread(server.leave)


@pytest.mark.slow
async def test_comes_back_after_the_server_was_away(own_server: EmbeddedPostgres) -> None:
    await asyncio.to_thread(own_server.join)
    async with Database(own_server.url, PoolOptions(size=3, acquire_timeout=1)) as database:
        await database.execute("CREATE TABLE kept AS SELECT 1 AS value")
        await asyncio.to_thread(own_server.leave)
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable):
                await database.ping()
        await asyncio.to_thread(own_server.join)
        await until_it_answers(database)
        assert await database.fetch_value("SELECT value FROM kept") == 1


@pytest.mark.slow
async def test_starts_the_embedded_server_again_when_it_was_killed(tmp_path: Path) -> None:
    cluster = tmp_path / "postgres"
    async with Database(EmbeddedPostgres(cluster, UNSAFE_BUT_FAST)) as database:
        process = psutil.Process(int((cluster / "postmaster.pid").read_text().splitlines()[0]))
        process.kill()
        await asyncio.to_thread(process.wait, 10)
        await until_it_answers(database)
    assert not (cluster / "postmaster.pid").exists()


@pytest.mark.slow
async def test_starting_does_not_block_the_loop(tmp_path: Path) -> None:
    """While the embedded server is made and started, the loop goes on turning."""
    longest = 0.0

    async def measure() -> None:
        nonlocal longest
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - before)
            await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as tasks:
        measuring = tasks.create_task(measure())
        started = os.times().elapsed
        async with Database(EmbeddedPostgres(tmp_path / "postgres", UNSAFE_BUT_FAST)):
            pass
        elapsed = os.times().elapsed - started
        measuring.cancel()
    assert longest < elapsed / 2


def test_a_connection_that_dies_as_it_is_taken_is_a_lost_database() -> None:
    with pytest.raises(DatabaseUnavailable), translated_errors():
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")


def test_who_is_chosen_to_end_a_deadlock_asks_again() -> None:
    with pytest.raises(DatabaseUnavailable), translated_errors():
        raise asyncpg.DeadlockDetectedError("deadlock detected")
