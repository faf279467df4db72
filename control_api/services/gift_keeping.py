"""Leaderboards of days and weeks that nobody can ask for any more are forgotten."""

import asyncio
from typing import Final
from uuid import UUID

import structlog

from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.repositories.gift_totals import GiftTotals

logger = structlog.get_logger("mediaserver.money")

INTERVAL_SECONDS: Final = 6 * 3600.0
RETRY_SECONDS: Final = 60.0
ROOMS: Final = 100
ROWS: Final = 1000
"""So many at once, so that gifts need not wait for it."""


class LeaderboardKeeper:
    """``run`` works until cancelled. Several nodes may do the same."""

    def __init__(self, database: Database) -> None:
        self._totals = GiftTotals(database)

    async def run(self) -> None:
        while True:
            try:
                await self.forget_old()
            except (DatabaseUnavailable, TimeoutError) as error:
                logger.warning("leaderboards_not_cleaned", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(INTERVAL_SECONDS)

    async def forget_old(self) -> int:
        """How many rows there were."""
        forgotten, last = 0, UUID(int=0)
        while rooms := await self._totals.rooms(last, ROOMS):
            while (count := await self._totals.forget_old(rooms, ROWS)) > 0:
                forgotten += count
            last = rooms[-1]
        return forgotten
