"""Short tasks that belong to the chat as a whole: one fails, it is logged, and the others go on."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

logger = structlog.get_logger("mediaserver.chat")


class Tasks:
    """``run`` owns them: when it is cancelled, so are they."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work``; without an owner, at the very end, it is not begun any more."""
        if self._group is None:
            work.close()
            return
        self._group.create_task(_guarded(work))


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        logger.exception("chat_task_failed")
