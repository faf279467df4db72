"""How tasks without end speak with Redis: with time limits, again and again, and one word when it is gone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

logger = structlog.get_logger("mediaserver.storage")

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
LOST: Final = (RedisError, OSError, TimeoutError)


def connect(url: str, timeout_seconds: float) -> Any:
    """A client that connects when first used, and leaves it to the caller to try again."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
    )


class Persistence:
    """Does work until cancelled. The work calls ``succeeded`` as soon as Redis answers.

    The log says ``<name>_lost`` and ``<name>_back``, and of ``what``.
    """

    def __init__(self, name: str, what: str, on_loss: Callable[[], None] = lambda: None) -> None:
        self._name = name
        self._what = what
        self._on_loss = on_loss
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._is_lost = False

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                await work()
            except LOST as error:
                end_if_cancelled()
                self._lost(error)
            # A link that is lost as soon as it is there must not make all catch up again and again.
            if clock() - began > LONGEST_PAUSE_SECONDS:
                self._pause_seconds = FIRST_PAUSE_SECONDS
            await asyncio.sleep(self._pause_seconds)
            self._pause_seconds = min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    def succeeded(self) -> None:
        if self._is_lost:
            logger.info(f"{self._name}_back", what=self._what)
        self._is_lost = False

    def _lost(self, error: Exception) -> None:
        if not self._is_lost:
            logger.warning(f"{self._name}_lost", what=self._what, error=words(error))
        self._is_lost = True
        self._on_loss()


def end_if_cancelled() -> None:
    """To be called after Redis was; raises CancelledError when that was swallowed.

    redis-py sends by asyncio.wait_for, which in Python 3.11 gives the result, if it has one, though the task
    was cancelled in the meantime.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def next_message(subscription: Any, probe_seconds: float, timeout_seconds: float) -> dict[str, Any]:
    """Raises ConnectionError when Redis, silent for ``probe_seconds``, does not even answer a ping."""
    message: dict[str, Any] | None = await subscription.get_message(timeout=probe_seconds)
    if message is None:
        # A link that died without a word is only noticed by using it.
        async with asyncio.timeout(timeout_seconds):
            await subscription.ping()
        message = await subscription.get_message(timeout=timeout_seconds)
    if message is None:
        raise ConnectionError("Redis: no answer to a ping")
    end_if_cancelled()
    return message


def words(error: Exception) -> str:
    return str(error) or type(error).__name__
