"""What is too old is removed from the rooms' logs, a little at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from storage.database import Database
from storage.errors import StorageError
from storage.repositories.chat_log import ChatLog
from storage.repositories.chat_messages import ChatMessages

logger = structlog.get_logger("mediaserver.chat")

ROWS_AT_ONCE: Final = 2_000
"""So that no command of the database takes long."""
PAUSE_SECONDS: Final = 0.5
"""Between two of many commands; what people write goes first."""
REST_SECONDS: Final = 600.0


def _now() -> datetime:
    return datetime.now(UTC)


class History:
    """Messages and events are kept for ``days``; for good with 0. ``run`` is its task."""

    def __init__(self, database: Database, days: int, now: Callable[[], datetime] = _now) -> None:
        self._purges = (ChatMessages(database).purge, ChatLog(database).purge_events)
        self._days = days
        self._now = now

    async def run(self) -> None:
        """Purge until cancelled."""
        while True:
            await asyncio.sleep(REST_SECONDS)
            try:
                count = await self.purge()
            except StorageError as error:
                logger.warning("chat_history_not_purged", error=str(error))
            else:
                if count:
                    logger.info("chat_history_purged", entries=count)

    async def purge(self) -> int:
        """Remove all that is too old; how many entries that were. Raises StorageError."""
        if not self._days:
            return 0
        before = self._now() - timedelta(days=self._days)
        return sum([await self._purge(purge, before) for purge in self._purges])

    async def _purge(self, purge: Callable[[datetime, int], Awaitable[int]], before: datetime) -> int:
        count = 0
        while True:
            removed = await purge(before, ROWS_AT_ONCE)
            count += removed
            if removed < ROWS_AT_ONCE:
                return count
            await asyncio.sleep(PAUSE_SECONDS)
