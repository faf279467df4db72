"""A running server tells the other nodes what happens on it, over a real Redis."""

import asyncio
from pathlib import Path

import pytest

from storage.bus import BroadcastEnded, BroadcastStarted
from tests.helpers.camera import Camera
from tests.helpers.server_process import ServerProcess
from tests.helpers.waiting import eventually
from tests.storage.test_redis_bus import Node
from tests.storage.test_shared_state import RedisServer

pytestmark = pytest.mark.slow


async def test_broadcasts_are_told_to_other_nodes_to_the_last(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path)
    redis.start()
    settings = {"MEDIASERVER_REDIS_URL": redis.url, "MEDIASERVER_DRAIN__TIMEOUT_SECONDS": "1"}
    try:
        async with Node(redis.url).running() as other:
            server = await asyncio.to_thread(ServerProcess(tmp_path / "data", settings=settings).__enter__)
            try:
                room, key = await asyncio.to_thread(server.create_room, "On air")
                async with Camera.publishing(f"{server.rtmp_url}/{key}"):
                    await eventually(lambda: other.heard, 30)
                    assert other.heard == [BroadcastStarted(room)]
                    # The stream is ended by the server, after its tasks have been cancelled.
                    assert await asyncio.to_thread(server.stop) == 0
                await eventually(lambda: len(other.heard) == 2)
            finally:
                await asyncio.to_thread(server.__exit__, None, None, None)
            assert other.heard[1] == BroadcastEnded(room)
    finally:
        redis.kill()
