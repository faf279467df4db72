"""The chat of a room that is live here is open here, whether or not somebody is in it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

from chat.attendance import Attendance
from chat.hub import EMPTY_SECONDS, Hub
from chat.relay import LocalRelay
from chat.tasks import Tasks
from mediaserver.audience import LiveRooms
from storage.database import Database
from storage.ids import new_id
from tests.chat.test_hub import NobodyWatches
from tests.storage.chat_world import add_room


@dataclass
class Stream:
    room_id: str


@dataclass
class Streams:
    """The part of mediaserver.hub.hub.Hub that is asked."""

    live: list[str] = field(default_factory=list)
    starting: list[str] = field(default_factory=list)

    def streams(self) -> list[Stream]:
        return [Stream(room_id) for room_id in self.live + self.starting]

    def find_live(self, room_id: str) -> Stream | None:
        return Stream(room_id) if room_id in self.live else None


async def test_chats_of_live_rooms_are_opened_and_kept(database: Database) -> None:
    room_id, other, streams = await add_room(database), await add_room(database), Streams()
    relay = LocalRelay()
    chat = Hub(database, relay, Attendance(relay, NobodyWatches()), Tasks())
    rooms = LiveRooms(cast(Any, streams), chat)
    streams.starting = [str(other)]
    streams.live = [str(new_id()), str(room_id)]
    await rooms.look()
    room = chat.find(room_id)
    assert room is not None and chat.find(other) is None
    now = asyncio.get_running_loop().time()
    room.empty_since = now - 2 * EMPTY_SECONDS
    await rooms.look()
    await chat.tick(now)
    assert chat.find(room_id) is room
    streams.live = []
    await rooms.look()
    await chat.tick(now + 2 * EMPTY_SECONDS)
    assert chat.find(room_id) is None
