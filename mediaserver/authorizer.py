"""Who may publish and who may watch, answered from the database through a short cache.

Rules:

* A stream key is looked up by its digest; a room reference is an id or a slug. Anything else is refused
  before it comes near the database.
* A public or unlisted room without an age restriction needs no token, and a useless one does no harm there.
  Elsewhere, and for whoever shows a token, it is asked whether its user may watch now, not when it was made.
* A room whose owner's account is not active is not there, but for administrators with a token.
* A change told on the bus counts at once: what is cached about the room or the user is forgotten.
* After a gap in the notifications, the keys of those who were let in are checked again, and a key that no
  longer counts is told on the bus as ``StreamKeyRotated`` or ``RoomOwnerChanged``.
* While the database is away, what was known a short time ago still counts; the rest is ``UNAVAILABLE``.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self
from uuid import UUID

import structlog

from control_api.playback_grants import Grant, PlaybackGrants, TokenFault
from control_api.services.playback import Denial, PlaybackAccess, Verdict
from mediaserver.cached_lookup import CachedLookup, CacheLimits
from mediaserver.config.settings import AuthorizationSettings
from mediaserver.room_refs import parse_room_ref
from rtmp.ports import PlayGrant, PublishGrant, Refusal, RefusalReason
from storage.bus import (
    Bus,
    ChangesMissed,
    RoomChanged,
    RoomDeleted,
    RoomOwnerChanged,
    RoomRelationChanged,
    StreamKeyRotated,
    UserChanged,
    UserFollowed,
)
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.repositories import KeyState, StreamKeys, Visibility
from storage.repositories.playback import Playback, WatchedRoom
from storage.stream_keys import StreamKeyDigester, is_stream_key, new_stream_key

logger = structlog.get_logger("mediaserver.authorizer")

APPLICATION: Final = "live"
RECHECK_PAUSE_SECONDS: Final = 1.0

_OPEN: Final = frozenset((Visibility.PUBLIC, Visibility.UNLISTED))

VERDICT_SECONDS: Final = 30.0
"""How long a viewer with a token is believed without asking again, as long as nothing is told on the bus."""

NO_SUCH_KEY: Final = Refusal(RefusalReason.BAD_NAME, "no such stream key")
NO_SUCH_ROOM: Final = Refusal(RefusalReason.BAD_NAME, "no such room")
NO_SUCH_APPLICATION: Final = Refusal(RefusalReason.BAD_NAME, f"the application is called {APPLICATION}")
OWNER_INACTIVE: Final = Refusal(RefusalReason.REJECTED, "the account of the room's owner is not active")
UNAVAILABLE: Final = Refusal(RefusalReason.UNAVAILABLE, "the database cannot be reached; try again shortly")


@dataclass(frozen=True, slots=True)
class WatchRefusal(Refusal):
    """``code`` is for programs. Another token may help if ``needs_token``."""

    code: str
    needs_token: bool = False


NOT_OPEN: Final = WatchRefusal(
    RefusalReason.REJECTED, "the room is not open to everyone", "token_required", needs_token=True
)
TOKEN_EXPIRED: Final = WatchRefusal(
    RefusalReason.REJECTED, "the token has expired; get another one", "token_expired", needs_token=True
)
TOKEN_INVALID: Final = WatchRefusal(RefusalReason.REJECTED, "the token is none of this room", "token_invalid")


def refusal_of(denial: Denial) -> WatchRefusal:
    return WatchRefusal(RefusalReason.REJECTED, denial.message, denial.value)


ROOM_FULL: Final = refusal_of(Denial.ROOM_FULL)


@dataclass(frozen=True, slots=True)
class RoomAccess:
    """A room that the asker may watch. ``slug`` is its other name in addresses, if it has one.

    ``is_listed`` says whether it may be shown to those who do not know its address. ``viewer_id`` is the user
    that a token named. ``max_viewers`` is None, too, for those whom a full room does not keep out.
    ``low_latency``: over WebRTC, too.
    """

    room_id: str
    slug: str | None
    title: str
    owner_name: str
    is_listed: bool
    viewer_id: UUID | None = None
    max_viewers: int | None = None
    low_latency: bool = True
    owner_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class WatchGrant(PlayGrant):
    """What playback over RTMP is told beyond the room; as in ``RoomAccess``."""

    viewer_id: UUID | None = None
    max_viewers: int | None = None


class Authorizer:
    """Implements rtmp.ports.Authorizer and answers the same for HTTP. An async context manager."""

    def __init__(
        self,
        database: Database,
        digester: StreamKeyDigester,
        bus: Bus,
        settings: AuthorizationSettings,
        grants: PlaybackGrants | None = None,
    ) -> None:
        """Without ``grants`` no token counts."""
        self._digester = digester
        self._bus = bus
        self._grants = grants
        self._access = PlaybackAccess(database)
        self._stream_keys = StreamKeys(database)
        self._playback = Playback(database)
        self._limits = CacheLimits()
        self._verdict_limits = CacheLimits()
        self.apply(settings)
        self._keys: CachedLookup[bytes, KeyState] = CachedLookup(
            self._stream_keys.find, lambda key: (str(key.room_id),), self._limits, time.monotonic
        )
        self._room_refs: CachedLookup[UUID | str, WatchedRoom] = CachedLookup(
            self._playback.find_room, lambda room: (str(room.id),), self._limits, time.monotonic
        )
        self._verdicts: CachedLookup[tuple[UUID, UUID | None], Verdict] = CachedLookup(
            lambda who: self._access.verdict(*who),
            lambda verdict: (str(verdict.room_id), str(verdict.user_id)),
            self._verdict_limits,
            time.monotonic,
            # Nobody is told of who may see more than before, such as a new follower.
            is_negative=lambda verdict: verdict.denial is not None,
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
        await self._verdicts.close()

    def apply(self, settings: AuthorizationSettings) -> None:
        """Take over changed settings."""
        self._limits.found_seconds = settings.cache_seconds
        self._limits.absent_seconds = settings.negative_cache_seconds
        self._limits.stale_seconds = settings.stale_seconds
        self._limits.entries = settings.cache_entries
        self._verdict_limits.found_seconds = max(VERDICT_SECONDS, settings.cache_seconds)
        self._verdict_limits.absent_seconds = settings.negative_cache_seconds
        self._verdict_limits.stale_seconds = settings.stale_seconds
        self._verdict_limits.entries = settings.cache_entries

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
        if isinstance(access, Refusal):
            return access
        return WatchGrant(access.room_id, access.viewer_id, access.max_viewers)

    async def may_watch(self, room_ref: str, token: str | None, address: str) -> RoomAccess | Refusal:
        """BAD_NAME: no such room. REJECTED, a WatchRefusal: not open to all, and not opened by the token."""
        key = parse_room_ref(room_ref)
        if key is None:
            return NO_SUCH_ROOM
        try:
            room = await self._room_refs.get(key)
            if room is None:
                return NO_SUCH_ROOM
            grant = self._grant(room.id, token)
            if isinstance(grant, Grant):
                return await self._access_of(room, grant)
        except DatabaseUnavailable:
            return UNAVAILABLE
        if not room.is_owner_active:
            return NO_SUCH_ROOM
        return _open_access(room) if _is_open(room) else grant

    async def is_room(self, room_ref: str, room_id: str) -> bool:
        """Whether an id or slug names the room with this id. Of the database, when it is away, no slug is."""
        key = parse_room_ref(room_ref)
        if key is None or isinstance(key, UUID):
            return str(key) == room_id
        try:
            room = await self._room_refs.get(key)
        except DatabaseUnavailable:
            return False
        return room is not None and str(room.id) == room_id

    async def may_not_watch(self, room_id: str, user_ids: Sequence[UUID | None]) -> Collection[UUID | None]:
        """Those of ``user_ids`` who may not watch the room now. Raises DatabaseUnavailable.

        The database is asked. Whoever has no token is judged as one who has not signed in.
        """
        verdicts = await self._access.verdicts(UUID(room_id), user_ids)
        allowed = (each for each in verdicts if each.denial is None and not each.is_hidden)
        return set(user_ids) - {verdict.user_id for verdict in allowed}

    async def has_low_latency(self, room_id: str) -> bool:
        """Whether the room may be watched over WebRTC now. The database is asked. Raises DatabaseUnavailable.

        A room that is not there is not watched at all.
        """
        room = await self._playback.find_room(UUID(room_id))
        return room is not None and room.low_latency

    def _grant(self, room_id: UUID, token: str | None) -> Grant | WatchRefusal:
        if token is None:
            return NOT_OPEN
        grant = self._grants.check(token) if self._grants is not None else TokenFault.INVALID
        if grant is TokenFault.EXPIRED:
            return TOKEN_EXPIRED
        if not isinstance(grant, Grant) or grant.room_id != room_id:
            return TOKEN_INVALID
        return grant

    async def _access_of(self, room: WatchedRoom, grant: Grant) -> RoomAccess | Refusal:
        verdict = await self._verdicts.get((room.id, grant.user_id))
        if verdict is None or verdict.is_hidden:
            return NO_SUCH_ROOM
        if verdict.denial is not None:
            return refusal_of(verdict.denial)
        return replace(_open_access(room), viewer_id=grant.user_id, max_viewers=verdict.max_viewers)

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
        self._bus.subscribe(UserChanged, self._user_changed)
        self._bus.subscribe(RoomRelationChanged, self._user_changed)
        self._bus.subscribe(UserFollowed, lambda event: self._verdicts.forget(event.follower_id))
        self._bus.subscribe(ChangesMissed, self._changes_missed)

    def _room_changed(self, event: StreamKeyRotated | RoomChanged | RoomDeleted | RoomOwnerChanged) -> None:
        self._keys.forget(event.room_id)
        self._room_refs.forget(event.room_id)
        self._verdicts.forget(event.room_id)

    def _user_changed(self, event: UserChanged | RoomRelationChanged) -> None:
        self._verdicts.forget(event.user_id)

    def _changes_missed(self, _: ChangesMissed) -> None:
        self._keys.doubt_everything()
        self._room_refs.doubt_everything()
        self._verdicts.doubt_everything()
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


def _is_open(room: WatchedRoom) -> bool:
    return room.visibility in _OPEN and not room.age_restricted


def _open_access(room: WatchedRoom) -> RoomAccess:
    """What somebody without a token gets of an open room."""
    is_listed = room.visibility is Visibility.PUBLIC
    return RoomAccess(
        str(room.id),
        room.slug,
        room.title,
        room.owner_name,
        is_listed,
        max_viewers=room.max_viewers,
        low_latency=room.low_latency,
        owner_id=room.owner_id,
    )
