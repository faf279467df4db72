"""Fixtures for every test that needs PostgreSQL: one embedded server per run, a fresh database per test."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest

from storage.database import Database, PoolOptions
from storage.embedded import EmbeddedPostgres
from storage.migrating import migrate

TEMPLATE = "migrated"
UNSAFE_BUT_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running embedded PostgreSQL with a migrated database to copy."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "cluster", UNSAFE_BUT_FAST)
    server.join()
    try:
        # In a thread, so that no event loop of a test is disturbed.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _make_template(server)).result()
        yield server
    finally:
        server.leave()


@pytest.fixture
async def database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """Where a migrated database of the test's own is."""
    name = f"test_{secrets.token_hex(8)}"
    administration = await asyncpg.connect(postgres.url)
    try:
        await administration.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        yield url_of(postgres, name)
        await administration.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await administration.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's own database, open."""
    async with Database(database_url, PoolOptions(size=5)) as database:
        yield database


def url_of(postgres: EmbeddedPostgres, name: str) -> str:
    return postgres.url.replace("/postgres?", f"/{name}?")


async def _make_template(server: EmbeddedPostgres) -> None:
    administration = await asyncpg.connect(server.url)
    await administration.execute(f"CREATE DATABASE {TEMPLATE}")
    await administration.close()
    async with Database(url_of(server, TEMPLATE)) as database:
        await migrate(database)
