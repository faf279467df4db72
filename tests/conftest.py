"""Fixtures for every test that needs PostgreSQL: one embedded server per process, a database per test."""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest
import structlog

from storage.database import Database, PoolOptions
from storage.embedded import EmbeddedPostgres
from storage.migrating import migrate

TEMPLATE = "migrated"
IN_MEMORY = Path("/dev/shm")
ENOUGH_MEMORY_BYTES = 2 * 1024**3
"""Copying the template there takes a tenth of the time it takes on a disk."""
UNSAFE_BUT_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_own_folder = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """As root, keep temporary files in a folder of our own.

    PostgreSQL then runs as another user, and each pytest that starts closes the folder they all share to
    everyone else, also under the servers of those that run.
    """
    if os.geteuid() == 0 and config.option.basetemp is None:
        config.stash[_own_folder] = config.option.basetemp = tempfile.mkdtemp(prefix="mediaserver-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash.get(_own_folder, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """What one test's command says of logging is not for the next test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running embedded PostgreSQL with a migrated database to copy, in memory where there is room."""
    has_memory = IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > ENOUGH_MEMORY_BYTES
    folder = Path(tempfile.mkdtemp(dir=IN_MEMORY)) if has_memory else tmp_path_factory.mktemp("postgres")
    server = EmbeddedPostgres(folder / "cluster", UNSAFE_BUT_FAST)
    server.join()
    try:
        # In a thread, so that no event loop of a test is disturbed.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _make_template(server)).result()
        yield server
    finally:
        server.leave()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """Where a migrated database of the test's own is."""
    name = f"test_{secrets.token_hex(8)}"
    administration = await asyncpg.connect(postgres.url)
    try:
        await administration.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
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
