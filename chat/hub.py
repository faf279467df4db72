"""The rooms that somebody is in on this node, and everything that reaches them.

Rules:

* The room's log in PostgreSQL is the truth. Entries come from this node's writers, from other nodes, and
  from the database where one is missing; each is delivered once and in order, whichever way it came.
* A room is opened by whoever enters first and forgotten EMPTY_SECONDS after the last has left.
* Everything that reaches a room is synchronous; only opening, catching up and reloading ask the database.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from chat.attendance import Attendance
from chat.connection import Connection
from chat.effects import RELOADING, deliver
from chat.errors import Refusal
from chat.fanout import FanoutCounters, Ticker
from chat.moderation.authority import may_moderate
from chat.moderation.recent import fingerprint
from chat.moderation.terms import CompiledTerms
from chat.people import person_in
from chat.presence import Presence, RoomPresence
from chat.protocol.frames import HELD, MAX_MISSED, MessageHeld
from chat.relay import Relay
from chat.ring import Ring
from chat.room import Room
from chat.slices import sliced
from chat.tasks import Tasks
from storage.database import Database
from storage.errors import StorageError
from storage.repositories.chat_log import ChatLog, LoggedEntry, NewEvent, NewMessage
from storage.repositories.chat_messages import ChatMessages, MessageState
from storage.repositories.chat_people import ChatPeople
from storage.repositories.chat_rooms import ChatRooms

logger = structlog.get_logger("mediaserver.chat")

EMPTY_SECONDS: Final = 30.0
GAP_SECONDS: Final = 0.2
"""A missing entry may still be on its way from another node for so long."""
CATCH_UP_ENTRIES: Final = 500
RETRY_SECONDS: Final = 0.5
ROOMS_AT_ONCE: Final = 100
"""Between so many, others have their turn."""


class Hub:
    """Implements chat.writer.EntrySink and chat.relay.RelaySink. ``close`` ends it."""

    def __init__(self, database: Database, relay: Relay, attendance: Attendance, tasks: Tasks) -> None:
        self._database = database
        self._relay = relay
        self._attendance = attendance
        self._tasks = tasks
        self._ticker = Ticker()
        self._rooms: dict[UUID, Room] = {}
        self._opening: dict[UUID, asyncio.Task[Room]] = {}
        self._catching_up: set[UUID] = set()
        self._behind_again: set[UUID] = set()
        self._has_missed = False
        self._is_looking = False
        self._users: dict[UUID, dict[Connection, None]] = {}

    @property
    def counters(self) -> FanoutCounters:
        return self._ticker.counters

    def close(self) -> None:
        self._ticker.close()

    # Connections

    def connected(self, connection: Connection) -> None:
        if connection.identity is not None:
            self._users.setdefault(connection.identity.user_id, {})[connection] = None

    def disconnected(self, connection: Connection) -> None:
        if connection.identity is None:
            return
        connections = self._users.get(connection.identity.user_id, {})
        connections.pop(connection, None)
        if not connections:
            self._users.pop(connection.identity.user_id, None)

    def connections_of(self, user_id: UUID) -> list[Connection]:
        return list(self._users.get(user_id, ()))

    def users(self) -> list[UUID]:
        """Who has signed in and is connected."""
        return list(self._users)

    # Rooms

    def rooms(self) -> list[Room]:
        return list(self._rooms.values())

    def find(self, room_id: UUID) -> Room | None:
        return self._rooms.get(room_id)

    def presence_of(self, room_id: UUID) -> RoomPresence | None:
        room = self._rooms.get(room_id)
        return room.presence if room is not None else None

    async def look_at_presence(self, room_id: UUID) -> RoomPresence:
        """Who is in a room, though nobody be in it on this node."""
        presence = self.presence_of(room_id)
        if presence is None:
            presence = RoomPresence()
            for node, there in (await self._relay.elsewhere(room_id)).items():
                presence.remote(node, there)
        return presence

    async def open(self, room_id: UUID) -> Room:
        """The room, read from the database if nobody is in it yet. Raises Refusal, StorageError."""
        room = self._rooms.get(room_id)
        if room is not None:
            if not room.visitors:
                # Whoever asks is about to enter: it must not be forgotten at this moment.
                room.empty_since = asyncio.get_running_loop().time()
            return room
        opening = self._opening.get(room_id)
        if opening is None:
            opening = self._opening[room_id] = asyncio.create_task(self._open(room_id))
            opening.add_done_callback(lambda _: self._opening.pop(room_id, None))
        # Whoever asked first may go away; the others wait for the same room.
        return await asyncio.shield(opening)

    async def _open(self, room_id: UUID) -> Room:
        self._relay.opened(room_id)
        try:
            room = await self._read(room_id)
        except BaseException:
            self._relay.closed(room_id)
            raise
        self._rooms[room_id] = room
        room.empty_since = asyncio.get_running_loop().time()
        # What was said while the room was read found no room to be told to.
        self._catch_up(room)
        return room

    async def _read(self, room_id: UUID) -> Room:
        state = await ChatRooms(self._database).state(room_id)
        if state is None:
            raise Refusal("room_not_found", "There is no such room.")
        room = Room(state, await CompiledTerms.load(state.terms), self._ticker)
        floor = max(0, state.position.offset - MAX_MISSED)
        room.ring = Ring(floor)
        for logged in await ChatLog(self._database).since(room_id, floor, MAX_MISSED):
            if logged.offset <= state.position.offset:
                deliver(room, logged, is_news=False)
        # What the entries have changed is older than what the database says.
        room.settings = state.settings
        room.pin(state.pinned)
        return room

    def drop(self, room_id: UUID) -> None:
        """The room was deleted; those in it are told by their visits."""
        if self._rooms.pop(room_id, None) is not None:
            self._relay.closed(room_id)

    # Entries

    def logged(self, entries: Sequence[LoggedEntry]) -> None:
        """Entries that this node has just committed."""
        self._relay.publish(entries)
        for logged in entries:
            room = self._rooms.get(logged.entry.room_id)
            if room is not None:
                self._arrived(room, (logged,))

    def remote_entries(self, room_id: UUID, entries: Sequence[LoggedEntry]) -> None:
        room = self._rooms.get(room_id)
        if room is not None:
            for logged in entries:
                if isinstance(logged.entry, NewMessage):
                    room.recent.note(logged.entry.user_id, fingerprint(logged.entry.message))
            self._arrived(room, entries)

    def remote_burst(self, room_id: UUID, reactions: Mapping[str, int]) -> None:
        room = self._rooms.get(room_id)
        if room is not None:
            self._attendance.remote_burst(room, reactions)

    def remote_typing(self, room_id: UUID, people: Mapping[UUID, str]) -> None:
        room = self._rooms.get(room_id)
        if room is not None:
            self._attendance.remote_typing(room, people)

    def remote_presence(self, room_id: UUID, node: str, presence: Presence) -> None:
        room = self._rooms.get(room_id)
        if room is not None:
            self._attendance.remote_presence(room, node, presence)

    async def tick(self, now: float) -> None:
        """Once a second: forget rooms that are long empty, and tell who is in the others."""
        for rooms in sliced(self.rooms(), ROOMS_AT_ONCE):
            for room in rooms:
                if _is_abandoned(room, now):
                    self.drop(room.id)
                elif self._rooms.get(room.id) is room:
                    self._attendance.tick(room)
            await asyncio.sleep(0)

    def missed(self) -> None:
        """Something may have been said on other nodes unheard."""
        self._has_missed = True
        self._tasks.start(self._look_for_missed())

    async def _look_for_missed(self) -> None:
        """One at a time; what is missed meanwhile makes it begin again."""
        if self._is_looking:
            return
        self._is_looking = True
        try:
            while self._has_missed:
                self._has_missed = False
                for rooms in sliced(self.rooms(), ROOMS_AT_ONCE):
                    await self._catch_up_late(rooms)
        finally:
            self._is_looking = False

    async def _catch_up_late(self, rooms: Sequence[Room]) -> None:
        """Those whose logs are longer than what was delivered, or are gone."""
        try:
            positions = await ChatLog(self._database).positions([room.id for room in rooms])
        except StorageError as error:
            logger.warning("chat_rooms_wait", error=str(error))
            self._has_missed = True
            return await asyncio.sleep(RETRY_SECONDS)
        for room in rooms:
            position = positions.get(room.id)
            if position is not None and position.offset > room.offset:
                self._catch_up(room)

    def _arrived(self, room: Room, entries: Iterable[LoggedEntry]) -> None:
        loop = asyncio.get_running_loop()
        self._deliver(room, room.arrivals.add(entries, loop.time()))
        if room.arrivals.gap is not None:
            loop.call_later(GAP_SECONDS, self._look_at_gap, room)

    def _deliver(self, room: Room, entries: Iterable[LoggedEntry]) -> None:
        for logged in entries:
            deliver(room, logged)
            if not isinstance(logged.entry, NewEvent):
                continue
            if logged.entry.kind in RELOADING:
                self._in_background(room, partial(self._reload, room))
            elif logged.entry.kind == HELD:
                held = partial(self._show_held, room, UUID(logged.entry.data["messageId"]))
                self._in_background(room, held)

    def _look_at_gap(self, room: Room) -> None:
        gap = room.arrivals.gap
        now = asyncio.get_running_loop().time()
        if gap is not None and (gap.is_overflown or now - gap.since >= GAP_SECONDS / 2):
            self._catch_up(room)

    def _catch_up(self, room: Room) -> None:
        if room.id in self._catching_up:
            # It may have read the log's end already, before what is missing now was written.
            self._behind_again.add(room.id)
        else:
            self._catching_up.add(room.id)
            self._in_background(room, partial(self._read_missing, room))

    async def _read_missing(self, room: Room) -> None:
        try:
            is_behind = True
            while is_behind and self._rooms.get(room.id) is room:
                self._behind_again.discard(room.id)
                is_behind = await self._read_some(room) or room.id in self._behind_again
        finally:
            self._catching_up.discard(room.id)
            self._behind_again.discard(room.id)

    async def _read_some(self, room: Room) -> bool:
        """Deliver some of what is missing; say whether there may be more."""
        log = ChatLog(self._database)
        position = await log.position(room.id)
        if position is None:
            return False
        entries = await log.since(room.id, room.offset, CATCH_UP_ENTRIES)
        is_whole = len(entries) < CATCH_UP_ENTRIES
        # All up to the position was committed before the entries were read.
        up_to = position.offset if is_whole else entries[-1].offset
        self._deliver(room, room.arrivals.fill(entries, up_to, asyncio.get_running_loop().time()))
        return not is_whole

    async def _reload(self, room: Room) -> None:
        """Read anew what events only point to: the pinned message and the blocked terms."""
        room.reloads += 1
        number = room.reloads
        while True:
            changes = room.pin_changes
            state = await ChatRooms(self._database).state(room.id)
            if state is None:
                return
            terms = await CompiledTerms.load(state.terms)
            if number != room.reloads:
                # Another has begun, and what it reads is newer.
                return
            if changes == room.pin_changes:
                room.terms = terms
                return room.pin(state.pinned)

    async def _show_held(self, room: Room, message_id: UUID) -> None:
        """To moderators only, so the log does not tell what it says."""
        message = await ChatMessages(self._database).find(room.id, message_id)
        if message is None or message.state is not MessageState.HELD:
            return
        held = MessageHeld(
            room.id,
            message.id,
            "held",
            message.user_id,
            message.username,
            message.message,
            message.hold_reason or "",
        )
        room.say_to(await self._moderators_in(room), "message-held", held)

    async def _moderators_in(self, room: Room) -> list[Connection]:
        """Who is here as a moderator, and has not been banned meanwhile."""
        people, now = ChatPeople(self._database), datetime.now(UTC)
        found = []
        for connection, visitor in list(room.visitors.items()):
            if visitor.role.is_moderator and connection.identity is not None:
                person = await person_in(room, people, connection.identity.user_id)
                if person is not None and may_moderate(person, now):
                    found.append(connection)
        return found

    def _in_background(self, room: Room, work: Callable[[], Awaitable[None]]) -> None:
        self._tasks.start(self._persistently(room, work))

    async def _persistently(self, room: Room, work: Callable[[], Awaitable[None]]) -> None:
        """Until it succeeds, or nobody needs the room any more."""
        while self._rooms.get(room.id) is room:
            try:
                return await work()
            except (Refusal, StorageError) as error:
                logger.warning("chat_room_waits", room_id=str(room.id), error=str(error))
                await asyncio.sleep(RETRY_SECONDS)


def _is_abandoned(room: Room, now: float) -> bool:
    return not room.visitors and room.empty_since is not None and now - room.empty_since > EMPTY_SECONDS
