"""Floods at the real server's doors, while somebody watches over WebRTC what an encoder sends by RTMP."""

import asyncio
import random
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import pytest

from sfu.protocol.sdp import parse_offer
from sfu.whip import DEFAULT_OPTIONS as WHIP
from tests.helpers.camera import Camera
from tests.helpers.server_process import ServerProcess
from tests.helpers.whep_player import WhepPlayer
from tests.sfu.protocol.sdp_cases import sample

pytestmark = [pytest.mark.interop, pytest.mark.slow]

FLOODER: Final = "127.0.0.2"
POSTS: Final = 2_000
AT_ONCE: Final = 50
DATAGRAMS: Final = 20_000
BURST: Final = 200
PAUSE_SECONDS: Final = 0.005
"""After a burst: the kernel's queue is shared by all, and what overflows it no server can help."""
SEED: Final = 17


class Scene:
    """A room that is live, and a viewer of it."""

    def __init__(self, server: ServerProcess, room: str, key: str, viewer: WhepPlayer) -> None:
        self.server = server
        self.whip = f"{server.base_url}/whip/{room}"
        self.whep = f"{server.base_url}/whep/{room}"
        self.key = key
        self.viewer = viewer

    @property
    def media_port(self) -> int:
        description = parse_offer(self.viewer.peer.remoteDescription.sdp)
        return description.candidates[0].port


@pytest.fixture
async def scene(server: ServerProcess, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    room, key = server.create_room(request.node.name)
    async with Camera.publishing(f"{server.rtmp_url}/{key}"):
        await asyncio.to_thread(server.wait_live, room)
        async with WhepPlayer.playing(f"{server.base_url}/whep/{room}") as viewer:
            await viewer.more(30)
            yield Scene(server, room, key, viewer)
            await viewer.more(30)
            assert await viewer.packets_lost() == 0


async def test_offers_by_the_thousand_cost_only_their_sender(scene: Scene) -> None:
    """Others get in meanwhile, and the viewer misses nothing."""
    statuses: Counter[int] = Counter()
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    connector = aiohttp.TCPConnector(limit=AT_ONCE, local_addr=(FLOODER, 0))
    async with aiohttp.ClientSession(connector=connector) as http:
        left = iter(range(POSTS))

        async def post() -> None:
            for number in left:
                body = sample("chromium_whip") if number % 2 else "v=0\r\n" * 100
                headers = {"Content-Type": "application/sdp", "Authorization": "Bearer " + "0" * 40}
                async with http.post(scene.whip, data=body, headers=headers) as response:
                    statuses[response.status] += 1
                    assert response.status != 429 or response.headers["Retry-After"]

        flood = asyncio.gather(*(post() for _ in range(AT_ONCE)))
        async with WhepPlayer.playing(scene.whep) as other:
            await other.more(5)
        await flood
    assert set(statuses) <= {401, 429}
    allowed = WHIP.post_burst + WHIP.posts_per_second * (loop.time() - began_at)
    assert 0 < statuses[401] <= allowed + 1


async def test_datagrams_of_every_kind_at_the_media_port(scene: Scene) -> None:
    chance = random.Random(SEED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        stranger.bind((FLOODER, 0))
        stranger.connect(("127.0.0.1", scene.media_port))
        for number in range(DATAGRAMS):
            _send(stranger, bytes((number % 256,)) + chance.randbytes(chance.choice((0, 11, 19, 60, 1_300))))
            if number % BURST == 0:
                await asyncio.sleep(PAUSE_SECONDS)
        with pytest.raises(BlockingIOError):
            stranger.recv(2_048)
    status, figures = scene.server.get("/metrics")
    assert status == 200
    errors = re.search(rb"(?m)^mediaserver_webrtc_mux_endpoint_errors_total (\S+)", figures)
    assert errors is not None and float(errors[1]) == 0


def _send(stranger: socket.socket, data: bytes) -> None:
    try:
        stranger.send(data)
    except BlockingIOError:
        return
