"""The state that nodes share, in Redis: counters of requests, tickets for one use.

While Redis is away each node counts by itself from nothing, so a limit holds per node and not for all of them
together; the log says so once. Redis is tried again every RETRY_SECONDS, by one call.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from storage.shared_state import SLICES, Allowance, LocalState, allowance

logger = structlog.get_logger("mediaserver.storage")

TIMEOUT_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 1.0
MAX_CONNECTIONS: Final = 32
_PREFIX: Final = "mediaserver:"

# Redis gives the time, since the clocks of nodes differ.
_TAKE: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local limit, window, slices = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local current = string.format('%d', math.floor(now / (window / slices)))
local known = redis.call('HGETALL', KEYS[1])
local used, here, oldest = 0, 0, now
for i = 1, #known, 2 do
    local count, last = string.match(known[i + 1], '(%d+) (%d+)')
    if tonumber(last) <= now - window then
        redis.call('HDEL', KEYS[1], known[i])
    else
        used = used + tonumber(count)
        oldest = math.min(oldest, tonumber(last))
        if known[i] == current then here = tonumber(count) end
    end
end
if used < limit then
    if used == here then oldest = now end
    redis.call('HSET', KEYS[1], current, string.format('%d %d', here + 1, now))
    redis.call('PEXPIRE', KEYS[1], window)
end
return {used, string.format('%d', math.max(0, now - oldest))}
"""
_TAKE_ONCE: Final = """
local value = redis.call('GET', KEYS[1])
if value then redis.call('DEL', KEYS[1]) end
return value
"""

ResultT = TypeVar("ResultT")


class RedisState:
    """SharedState in the Redis at ``url`` (redis:// or rediss://). Connects when first used."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            # A script that may have run must not run again.
            retry=Retry(NoBackoff(), 0),
        )
        self._redis: Any = Redis.from_pool(pool)
        self._take = self._redis.register_script(_TAKE)
        self._take_once = self._redis.register_script(_TAKE_ONCE)
        self._local = LocalState(clock)
        self._clock = clock
        self._is_lost = False
        self._next_attempt = 0.0

    async def take(self, key: str, limit: int, window_seconds: float) -> Allowance:
        milliseconds = max(SLICES, round(window_seconds * 1000))

        async def remote() -> Allowance:
            answer = await self._take(keys=[_name("requests", key)], args=[limit, milliseconds, SLICES])
            used, age = (int(part) for part in answer)
            return allowance(used, limit, milliseconds / 1000, age / 1000)

        return await self._either(remote, lambda: self._local.take(key, limit, window_seconds))

    async def forget(self, key: str) -> None:
        async def remote() -> None:
            await self._redis.delete(_name("requests", key))

        await self._local.forget(key)
        await self._either(remote, lambda: self._local.forget(key))

    async def put_once(self, key: str, value: bytes, seconds: float) -> None:
        async def remote() -> None:
            await self._redis.set(_name("once", key), value, px=max(1, round(seconds * 1000)))

        await self._either(remote, lambda: self._local.put_once(key, value, seconds))

    async def take_once(self, key: str) -> bytes | None:
        """Also finds what this node had to keep by itself while Redis was away."""

        async def remote() -> bytes | None:
            value: bytes | None = await self._take_once(keys=[_name("once", key)])
            return value

        kept = await self._local.take_once(key)
        value = await self._either(remote, lambda: self._local.take_once(key))
        return kept if kept is not None else value

    async def ping(self) -> None:
        """Raises ConnectionError unless Redis answers in time."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError) as error:
            raise ConnectionError(f"Redis: {str(error) or type(error).__name__}") from error

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _either(
        self, remote: Callable[[], Awaitable[ResultT]], local: Callable[[], Awaitable[ResultT]]
    ) -> ResultT:
        """Redis's answer, or this node's own one while Redis is away."""
        if self._is_lost and self._clock() < self._next_attempt:
            return await local()
        # While one call tries, the others need not wait for the same time-out.
        self._next_attempt = self._clock() + RETRY_SECONDS
        try:
            async with asyncio.timeout(2 * TIMEOUT_SECONDS):
                result = await remote()
        except (RedisError, OSError, TimeoutError) as error:
            self._note_loss(error)
            return await local()
        self._note_return()
        return result

    def _note_loss(self, error: Exception) -> None:
        if not self._is_lost:
            logger.warning("redis_lost", error=str(error) or type(error).__name__)
        self._is_lost = True
        self._next_attempt = self._clock() + RETRY_SECONDS

    def _note_return(self) -> None:
        if self._is_lost:
            logger.info("redis_back")
        self._is_lost = False


def _name(kind: str, key: str) -> str:
    return f"{_PREFIX}{kind}:{key}"
