import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from mediaserver.authorizer import NO_SUCH_ROOM, NOT_OPEN, Authorizer, RoomAccess
from mediaserver.delivery.pages import RoomState
from mediaserver.hub.hub import Hub
from mediaserver.media.packet import Codec, MediaPacket, Track, TrackKind
from mediaserver.room_board import ENDED_SECONDS, LIST_SECONDS, MAX_ENDED, HubRoomBoard
from rtmp.ports import Refusal
from tests.helpers.media import AUDIO, VIDEO
from tests.mediaserver.media.codecs.vectors import H264_720P


class Rooms:
    """Answers may_watch and counts how often it was asked."""

    def __init__(self) -> None:
        self.known: dict[str, RoomAccess | Refusal] = {}
        self.questions = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def may_watch(self, room_ref: str, token: str | None, address: str) -> RoomAccess | Refusal:
        self.questions += 1
        await self.answers.wait()
        return self.known.get(room_ref, NO_SUCH_ROOM)


class Publisher:
    def replaced(self) -> None: ...

    def kicked(self, reason: str) -> None: ...


class World:
    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)
        self.rooms = Rooms()
        self.hub = Hub()
        self.publishers: dict[str, Publisher] = {}
        self.board = HubRoomBoard(self.hub, cast(Authorizer, self.rooms), lambda: self.now)

    def hang(self) -> None:
        """From now on the rooms' database answers nobody."""
        self.rooms.answers.clear()

    def room(self, room_id: str, *, is_listed: bool = True) -> RoomAccess:
        access = RoomAccess(room_id, None, f"Title of {room_id}", "alice", is_listed)
        self.rooms.known[room_id] = access
        return access

    def publish(self, room_id: str, tracks: Sequence[Track] = (VIDEO, AUDIO)) -> None:
        publisher = self.publishers[room_id] = Publisher()
        self.hub.set_tracks(self.hub.open(room_id, publisher), tracks, {})

    def stop(self, room_id: str, *, is_clean: bool = True) -> None:
        self.hub.release(room_id, self.publishers[room_id], is_clean)

    async def listed(self) -> list[str]:
        """The ids of a fresh list."""
        self.now += timedelta(seconds=LIST_SECONDS)
        return [status.room.room_id for status in await self.board.listed()]


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_room_goes_from_waiting_to_live_to_ended_and_back(world: World) -> None:
    room = world.room("a")
    assert world.board.status(room).state is RoomState.WAITING
    world.publish("a")
    status = world.board.status(room)
    assert (status.state, status.started_at) == (RoomState.LIVE, world.now)
    world.stop("a")
    status = world.board.status(room)
    assert (status.state, status.started_at, status.video) == (RoomState.ENDED, None, None)
    world.now += timedelta(seconds=ENDED_SECONDS + 1)
    assert world.board.status(room).state is RoomState.WAITING


async def test_an_interrupted_broadcast_goes_on_with_its_start(world: World) -> None:
    room = world.room("a")
    world.publish("a")
    started_at = world.now
    world.now += timedelta(seconds=5)
    world.stop("a", is_clean=False)
    status = world.board.status(room)
    assert (status.state, status.started_at, status.edge) == (RoomState.INTERRUPTED, started_at, None)
    world.publish("a")
    status = world.board.status(room)
    assert (status.state, status.started_at) == (RoomState.LIVE, started_at)
    world.hub.close()


async def test_a_publisher_without_tracks_yet_is_not_live(world: World) -> None:
    world.hub.open("a", Publisher())
    assert world.board.status(world.room("a")).state is RoomState.WAITING
    assert await world.listed() == []


async def test_codecs_and_the_live_edge_are_told(world: World) -> None:
    room = world.room("a")
    video = Track(0, TrackKind.VIDEO, Codec.H264, 90_000, H264_720P)
    world.publish("a", (video, AUDIO))
    status = world.board.status(room)
    assert status.edge is None, "no packet yet"
    assert status.video is not None and status.video.height == 720
    assert status.audio is not None and status.audio.codec == "mp4a.40.2"
    stream = world.hub.find("a")
    assert stream is not None
    stream.publish(MediaPacket(video, 3 * 90_000, 3 * 90_000, True, b"\0", 0.0))
    edge = world.board.status(room).edge
    assert edge is not None and edge.media_time == 3 and edge.age > 0


async def test_a_configuration_that_cannot_be_read_leaves_its_codec_out(world: World) -> None:
    room = world.room("a")
    world.publish("a", (VIDEO,))
    assert world.board.status(room).state is RoomState.LIVE
    assert world.board.status(room).video is None


async def test_only_rooms_that_are_open_and_listed_are_listed(world: World) -> None:
    world.room("public")
    world.room("unlisted", is_listed=False)
    world.rooms.known["private"] = NOT_OPEN
    world.room("quiet")
    for room_id in ("public", "unlisted", "private", "deleted"):
        world.publish(room_id)
    assert await world.listed() == ["public"]


async def test_the_list_is_made_once_however_many_ask(world: World) -> None:
    world.room("a")
    world.publish("a")
    assert await world.listed() == ["a"]
    asked = world.rooms.questions
    world.room("b")
    world.publish("b")
    for _ in range(10):
        assert len(await world.board.listed()) == 1
    assert world.rooms.questions == asked
    assert sorted(await world.listed()) == ["a", "b"]


async def test_ended_broadcasts_do_not_pile_up(world: World) -> None:
    for number in range(MAX_ENDED + 1):
        world.board.ended(str(number), "publisher stopped")
    assert world.board.status(world.room("0")).state is RoomState.WAITING
    assert world.board.status(world.room(str(MAX_ENDED))).state is RoomState.ENDED


async def test_while_the_database_hangs_the_last_list_stands(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mediaserver.room_board.LIST_TIMEOUT_SECONDS", 0.01)
    world = World()
    world.room("one")
    world.publish("one")
    assert await world.listed() == ["one"]
    world.hang()
    assert await world.listed() == ["one"]
