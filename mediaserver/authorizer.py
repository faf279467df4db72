"""Who may publish and who may watch, answered from the database through a short cache.

Rules:

* A stream key is looked up by its digest; a room reference is an id or a slug. Anything else is refused
  before it comes near the database.
* A change told on the bus counts at once: what is cached about the room is forgotten.
* After a gap in the notifications, the keys of those who were let in are checked again, and a key that no
  longer counts is told on the bus as ``StreamKeyRotated`` or ``RoomOwnerChanged``.
* While the database is away, what was known a short time ago still counts; the rest is ``UNAVAILABLE``.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

import structlog

from mediaserver.cached_lookup import CachedLookup, CacheLimits
from mediaserver.config.settings import AuthorizationSettings
from mediaserver.room_refs import parse_room_ref
from rtmp.ports import PlayGrant, PublishGrant, Refusal, RefusalReason
from storage.bus import Bus, ChangesMissed, RoomChanged, RoomDeleted, RoomOwnerChanged, StreamKeyRotated
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.repositories import KeyState, Room, Rooms, StreamKeys, Visibility
from storage.stream_keys import StreamKeyDigester, is_stream_key, new_stream_key

logger = structlog.get_logger("mediaserver.authorizer")

APPLICATION: Final = "live"
RECHECK_PAUSE_SECONDS: Final = 1.0

_OPEN: Final = frozenset((Visibility.PUBLIC, Visibility.UNLISTED))

NO_SUCH_KEY: Final = Refusal(RefusalReason.BAD_NAME, "no such stream key")
NO_SUCH_ROOM: Final = Refusal(RefusalReason.BAD_NAME, "no such room")
NO_SUCH_APPLICATION: Final = Refusal(RefusalReason.BAD_NAME, f"the application is called {APPLICATION}")
OWNER_INACTIVE: Final = Refusal(RefusalReason.REJECTED, "the account of the room's owner is not active")
NOT_OPEN: Final = Refusal(RefusalReason.REJECTED, "the room is not open to everyone")
UNAVAILABLE: Final = Refusal(RefusalReason.UNAVAILABLE, "the database cannot be reached; try again shortly")


@dataclass(frozen=True, slots=True)
class RoomAccess:
    """A room that the asker may watch. ``slug`` is its other name in addresses, if it has one.

    ``is_listed`` says whether it may be shown to those who do not know its address.
    """

    room_id: str
    slug: str | None
    title: str
    owner_name: str
    is_listed: bool


class Authorizer:
    """Implements rtmp.ports.Authorizer and answers the same for HTTP. An async context manager."""

    def __init__(
        self, database: Database, digester: StreamKeyDigester, bus: Bus, settings: AuthorizationSettings
    ) -> None:
        self._digester = digester
        self._bus = bus
        self._rooms = Rooms(database)
        self._stream_keys = StreamKeys(database)
        self._limits = CacheLimits()
        self.apply(settings)
        self._keys: CachedLookup[bytes, KeyState] = CachedLookup(
            self._stream_keys.find, lambda key: str(key.room_id), self._limits, time.monotonic
        )
        self._room_refs: CachedLookup[UUID | str, Room] = CachedLookup(
            self._find_room, lambda room: str(room.id), self._limits, time.monotonic
        )
        # Room -> digest of the key it was last published with, the least recent first.
        self._granted: dict[str, bytes] = {}
        self._temporary_keys: dict[str, str] = {}
        self._recheck: asyncio.Task[None] | None = None
        self._subscribe()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._recheck is not None:
            self._recheck.cancel()
            await asyncio.gather(self._recheck, return_exceptions=True)
        await self._keys.close()
        await self._room_refs.close()

    def apply(self, settings: AuthorizationSettings) -> None:
        """Take over changed settings."""
        self._limits.found_seconds = settings.cache_seconds
        self._limits.absent_seconds = settings.negative_cache_seconds
        self._limits.stale_seconds = settings.stale_seconds
        self._limits.entries = settings.cache_entries

    def issue_temporary_key(self, room_id: str) -> str:
        """A second key for a room that only this process knows, and only as long as it lives.

        The demo publishes with one, so that the room's real key stays with whoever has it.
        """
        key = new_stream_key()
        self._temporary_keys[key] = room_id
        return key

    async def may_publish(
        self, app: str, name: str, query: Mapping[str, str], address: str
    ) -> PublishGrant | Refusal:
        """``name`` is the stream key."""
        if app.strip("/") != APPLICATION:
            return NO_SUCH_APPLICATION
        if not is_stream_key(name):
            return NO_SUCH_KEY
        if name in self._temporary_keys:
            return PublishGrant(self._temporary_keys[name])
        try:
            key = await self._keys.get(self._digester.digest(name))
        except DatabaseUnavailable:
            return UNAVAILABLE
        if key is None:
            return NO_SUCH_KEY
        if not key.is_owner_active:
            return OWNER_INACTIVE
        self._remember(key)
        return PublishGrant(str(key.room_id))

    async def may_play(
        self, app: str, name: str, query: Mapping[str, str], address: str
    ) -> PlayGrant | Refusal:
        """``name`` is a room's id or slug."""
        if app.strip("/") != APPLICATION:
            return NO_SUCH_APPLICATION
        access = await self.may_watch(name, query.get("token"), address)
        return access if isinstance(access, Refusal) else PlayGrant(access.room_id)

    async def may_watch(self, room_ref: str, token: str | None, address: str) -> RoomAccess | Refusal:
        """BAD_NAME: no such room. REJECTED: not open to everyone, and no token opens it."""
        key = parse_room_ref(room_ref)
        if key is None:
            return NO_SUCH_ROOM
        try:
            room = await self._room_refs.get(key)
        except DatabaseUnavailable:
            return UNAVAILABLE
        if room is None:
            return NO_SUCH_ROOM
        if room.visibility not in _OPEN:
            return NOT_OPEN
        is_listed = room.visibility is Visibility.PUBLIC
        return RoomAccess(str(room.id), room.slug, room.title, room.owner_name, is_listed)

    async def _find_room(self, key: UUID | str) -> Room | None:
        if isinstance(key, UUID):
            return await self._rooms.find_by_id(key)
        return await self._rooms.find_by_slug(key)

    def _remember(self, key: KeyState) -> None:
        room_id = str(key.room_id)
        self._granted.pop(room_id, None)
        self._granted[room_id] = key.key_hash
        if len(self._granted) > self._limits.entries:
            del self._granted[next(iter(self._granted))]

    def _subscribe(self) -> None:
        self._bus.subscribe(StreamKeyRotated, self._room_changed)
        self._bus.subscribe(RoomChanged, self._room_changed)
        self._bus.subscribe(RoomDeleted, self._room_changed)
        self._bus.subscribe(RoomOwnerChanged, self._room_changed)
        self._bus.subscribe(ChangesMissed, self._changes_missed)

    def _room_changed(self, event: StreamKeyRotated | RoomChanged | RoomDeleted | RoomOwnerChanged) -> None:
        self._keys.forget_room(event.room_id)
        self._room_refs.forget_room(event.room_id)

    def _changes_missed(self, _: ChangesMissed) -> None:
        self._keys.doubt_everything()
        self._room_refs.doubt_everything()
        if self._recheck is not None:
            self._recheck.cancel()
        self._recheck = asyncio.create_task(self._recheck_publishers())

    async def _recheck_publishers(self) -> None:
        """Find those whose key or account stopped counting while nobody listened."""
        while True:
            granted = dict(self._granted)
            try:
                keys = await self._stream_keys.find_many([UUID(room_id) for room_id in granted])
            except DatabaseUnavailable:
                await asyncio.sleep(RECHECK_PAUSE_SECONDS)
                continue
            break
        known = {str(key.room_id): key for key in keys}
        for room_id, digest in granted.items():
            key = known.get(room_id)
            if key is None or key.key_hash != digest:
                self._granted.pop(room_id, None)
                self._bus.publish(StreamKeyRotated(room_id))
            elif not key.is_owner_active:
                self._bus.publish(RoomOwnerChanged(room_id, is_active=False))
