"""Those who watch over a lasting connection, and who of them must leave when something changes.

Rules:

* A session costs a few dictionary entries at its start and its end, and nothing while it lasts: no task, no
  timer, no lock. One task for all of them runs only while something is in doubt.
* What a change may concern is asked anew, of the database itself, in one query for each room (and for
  USERS_AT_ONCE users, so that a full room does not hold up the loop). While the database is away, those who
  watch go on watching; they are asked for once it is back.
* A room that has no low latency any more ends the sessions over WebRTC; their players have other doors.
* Viewers of HLS have no session: their next request is refused.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol
from uuid import UUID

import structlog

from storage.bus import (
    Bus,
    ChangesMissed,
    RoomChanged,
    RoomDeleted,
    RoomOwnerChanged,
    RoomRelationChanged,
    UserChanged,
)
from storage.errors import DatabaseUnavailable

logger = structlog.get_logger("mediaserver.playback_sessions")

USERS_AT_ONCE: Final = 1000
SESSIONS_AT_ONCE: Final = 50
"""Connections over WebRTC, whose end is some work, between which others have their turn."""
PAUSE_SECONDS: Final = 1.0


class PlaybackCheck(Protocol):
    async def may_not_watch(self, room_id: str, user_ids: Sequence[UUID | None]) -> Collection[UUID | None]:
        """Those of ``user_ids`` (None: not signed in) who may not watch the room now.

        Raises DatabaseUnavailable when nobody can tell.
        """

    async def has_low_latency(self, room_id: str) -> bool:
        """Whether the room may be watched over WebRTC now. Raises as ``may_not_watch``."""


class PlaybackSession:
    """One connection that watches. ``on_close`` is called once if it must leave, not when it goes by itself.

    It may be closed before ``on_close`` is set; ``is_closed`` says so. ``is_real_time`` if it lasts only as
    long as the room has low latency.
    """

    __slots__ = ("is_closed", "is_real_time", "on_close", "room_id", "user_id")

    def __init__(self, room_id: str, user_id: UUID | None, is_real_time: bool = False) -> None:
        self.room_id: Final = room_id
        self.user_id: Final = user_id
        self.is_real_time: Final = is_real_time
        self.is_closed = False
        self.on_close: Callable[[], None] | None = None

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        if self.on_close is not None:
            self.on_close()


class PlaybackSessions:
    """The sessions by room and user. Dictionaries serve as ordered sets."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[UUID | None, dict[PlaybackSession, None]]] = {}

    def __len__(self) -> int:
        return sum(len(sessions) for users in self._rooms.values() for sessions in users.values())

    def open(self, room_id: str, user_id: UUID | None, *, is_real_time: bool = False) -> PlaybackSession:
        """To be called at once after the check, without an await between: a change then cannot be missed."""
        session = PlaybackSession(room_id, user_id, is_real_time)
        self._rooms.setdefault(room_id, {}).setdefault(user_id, {})[session] = None
        return session

    def leave(self, session: PlaybackSession) -> None:
        """The connection is over. A no-op the second time."""
        users = self._rooms.get(session.room_id, {})
        sessions = users.get(session.user_id, {})
        sessions.pop(session, None)
        if not sessions:
            users.pop(session.user_id, None)
        if not users:
            self._rooms.pop(session.room_id, None)

    @contextmanager
    def opened(self, room_id: str, user_id: UUID | None) -> Iterator[PlaybackSession]:
        session = self.open(room_id, user_id)
        try:
            yield session
        finally:
            self.leave(session)

    def rooms(self) -> list[str]:
        return list(self._rooms)

    def rooms_of(self, user_id: UUID) -> list[str]:
        return [room_id for room_id, users in self._rooms.items() if user_id in users]

    def users(self, room_id: str) -> list[UUID | None]:
        return list(self._rooms.get(room_id, ()))

    def signed_in(self, room_id: str) -> tuple[frozenset[UUID], int]:
        """Who is in the room under a name, and over how many connections."""
        users = self._rooms.get(room_id, {})
        named = {user_id: len(sessions) for user_id, sessions in users.items() if user_id is not None}
        return frozenset(named), sum(named.values())

    def close(self, room_id: str, user_ids: Iterable[UUID | None]) -> int:
        """Make these users leave the room; say how many sessions that were."""
        users = self._rooms.get(room_id, {})
        return _close([session for user_id in user_ids for session in users.get(user_id, ())])

    def real_time(self, room_id: str) -> list[PlaybackSession]:
        """Those that last only as long as the room has low latency."""
        users = self._rooms.get(room_id, {})
        return [session for sessions in users.values() for session in sessions if session.is_real_time]


