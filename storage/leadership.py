"""What only one node may do at a time: whoever holds a lock of PostgreSQL's leads.

The lock ends with its connection, so a node that dies or loses the database leads no more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from storage.database import Database, translated_errors

LOCK_TIMEOUT_SECONDS: Final = 5.0


@asynccontextmanager
async def leadership(database: Database, lock: int) -> AsyncIterator[bool]:
    """Whether this node leads until the end of the block. ``lock`` is any number that nothing else uses.

    Raises DatabaseUnavailable.
    """
    async with database.dedicated_connection() as connection:
        with translated_errors():
            async with asyncio.timeout(LOCK_TIMEOUT_SECONDS):
                is_leader: bool = await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock)
        yield is_leader
        # To terminate the connection alone would free the lock some time later.
        with translated_errors():
            async with asyncio.timeout(LOCK_TIMEOUT_SECONDS):
                await connection.close()
