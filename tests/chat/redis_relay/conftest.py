"""A Redis of the test's own, and two nodes that share it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.chat.redis_relay.nodes import Node, running
from tests.storage.test_shared_state import RedisServer


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Any]:
    client: Any = Redis.from_url(redis_server.url)
    yield client
    await client.aclose()


@pytest.fixture
async def nodes(redis_server: RedisServer) -> AsyncIterator[tuple[Node, Node]]:
    first, second = Node(redis_server.url, "a"), Node(redis_server.url, "b")
    async with running(first, second):
        yield first, second
