"""Relays of a test's own, and what a test may ask of the Redis between them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from chat.redis_relay import RedisRelay, Timing
from tests.chat.redis_relay.world import ROOM, Memory

QUICK = Timing(tell_seconds=0.02, refresh_seconds=0.1, silent_seconds=1.0)


class Node:
    """A relay and what it has heard. ``kill`` ends it without a word."""

    def __init__(self, url: str, name: str, timing: Timing = QUICK, max_entries: int = 10_000) -> None:
        self.relay = RedisRelay(url, name, timing, max_entries)
        self.heard = Memory()
        self.relay.opened(ROOM)
        self._task = asyncio.create_task(self.relay.run(self.heard))

    async def listen(self) -> None:
        async with asyncio.timeout(10):
            await self.relay.listening.wait()

    async def kill(self) -> None:
        assert not self._task.done(), self._task
        self._task.cancel()
        await asyncio.wait([self._task])

    async def end(self) -> None:
        if not self._task.cancelled():
            await self.kill()
        await self.relay.close()


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for node in nodes:
            stack.push_async_callback(node.end)
            await node.listen()
        yield


async def keys(redis: Any, node: str) -> list[bytes]:
    """The node's page of the board, or none."""
    found: list[bytes] = await redis.keys(f"mediaserver:chat:presence:*@{node}")
    return found


async def rooms_on_board(redis: Any, node: str) -> list[bytes]:
    return [field for key in await keys(redis, node) for field in await redis.hkeys(key) if field]


async def until_equal(ask: Callable[[], Awaitable[object]], expected: object) -> None:
    async with asyncio.timeout(10):
        while await ask() != expected:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)
