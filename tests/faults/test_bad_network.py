"""One viewer over WebRTC has a network that loses, delays, swaps and doubles; the other loses nothing.

The network is a relay of our own, and where they are allowed, the kernel's: two namespaces with a cable
between them, and netem on it. Kernels without netem can at least drop at random.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Final, NamedTuple

import pytest

from bench.targets import parse_target
from bench.webrtc_load.descriptions import Answer
from bench.webrtc_load.fleets import PublisherFleet, SubscriberFleet
from bench.webrtc_load.plan import RtcPlan, RtcRoom
from bench.webrtc_load.publisher import MediaPlan
from tests.helpers.lossy_link import LossyLink, Weather
from tests.helpers.namespaces import (
    LOSS,
    LOSS_JITTER_AND_DOUBLES,
    NEAR_ADDRESS,
    Cable,
    NotPossibleError,
    Rules,
    cable,
)
from tests.helpers.repairing_viewer import RepairingViewer
from tests.helpers.server_figures import Held, assert_let_go, metric
from tests.helpers.server_process import ServerProcess
from tests.helpers.waiting import eventually

pytestmark = pytest.mark.slow

BAD: Final = Weather(loss=0.3, doubled=0.05, delay=0.04, jitter=0.02)
SEED: Final = 17
STARTED: Final = 30
REPAIRED: Final = 80
"""Of the packets that the bad network lost; three times as many were sent meanwhile."""
MOST_GIVEN_UP: Final = 0.1
UNACKNOWLEDGED: Final = 600
MEMORY: Final = "process_resident_memory_bytes"
MEMORY_BYTES: Final = 64 * 1024 * 1024
"""Far more than a viewer may take: what a call takes at its beginning is in it."""
CONNECT_SECONDS: Final = 20.0
WAIT_SECONDS: Final = 40.0


class Wired(NamedTuple):
    """A server in a network of its own, with a room."""

    line: Cable
    server: ServerProcess
    room: str
    key: str


class Call:
    """A publisher by WHIP, a viewer who is well off, and where to watch."""

    def __init__(self, server: ServerProcess, room: str, key: str) -> None:
        media = MediaPlan(bitrate=1_200_000, packet_bytes=1200)
        target = parse_target(server.base_url, ("http",))
        plan = RtcPlan(target, (RtcRoom(room, key),), media, 1, 1, 100.0, has_feedback=True)
        self.url = plan.whep_url(plan.rooms[0])
        self.publisher = PublisherFleet(plan)
        self.good = SubscriberFleet(plan)

    @classmethod
    @asynccontextmanager
    async def running(cls, server: ServerProcess, room: str, key: str) -> AsyncIterator[Call]:
        call = cls(server, room, key)
        try:
            await call.publisher.connect()
            await call.good.connect(CONNECT_SECONDS)
            await eventually(lambda: call.good.fewest_packets >= STARTED)
            await call.good.begin()
            yield call
        finally:
            await call.good.close()
            await call.publisher.close()

    async def has_lost_nothing(self) -> None:
        await eventually(lambda: self.good.fewest_packets >= STARTED)
        (seen,) = await self.good.finish()
        assert (seen.error, seen.lost, seen.unreadable) == (None, 0, 0)


async def is_repaired(viewer: RepairingViewer, server: ServerProcess) -> None:
    """Wait for what is lost to come after all, nearly everything."""
    await eventually(lambda: viewer.repaired >= REPAIRED, WAIT_SECONDS)
    originals, video = viewer.originals, viewer.video
    assert video.given_up <= MOST_GIVEN_UP * (viewer.repaired + video.given_up)
    await eventually(lambda: viewer.originals > originals, WAIT_SECONDS)
    assert viewer.connection is not None and not viewer.connection.is_lost
    assert await asyncio.to_thread(metric, server, "mediaserver_webrtc_consumers") == 4, "two with two each"
    assert await asyncio.to_thread(metric, server, "mediaserver_webrtc_mux_endpoint_errors_total") == 0


@asynccontextmanager
async def relayed(url: str, *, is_silent: bool = False) -> AsyncIterator[tuple[RepairingViewer, LossyLink]]:
    """A viewer behind a link, which is bad while the block runs."""
    async with AsyncExitStack() as stack:
        links: list[LossyLink] = []

        async def detour(answer: Answer) -> Answer:
            link = await stack.enter_async_context(LossyLink((answer.host, answer.port), SEED))
            links.append(link)
            host, port = link.address
            return replace(answer, host=host, port=port)

        watching = RepairingViewer.watching(url, detour, is_silent=is_silent)
        viewer = await stack.enter_async_context(watching)
        await eventually(lambda: viewer.originals >= STARTED)
        links[0].weather = BAD
        yield viewer, links[0]
        links[0].weather = Weather()  # so that the goodbye arrives


async def test_through_a_relay(server: ServerProcess, room: str, room_and_key: tuple[str, str]) -> None:
    async with Call.running(server, *room_and_key) as call:
        async with relayed(call.url) as (viewer, link):
            await is_repaired(viewer, server)
            assert link.lost > REPAIRED and link.doubled
        await call.has_lost_nothing()


async def test_who_acknowledges_nothing(
    server: ServerProcess, room: str, room_and_key: tuple[str, str]
) -> None:
    async with Call.running(server, *room_and_key) as call:
        async with relayed(call.url, is_silent=True) as (viewer, _):
            memory = await asyncio.to_thread(metric, server, MEMORY)
            await eventually(lambda: viewer.originals >= UNACKNOWLEDGED, WAIT_SECONDS)
            assert await asyncio.to_thread(metric, server, MEMORY) - memory < MEMORY_BYTES
            assert viewer.connection is not None and not viewer.connection.is_lost
            assert viewer.repaired == 0
        await call.has_lost_nothing()


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    with ExitStack() as stack:
        with skipping("there are no network namespaces here"):
            line = stack.enter_context(cable())
        settings = {
            "MEDIASERVER_RTC__HOSTS": NEAR_ADDRESS,
            "MEDIASERVER_RTMP__PUBLISH_GRACE_SECONDS": "1",  # as long as a stream is kept for its publisher
        }
        server = ServerProcess(tmp_path_factory.mktemp("wired") / "data", settings=settings)
        with line.near.entered():
            stack.enter_context(server)
        yield Wired(line, server, *server.create_room("Wired"))


@contextmanager
def skipping(what: str) -> Iterator[None]:
    """Skip the test where the machine does not let it be."""
    try:
        yield
    except NotPossibleError as error:
        pytest.skip(f"{what}: {error}")


@pytest.mark.parametrize("rules", [LOSS_JITTER_AND_DOUBLES, LOSS], ids=["netem", "loss"])
async def test_through_the_kernel(wired: Wired, rules: Rules) -> None:
    line, server, room, key = wired
    with skipping("this kernel cannot do that to a network"):
        line.check(rules)
    with line.near.entered():
        before = Held.by(server)
        async with (
            Call.running(server, room, key) as call,
            RepairingViewer.watching(call.url, inside=line.far.entered) as viewer,
        ):
            await eventually(lambda: viewer.originals >= STARTED)
            with line.spoiled(rules):
                await is_repaired(viewer, server)
            await call.has_lost_nothing()
        await asyncio.to_thread(assert_let_go, server, before)
