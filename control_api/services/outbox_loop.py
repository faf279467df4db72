"""The loop of whoever tells of what the database keeps in an outbox, and tells it again after a failure."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from storage.errors import DatabaseUnavailable

logger = structlog.get_logger("mediaserver.money")

POLL_SECONDS: Final = 2.0
"""So long waits what another node took and could not tell of, or what nobody was woken for."""


class OutboxLoop:
    """``wake`` says that there is something. ``run`` works until cancelled."""

    def __init__(
        self, tell_once: Callable[[], Awaitable[int]], batch: int, failure: str, gather_seconds: float = 0.0
    ) -> None:
        """``tell_once`` gives how many were taken; ``batch`` of them mean that there may be more.

        ``failure`` is the event that is logged without the database. What comes within ``gather_seconds`` of
        a ``wake`` is told together.
        """
        self._tell_once = tell_once
        self._batch = batch
        self._failure = failure
        self._gather_seconds = gather_seconds
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        while True:
            try:
                while await self._tell_once() == self._batch:
                    pass
            except (DatabaseUnavailable, TimeoutError) as error:
                logger.warning(self._failure, error=str(error))
                await asyncio.sleep(POLL_SECONDS)
            await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wanted.wait()
                await asyncio.sleep(self._gather_seconds)
        except TimeoutError:
            pass
        self._wanted.clear()
