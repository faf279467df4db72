"""What people have said goes with their accounts, also from the screens of those who are looking.

The messages themselves are blanked with the account. Each node that shows some of them says so in the rooms'
logs, as if their authors had deleted them; whichever node comes first does it for all.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog

from chat.hub import ROOMS_AT_ONCE, Hub
from chat.room import Room
from chat.slices import sliced
from chat.tasks import Tasks
from storage.bus import Bus, UserChanged
from storage.database import Database
from storage.errors import StorageError
from storage.repositories.chat_log import ChatLog, LoggedEntry, NewEvent
from storage.repositories.chat_rooms import ChatRooms
from storage.repositories.users import Users, UserState

logger = structlog.get_logger("mediaserver.chat")

ATTEMPTS: Final = 10
RETRY_SECONDS: Final = 1.0
MOST_SINCE: Final = 1000
DELETED: Final = "message-deleted"


class Departures:
    """``subscribe`` is all there is to do."""

    def __init__(self, database: Database, hub: Hub, tasks: Tasks) -> None:
        self._database = database
        self._hub = hub
        self._tasks = tasks

    def subscribe(self, bus: Bus) -> None:
        bus.subscribe(UserChanged, lambda event: self._tasks.start(self._changed(UUID(event.user_id))))

    async def _changed(self, user_id: UUID) -> None:
        for _ in range(ATTEMPTS):
            try:
                return await self._remove_if_gone(user_id)
            except StorageError as error:
                logger.warning("chat_messages_not_removed", user_id=str(user_id), error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _remove_if_gone(self, user_id: UUID) -> None:
        user = await Users(self._database).find_by_id(user_id)
        if user is None or user.state is not UserState.DELETED:
            return
        for rooms in sliced(self._hub.rooms(), ROOMS_AT_ONCE):
            for room in rooms:
                await self._remove(room, user_id)
            await asyncio.sleep(0)

    async def _remove(self, room: Room, user_id: UUID) -> None:
        shown, offset = room.messages_by(user_id), room.offset
        if not shown:
            return
        async with self._database.transaction() as transaction:
            await ChatRooms(transaction).lock(room.id)
            log = ChatLog(transaction)
            # What others have said already may not have come here before.
            told = _deleted_in(await log.since(room.id, offset, MOST_SINCE))
            now = datetime.now(UTC)
            events = [
                NewEvent(room.id, DELETED, {"messageId": str(each), "deletedBy": str(user_id)}, now)
                for each in shown
                if str(each) not in told
            ]
            offsets = await log.append(events)
        pairs = zip(offsets, events, strict=True)
        self._hub.logged([LoggedEntry(offset, event) for offset, event in pairs if offset is not None])


def _deleted_in(entries: list[LoggedEntry]) -> set[str]:
    events = (logged.entry for logged in entries if isinstance(logged.entry, NewEvent))
    return {event.data["messageId"] for event in events if event.kind == DELETED}
