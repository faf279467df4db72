"""What is too old is removed from the rooms' logs, a little at a time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from storage.database import Database
from storage.errors import StorageError
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
    """Messages are kept for ``days``; for good with 0. ``run`` is its task."""

    def __init__(self, database: Database, days: int, now: Callable[[], datetime] = _now) -> None:
        self._messages = ChatMessages(database)
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
                    logger.info("chat_history_purged", messages=count)

    async def purge(self) -> int:
        """Remove all that is too old; how many messages that were. Raises StorageError."""
        if not self._days:
            return 0
        before, count = self._now() - timedelta(days=self._days), 0
        while True:
            removed = await self._messages.purge(before, ROWS_AT_ONCE)
            count += removed
            if removed < ROWS_AT_ONCE:
                return count
            await asyncio.sleep(PAUSE_SECONDS)
