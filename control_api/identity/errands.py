"""Work that an answer must not wait for, because its length would tell what was found."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import structlog

from control_api.errors import unavailable

logger = structlog.get_logger("mediaserver.api")

MAX_ERRANDS: Final = 200
ERRAND_SECONDS: Final = 20.0


class Errands:
    """At most MAX_ERRANDS at a time, each for at most ERRAND_SECONDS. Close it at the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` soon. Raises ApiError 503 when too much waits."""
        if len(self._tasks) >= MAX_ERRANDS:
            work.close()
            raise unavailable("Too much to do; try again shortly.")
        task = asyncio.create_task(_bounded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finished(self) -> None:
        """Return when nothing is under way."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=ERRAND_SECONDS)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _bounded(work: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(ERRAND_SECONDS):
            await work
    except Exception as error:
        logger.error("errand_failed", exc_info=error)
