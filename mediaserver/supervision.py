"""Tasks that live as long as the server: a fault in one is logged, and the task is begun again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

logger = structlog.get_logger("mediaserver")

RESTART_SECONDS: Final = 1.0


async def supervised(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Await ``run()``, again and again where it raises; returns when it does. Cancelling ends it."""
    while True:
        try:
            await run()
        except Exception:
            logger.exception("task_failed", task=name, restart_seconds=RESTART_SECONDS)
        else:
            return
        await asyncio.sleep(RESTART_SECONDS)