def _close(leaving: Sequence[PlaybackSession]) -> int:
    for session in leaving:
        try:
            session.close()
        except Exception:
            logger.exception("playback_session_not_closed", room_id=session.room_id)
    return len(leaving)


class SessionReview:
    """Asks for those whom a change on the bus may concern, and closes the sessions of who may not watch.

    ``close`` ends it.
    """

    def __init__(self, sessions: PlaybackSessions, check: PlaybackCheck, bus: Bus) -> None:
        self._sessions = sessions
        self._check = check
        # Room -> users in doubt; None stands for all of them.
        self._doubts: dict[str, set[UUID | None] | None] = {}
        self._task: asyncio.Task[None] | None = None
        bus.subscribe(RoomChanged, self._room_changed)
        bus.subscribe(RoomDeleted, self._room_changed)
        bus.subscribe(RoomOwnerChanged, self._room_changed)
        bus.subscribe(UserChanged, self._user_changed)
        bus.subscribe(RoomRelationChanged, self._user_changed)
        bus.subscribe(ChangesMissed, self._changes_missed)

    @property
    def is_busy(self) -> bool:
        """Whether somebody is in doubt."""
        return self._task is not None and not self._task.done()

    async def close(self) -> None:
        self._doubts.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _room_changed(self, event: RoomChanged | RoomDeleted | RoomOwnerChanged) -> None:
        self._doubt(event.room_id, None)

    def _user_changed(self, event: UserChanged | RoomRelationChanged) -> None:
        user_id = UUID(event.user_id)
        for room_id in self._sessions.rooms_of(user_id):
            self._doubt(room_id, {user_id})

    def _changes_missed(self, _: ChangesMissed) -> None:
        for room_id in self._sessions.rooms():
            self._doubt(room_id, None)

    def _doubt(self, room_id: str, users: set[UUID | None] | None) -> None:
        if not self._sessions.users(room_id):
            return
        known = self._doubts.get(room_id, set())
        self._doubts[room_id] = None if users is None or known is None else known | users
        if not self.is_busy:
            self._task = asyncio.create_task(self._review())

    async def _review(self) -> None:
        while self._doubts:
            room_id = next(iter(self._doubts))
            users = self._doubts.pop(room_id)
            try:
                await self._review_room(room_id, users)
            except DatabaseUnavailable:
                self._doubt(room_id, users)
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception:
                logger.exception("playback_review_failed", room_id=room_id)

    async def _review_room(self, room_id: str, doubted: set[UUID | None] | None) -> None:
        present = self._sessions.users(room_id)
        users = present if doubted is None else [user for user in present if user in doubted]
        for first in range(0, len(users), USERS_AT_ONCE):
            some = users[first : first + USERS_AT_ONCE]
            closed = self._sessions.close(room_id, await self._check.may_not_watch(room_id, some))
            if closed:
                logger.info("viewers_dropped", room_id=room_id, sessions=closed)
        if doubted is None:
            await self._review_latency(room_id)

    async def _review_latency(self, room_id: str) -> None:
        if not self._sessions.real_time(room_id) or await self._check.has_low_latency(room_id):
            return
        leaving = self._sessions.real_time(room_id)
        for first in range(0, len(leaving), SESSIONS_AT_ONCE):
            _close(leaving[first : first + SESSIONS_AT_ONCE])
            await asyncio.sleep(0)
        logger.info("real_time_viewers_moved", room_id=room_id, sessions=len(leaving))
