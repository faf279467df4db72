"""Who leads: one at a time, until the end of its block or of its connection."""

import asyncio
from contextlib import AsyncExitStack, suppress

import asyncpg
import pytest

from storage.errors import DatabaseUnavailable
from storage.leadership import leadership

LOCK = 7


async def test_one_leads_at_a_time(database):
    async with leadership(database, LOCK) as first, leadership(database, LOCK) as second:
        assert (first, second) == (True, False)
        async with leadership(database, LOCK + 1) as other:
            assert other
    async with leadership(database, LOCK) as again:
        assert again


async def test_of_many_at_once_one_leads(database):
    async with AsyncExitStack() as open_ones:
        entering = [open_ones.enter_async_context(leadership(database, LOCK)) for _ in range(5)]
        leaders = await asyncio.gather(*entering)
    assert leaders.count(True) == 1


async def test_a_lead_ends_with_an_error_in_its_block(database):
    with pytest.raises(ZeroDivisionError):
        async with leadership(database, LOCK):
            raise ZeroDivisionError
    await _until_free(database)


async def test_who_loses_the_connection_leads_no_more(database, database_url):
    administrator = await asyncpg.connect(database_url)
    terminate = """SELECT pg_terminate_backend(pid) FROM pg_locks
                   WHERE locktype = 'advisory' AND objid = $1"""
    with suppress(DatabaseUnavailable):
        async with leadership(database, LOCK) as is_leader:
            assert is_leader
            await administrator.fetch(terminate, LOCK)
            await _until_free(database)
    await administrator.close()


async def _until_free(database) -> None:
    """A lock is freed with its connection, a moment later."""
    async with asyncio.timeout(10):
        while True:
            async with leadership(database, LOCK) as is_leader:
                if is_leader:
                    return
            await asyncio.sleep(0.005)
