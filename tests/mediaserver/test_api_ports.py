"""What the API is told of the hub."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from control_api.principal import Principal
from control_api.room_schemas import NewRoom, RoomViews
from control_api.services.rooms import RoomsService
from control_api.services.streams import StreamsService
from mediaserver import api_ports
from mediaserver.addresses import Addresses
from mediaserver.api_ports import BroadcastAnnouncer, HubLiveRooms, HubStreamControl, ServerAddresses
from mediaserver.hub.hub import Hub
from mediaserver.live_state import LiveState
from storage.bus import BroadcastEnded, BroadcastStarted, Bus, Event
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Users
from storage.stream_keys import StreamKeyDigester
from tests.helpers.media import AUDIO, VIDEO, interleaved
from tests.helpers.waiting import eventually

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Publisher:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None:
        self.reasons.append(reason)


class Viewers:
    """An output that this many watch."""

    def __init__(self, count: int) -> None:
        self.viewer_count = count

    def on_tracks(self, *_: object) -> None: ...

    def on_packet(self, _: object) -> None: ...

    def on_interrupted(self) -> None: ...

    def on_end(self) -> None: ...


@pytest.fixture
async def hub() -> Hub:
    return Hub()


def publish(hub: Hub, room_id: UUID, viewers: int = 0) -> Publisher:
    publisher = Publisher()
    stream = hub.open(str(room_id), publisher)
    hub.set_tracks(stream, (VIDEO, AUDIO), {})
    for packet in interleaved(1):
        stream.publish(packet)
    if viewers:
        stream.attach(Viewers(viewers))
    return publisher


async def test_live_rooms_are_known_with_viewers_and_start(hub: Hub) -> None:
    live, room, other = HubLiveRooms(hub, lambda: NOW), new_id(), new_id()
    assert (live.is_live(room), live.viewer_count(room), live.started_at(room)) == (False, 0, None)
    publisher = publish(hub, room, viewers=3)
    publish(hub, other)
    assert (live.is_live(room), live.viewer_count(room), live.started_at(room)) == (True, 3, NOW)
    assert live.viewer_counts() == {room: 3, other: 0}
    hub.release(str(room), publisher, is_clean=True)
    assert (live.is_live(room), live.viewer_count(room), live.started_at(room)) == (False, 0, None)
    assert (live.ended_at(room), live.ended_at(other)) == (NOW, None)


async def test_what_ended_is_remembered_within_bounds(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_ports, "MAX_ENDED", 2)
    live, rooms = HubLiveRooms(hub, lambda: NOW), [new_id() for _ in range(3)]
    for room in rooms:
        hub.release(str(room), publish(hub, room), is_clean=True)
    assert [live.ended_at(room) for room in rooms] == [None, NOW, NOW]


async def test_a_stream_without_tracks_is_not_live_yet(hub: Hub) -> None:
    live, room = HubLiveRooms(hub), new_id()
    hub.open(str(room), Publisher())
    assert not live.is_live(room)
    assert live.viewer_counts() == {}


async def test_an_interrupted_stream_is_live(hub: Hub) -> None:
    live, room = HubLiveRooms(hub), new_id()
    publisher = publish(hub, room)
    hub.release(str(room), publisher, is_clean=False)
    assert live.is_live(room)
    hub.close()


async def test_a_kick_reaches_the_publisher_and_says_so(hub: Hub) -> None:
    control, room = HubStreamControl(hub), new_id()
    assert not control.kick(room, "nobody there")
    publisher = publish(hub, room)
    assert control.kick(room, "ended by owner")
    assert publisher.reasons == ["ended by owner"]
    assert not HubLiveRooms(hub).is_live(room)


async def test_the_bus_hears_of_each_start_and_end_once(hub: Hub) -> None:
    bus, events, room = Bus(), list[Event](), new_id()
    BroadcastAnnouncer(hub, bus)
    bus.subscribe(BroadcastStarted, events.append)
    bus.subscribe(BroadcastEnded, events.append)
    first = publish(hub, room)
    hub.release(str(room), first, is_clean=False)
    second = publish(hub, room)  # resumes the same broadcast
    assert events == [BroadcastStarted(str(room))]
    hub.release(str(room), second, is_clean=True)
    assert events == [BroadcastStarted(str(room)), BroadcastEnded(str(room))]


def test_addresses_are_those_of_the_moment() -> None:
    known = [Addresses("http://localhost:1", "rtmp://localhost:2/live")]
    addresses, room = ServerAddresses(lambda: known[-1]), new_id()
    known.append(Addresses("https://tv.example", "rtmp://tv.example:1935/live"))
    assert addresses.rtmp_url() == "rtmp://tv.example:1935/live"
    assert addresses.whip_url(room) == f"https://tv.example/whip/{room}"


@pytest.fixture
async def on_air(database: Database, hub: Hub) -> AsyncIterator[LiveState]:
    """Writes down what the hub does, as in the server."""
    state = LiveState(database, "node", lambda _: 0)
    hub.add_listener(state)
    task = asyncio.create_task(state.run())
    yield state
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await state.close()


async def test_an_end_through_the_api_agrees_with_what_the_hub_writes_down(
    database: Database, hub: Hub, on_air: LiveState
) -> None:
    owner = await Users(database).add("alice", "a@example.com", "hash")
    rooms = RoomsService(database, StreamKeyDigester(b"secret"))
    room = (await rooms.create(owner.id, NewRoom(title="A room"))).room
    live = HubLiveRooms(hub)
    streams = StreamsService(database, rooms, live, HubStreamControl(hub))
    principal = Principal(owner.id, owner.role)
    for is_written in (True, False, True):
        publisher = publish(hub, room.id)
        if is_written:
            await eventually(lambda: on_air.pending == 0)
        ended = await streams.end(principal, room.id, "192.0.2.1")
        view = RoomViews(live).view(ended)
        assert (view.is_live, view.viewer_count, view.started_at) == (False, 0, None)
        assert view.ended_at is not None
        assert publisher.reasons == ["ended by owner"]
        await eventually(lambda: on_air.pending == 0)
    history = await streams.history(principal, room.id, None, 10)
    assert [each.end_reason for each in history.items] == ["ended by owner"] * 3
    assert await database.fetch_value("SELECT count(*) FROM room_live_state") == 0
