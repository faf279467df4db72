"""All rooms with somebody in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from sfu.participant import Link, Participant
from sfu.room import Room, RoomOptions
from sfu.room_errors import Refusal
from sfu.room_ports import Audience, Grants, RouterSource

TICK_SECONDS: Final = 1.0


class RoomDirectory:
    """A room begins with its first participant and ends with its last. `run` is its task."""

    def __init__(
        self,
        routers: RouterSource,
        options: RoomOptions | None = None,
        max_rooms: int = 1_000,
        clock: Callable[[], float] | None = None,
        audience: Audience | None = None,
    ) -> None:
        self.options: Final = options or RoomOptions()
        self._routers = routers
        self._max_rooms = max_rooms
        self._clock = clock
        self._audience = audience
        self._rooms: dict[str, Room] = {}

    @property
    def rooms(self) -> Mapping[str, Room]:
        """The rooms by id."""
        return self._rooms

    def now(self) -> float:
        """Return the time that rooms live in."""
        return asyncio.get_running_loop().time() if self._clock is None else self._clock()

    async def enter(
        self, grants: Grants, link: Link, resume_token: str | None
    ) -> tuple[Room, Participant, bool]:
        """Let somebody into the granted room, and tell whether it was there before and came back.

        Raises Refusal as `Room.join` does, `too_many_rooms`, and what a router cannot be made for.
        """
        await self._open(grants.room_id)
        room = self._rooms[grants.room_id]
        try:
            if resume_token is not None:
                resumed = room.resume(resume_token, grants, link)
                if resumed is not None:
                    return room, resumed, True
            return room, room.join(grants, link), False
        finally:
            self.drop_if_empty(room)

    async def _open(self, room_id: str) -> None:
        if room_id in self._rooms:
            return
        if len(self._rooms) >= self._max_rooms:
            raise Refusal("too_many_rooms", "The server has no place for another room.", 30)
        router = await self._routers.router(room_id)
        if room_id in self._rooms:  # somebody else was quicker
            self._routers.release(room_id)
        else:
            self._rooms[room_id] = Room(room_id, router, self.options, self._audience)

    def leave(self, room: Room, participant: Participant) -> None:
        """Take a participant out, and end the room if it was the last."""
        room.leave(participant)
        self.drop_if_empty(room)

    def drop_if_empty(self, room: Room) -> None:
        """End a room without participants."""
        if not room.participants and self._rooms.get(room.id) is room:
            self._end(room, 1000, "the room is empty")

    def tick(self) -> None:
        """Let time pass in all rooms."""
        now = self.now()
        for room in list(self._rooms.values()):
            room.expire(now)
            self.drop_if_empty(room)

    async def run(self) -> None:
        """Tick once a second until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick()

    def end(self, room_id: str, code: int, reason: str) -> None:
        """End a room with everybody in it."""
        room = self._rooms.get(room_id)
        if room is not None:
            self._end(room, code, reason)

    def close(self, code: int, reason: str) -> None:
        """End all rooms."""
        for room in list(self._rooms.values()):
            self._end(room, code, reason)

    def _end(self, room: Room, code: int, reason: str) -> None:
        del self._rooms[room.id]
        room.close(code, reason)
        self._routers.release(room.id)
