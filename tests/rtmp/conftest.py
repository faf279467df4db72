import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
import uvloop

from rtmp.limits import RtmpLimits
from rtmp.server import RtmpServer
from tests.rtmp.embedder import Embedder


@dataclass
class RunningServer:
    server: RtmpServer
    embedder: Embedder
    port: int

    @property
    def url(self) -> str:
        return f"rtmp://127.0.0.1:{self.port}/live"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on the event loop of production."""
    return {"uvloop": uvloop.new_event_loop}


StartServer = Callable[..., Awaitable[RunningServer]]


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """Start servers on free ports; they are closed after the test, and must leave nothing behind."""
    running: list[RunningServer] = []

    async def start(embedder: Embedder | None = None, limits: RtmpLimits | None = None) -> RunningServer:
        embedder = embedder or Embedder()
        server = RtmpServer(embedder, embedder, embedder, limits or RtmpLimits())
        running.append(RunningServer(server, embedder, await server.start("127.0.0.1", 0)))
        return running[-1]

    yield start
    for entry in running:
        await entry.server.close()
        counters = entry.server.counters
        assert (counters.open_connections, counters.active_publishers, counters.active_players) == (0, 0, 0)
        assert all(len(publication.ends) == 1 for publication in entry.embedder.publications)
        assert all(player.ends == 1 for player in entry.embedder.players)


@pytest.fixture
async def server(start_server: StartServer) -> RunningServer:
    return await start_server()
