"""The real server, real publishers and a real browser."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from mediaserver.demo import publish_test_pattern
from tests.e2e.watching import Room, Watcher
from tests.helpers.chromium import SOUND_WITHOUT_GESTURE, Chromium, ChromiumProcess
from tests.helpers.ffmpeg import Clip, make_clip
from tests.helpers.server_process import ServerProcess

# The second is a depth camera, of which nothing can be encoded.
CAMERAS = "--use-fake-device-for-media-stream=device-count=3"
ALLOWED = "--use-fake-ui-for-media-stream"
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "30", "-b:v", "500k")
AAC = ("-c:a", "aac", "-b:a", "64k")


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that the tests share: none of them stops it. All their pages come from one address."""
    unlimited = {
        "MEDIASERVER_CHAT__CONNECTIONS_PER_MINUTE": "1000",
        "MEDIASERVER_API__REQUESTS_PER_WINDOW": "10000",
    }
    with ServerProcess(tmp_path_factory.mktemp("server") / "data", settings=unlimited) as server:
        yield server


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = make_clip(tmp_path_factory.mktemp("clips") / "wide.flv", H264, AAC, size="640x360")
    return Clip(path, "h264", "aac")


@pytest.fixture(scope="session")
def narrow_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Another size than ``clip``, so that a player needs another initialization segment."""
    path = make_clip(tmp_path_factory.mktemp("clips") / "narrow.flv", H264, AAC, size="320x240")
    return Clip(path, "h264", "aac")


@pytest.fixture
def room(live_server: ServerProcess, request: pytest.FixtureRequest) -> Room:
    """A room of the test's own, not live."""
    return Room(live_server, *live_server.create_room(request.node.name))


@pytest.fixture
async def live_room(room: Room) -> AsyncIterator[Room]:
    """A room with the test pattern in it."""
    async with publishing_pattern(room):
        yield room


@contextlib.asynccontextmanager
async def publishing_pattern(room: Room) -> AsyncIterator[None]:
    """Publish the test pattern to ``room`` for as long as the block runs; it ends with a goodbye."""
    publisher = asyncio.create_task(publish_test_pattern(room.publish_url, width=640, height=360))
    try:
        await asyncio.to_thread(room.server.wait_live, room.id)
        yield
    finally:
        publisher.cancel()
        await asyncio.gather(publisher, return_exceptions=True)


@pytest.fixture(scope="session")
def browser_process() -> Iterator[ChromiumProcess]:
    """One that asks nobody whether a page may play sound, or use its cameras and microphone."""
    with ChromiumProcess(SOUND_WITHOUT_GESTURE, CAMERAS, ALLOWED) as process:
        yield process


@pytest.fixture
async def chromium(browser_process: ChromiumProcess) -> AsyncIterator[Chromium]:
    async with await Chromium.share(browser_process) as chromium:
        yield chromium


@pytest.fixture
async def watcher(chromium: Chromium) -> Watcher:
    return Watcher(await chromium.open())
