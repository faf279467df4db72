"""Migrations: each once, however many start at the same time, and none half done."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.errors import MigrationError
from storage.migrating import MIGRATIONS, migrate, pending_migrations
from tests.conftest import url_of

GOOD = """-- Make a table
-- depends:

-- migrate: apply
CREATE TABLE things (name text);
-- migrate: rollback
"""
BAD = """-- Break half-way
-- depends: 0001-good

-- migrate: apply
CREATE TABLE more (name text);
CREATE TABLE things (name text);
-- migrate: rollback
"""


@pytest.fixture
async def empty(postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    administration = await asyncpg.connect(postgres.url)
    await administration.execute("CREATE DATABASE empty TEMPLATE template0")
    async with Database(url_of(postgres, "empty")) as database:
        yield database
    await administration.execute("DROP DATABASE empty WITH (FORCE)")
    await administration.close()


async def tables(database: Database) -> set[str]:
    rows = await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows if not row["tablename"].startswith("_pogo")}


async def test_applies_everything_once_however_many_start_at_once(empty: Database) -> None:
    every = tuple(sorted(path.stem for path in MIGRATIONS.glob("*.sql")))
    assert await pending_migrations(empty) == every
    results = await asyncio.gather(*(migrate(empty) for _ in range(5)))
    assert sorted(results, reverse=True) == [every, (), (), (), ()]
    assert await pending_migrations(empty) == ()
    assert await tables(empty) >= {"users", "rooms", "stream_keys", "broadcasts", "room_live_state"}


async def test_a_broken_migration_leaves_nothing_of_itself(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "0001-good.sql").write_text(GOOD)
    (tmp_path / "0002-bad.sql").write_text(BAD)
    with pytest.raises(MigrationError, match=r"0002-bad.*already exists"):
        await migrate(empty, tmp_path)
    assert await tables(empty) == {"things"}
    assert await pending_migrations(empty, tmp_path) == ("0002-bad",)


async def test_a_file_that_is_no_migration_is_refused(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "0001-good.sql").write_text("CREATE TABLE things (name text);")
    with pytest.raises(MigrationError, match="0001-good"):
        await migrate(empty, tmp_path)
    assert await tables(empty) == set()
