"""Broadcasts: announcing, ending, kicking; what runs now and what has been.

A broadcast on another node is ended through the database: its row is closed, and every node is told that the
room's publisher has to go.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta

from control_api.errors import not_found
from control_api.pagination import Page, decode_cursor, page_of
from control_api.ports import LiveRooms, StreamControl
from control_api.principal import Principal
from control_api.services.rooms import RoomsService, may_manage
from storage.database import Executor
from storage.repositories import Broadcast, Broadcasts, StreamKeys
from storage.repositories.audit import AuditLog
from storage.repositories.broadcasts import LiveBroadcast
from storage.repositories.rooms import RoomDetails, Rooms

ENDED_BY_OWNER: Final = "ended by owner"
ENDED_BY_ADMINISTRATOR: Final = "ended by administrator"

Viewers = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class StreamsService:
    def __init__(
        self, database: Executor, rooms: RoomsService, live: LiveRooms, control: StreamControl
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._live = live
        self._control = control

    async def start(self, principal: Principal, room_id: UUID) -> RoomDetails:
        """Announce that the broadcast is about to begin: the room is ready, and its schedule fulfilled.

        Publishing needs no announcement; it is for those who wait.
        """
        await self._rooms.managed(principal, room_id)
        return await self._set_ready(room_id, is_ready=True)

    async def end(self, principal: Principal, room_id: UUID, address: str) -> RoomDetails:
        """End what runs, wherever it runs. A room that is not live is just not ready any more.

        An administrator who ends what somebody else broadcasts is written down.
        """
        room = await self._rooms.managed(principal, room_id)
        is_owner = principal.user_id == room.owner.id
        await self._stop(room_id, ENDED_BY_OWNER if is_owner else ENDED_BY_ADMINISTRATOR)
        if not is_owner:
            await self._audit(principal, "stream.end", room_id, address)
        return await self._set_ready(room_id, is_ready=False)

    async def kick(self, principal: Principal, room_id: UUID, address: str) -> None:
        """End a room's broadcast as an administrator. 404 when it has none."""
        if await Rooms(self._database).details(room_id) is None:
            raise not_found("stream")
        if not await self._stop(room_id, ENDED_BY_ADMINISTRATOR):
            raise not_found("stream")
        await self._audit(principal, "stream.kick", room_id, address)

    async def running(self, cursor: str | None, limit: int) -> Page[LiveBroadcast]:
        """On all nodes, the most watched first."""
        after = decode_cursor(cursor, Viewers, UUID) if cursor is not None else None
        found = await Broadcasts(self._database).live(limit + 1, after and (after[0], after[1]))
        return page_of(found, limit, lambda live: (live.viewers, live.room_id))

    async def history(
        self, principal: Principal, room_id: UUID, cursor: str | None, limit: int
    ) -> Page[Broadcast]:
        """The newest first. Why one ended is for those who run the room."""
        room = await self._rooms.find(principal, str(room_id))
        after = decode_cursor(cursor, datetime, UUID) if cursor is not None else None
        found = await Broadcasts(self._database).history(room_id, limit + 1, after and (after[0], after[1]))
        page = page_of(found, limit, lambda broadcast: (broadcast.started_at, broadcast.id))
        return page if may_manage(principal, room) else page.map(lambda each: replace(each, end_reason=None))

    async def _stop(self, room_id: UUID, reason: str) -> bool:
        now = datetime.now(UTC)
        viewers = self._live.viewer_count(room_id)
        was_here = self._control.kick(room_id, reason)
        async with self._database.transaction() as transaction:
            was_known = await Broadcasts(transaction).close_room(room_id, now, viewers, reason)
            if was_known and not was_here:
                await StreamKeys(transaction).announce(room_id)
        return was_here or was_known

    async def _audit(self, principal: Principal, action: str, room_id: UUID, address: str) -> None:
        await AuditLog(self._database).add(principal.user_id, action, "room", str(room_id), address)

    async def _set_ready(self, room_id: UUID, *, is_ready: bool) -> RoomDetails:
        rooms = Rooms(self._database)
        await rooms.set_ready(room_id, is_ready)
        room = await rooms.details(room_id)
        if room is None:
            raise not_found("room")
        return room
