"""Where a room's encoder sends to, and how the stream comes in."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from control_api.ports import IngestAudio, IngestHealth, IngestVideo, IngestWarning
from storage.database import Database
from tests.control_api.rooms_world import RoomsWorld, make_world


@pytest.fixture
async def world(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> RoomsWorld:
    return await make_world(database, aiohttp_client)


async def test_the_owner_learns_where_to_send_without_a_key_in_it(world: RoomsWorld) -> None:
    room = await world.room()
    assert await world.ok("GET", f"/rooms/{room['id']}/ingest", "alice") == {
        "rtmpUrl": "rtmp://media.example/live",
        "whipUrl": f"https://media.example/whip/{room['id']}",
        "health": None,
    }


async def test_the_owner_sees_how_the_stream_comes_in(world: RoomsWorld) -> None:
    room = await world.room()
    video = IngestVideo("avc1.64001f", 1280, 720, 30.0, 8.0)
    warning = IngestWarning("keyframes_far_apart", "keyframes 8 s apart")
    world.media.health_by_room[UUID(room["id"])] = IngestHealth(
        False, world.media.since, video, IngestAudio("mp4a.40.2", 48000, 2), 2_500_000, 0.02, [warning]
    )
    health = (await world.ok("GET", f"/rooms/{room['id']}/ingest", "alice"))["health"]
    assert health["video"] == {
        "codec": "avc1.64001f",
        "width": 1280,
        "height": 720,
        "frameRate": 30.0,
        "keyframeInterval": 8.0,
    }
    assert health["audio"] == {"codec": "mp4a.40.2", "sampleRate": 48000, "channels": 2}
    assert health["warnings"] == [{"code": "keyframes_far_apart", "message": "keyframes 8 s apart"}]
    assert (health["bitrate"], health["isInterrupted"]) == (2_500_000, False)

    await world.go_live(room)
    (stream,) = await world.ok("GET", "/admin/streams", "admin")
    assert stream["health"] == health
