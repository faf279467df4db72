"""Bringing the schema up to date: plain SQL files in ``migrations/``, forward only, applied by pogo-core.

Each file is applied in a transaction of its own. An advisory lock makes any number of processes that start at
once wait for the first of them.
"""

import asyncio
import logging
from pathlib import Path
from typing import Any, Final

import structlog
from pogo_core.error import BadMigrationError
from pogo_core.util import migrate as pogo
from pogo_core.util.sql import ensure_pogo_sync, get_applied_migrations

from storage.database import Database
from storage.errors import MigrationError

logger = structlog.get_logger("mediaserver.storage")

MIGRATIONS: Final = Path(__file__).parent / "migrations"
ADVISORY_LOCK: Final = 0x6D656469
"""Any number that other programs in the same database do not use: "medi"."""

# pogo-core warns of every migration it applies; the log line below is enough.
_SILENT: Final = logging.getLogger("mediaserver.storage.pogo")
_SILENT.disabled = True


async def migrate(database: Database, folder: Path = MIGRATIONS) -> tuple[str, ...]:
    """Apply what is missing and return its names, in order.

    Raises MigrationError, with the migrations before the failed one applied; DatabaseUnavailable.
    """
    async with database.dedicated_connection() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
        before = await _applied(connection)
        try:
            await pogo.apply(connection, folder, schema_name="public", logger=_SILENT)
        except BadMigrationError as error:
            raise MigrationError(f"{error}: {error.__cause__ or 'malformed'}") from error
        names = tuple(sorted(await _applied(connection) - before))
    for name in names:
        logger.info("migration_applied", migration=name)
    return names


async def pending_migrations(database: Database, folder: Path = MIGRATIONS) -> tuple[str, ...]:
    """Names of the migrations that ``migrate`` would apply, in order."""
    async with database.dedicated_connection() as connection:
        applied = await _applied(connection)
    known = await asyncio.to_thread(lambda: {path.stem for path in folder.glob("*.sql")})
    return tuple(sorted(known - applied))


async def _applied(connection: Any) -> set[str]:
    await ensure_pogo_sync(connection)
    return await get_applied_migrations(connection, schema_name="public")
