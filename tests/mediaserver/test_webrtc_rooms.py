"""Routers are there for whoever needs them, and no longer."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mediaserver.gateways.webrtc_ingest import WebRtcIngest
from mediaserver.gateways.webrtc_play import WebRtcPlay
from mediaserver.hub.hub import Hub
from mediaserver.webrtc_rooms import MAX_ROUTERS, WebRtcRooms
from sfu.errors import TooManyTransports
from sfu.webrtc_server import WebRtcServer


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
async def server() -> AsyncIterator[WebRtcServer]:
    server = WebRtcServer()
    yield server
    await server.close()


@pytest.fixture
def rooms(server: WebRtcServer, executor: ThreadPoolExecutor) -> WebRtcRooms:
    hub = Hub()
    ingest = WebRtcIngest(hub)
    return WebRtcRooms(server, ingest, WebRtcPlay(hub, executor, ingest.is_publishing))


async def test_all_who_ask_share_a_router(rooms: WebRtcRooms, server: WebRtcServer) -> None:
    first, again, other = await rooms.router("a"), await rooms.router("a"), await rooms.router("b")
    assert first is again is not other
    assert (first.room_id, other.room_id) == ("a", "b")
    assert len(server.routers) == 2


async def test_a_router_goes_when_the_last_has_let_it_go(rooms: WebRtcRooms, server: WebRtcServer) -> None:
    router = await rooms.router("a")
    await rooms.router("a")
    rooms.release("a")
    rooms.sweep()
    rooms.sweep()
    assert not router.is_closed
    rooms.release("a")
    rooms.sweep()
    assert not router.is_closed, "whoever comes back at once finds it"
    rooms.sweep()
    assert router.is_closed
    assert not server.routers
    assert await rooms.router("a") is not router


async def test_who_comes_back_in_time_finds_the_same_router(rooms: WebRtcRooms) -> None:
    router = await rooms.router("a")
    rooms.release("a")
    rooms.sweep()
    assert await rooms.router("a") is router
    rooms.release("a")
    rooms.sweep()
    assert not router.is_closed


async def test_a_room_that_is_deleted_loses_its_router_at_once(rooms: WebRtcRooms) -> None:
    router = await rooms.router("a")
    rooms.end("a")
    rooms.end("a")
    assert router.is_closed
    rooms.release("a")
    rooms.sweep()


async def test_the_number_of_rooms_is_bounded(rooms: WebRtcRooms) -> None:
    for number in range(MAX_ROUTERS):
        await rooms.router(str(number))
    with pytest.raises(TooManyTransports):
        await rooms.router("one more")
    assert await rooms.router("0")


async def test_nobody_is_in_a_room_without_participants(rooms: WebRtcRooms) -> None:
    assert rooms.participant_producers("a", "nobody") is None
    assert rooms.program_kinds("a") is None
