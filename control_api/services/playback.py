"""Who may watch which room, and the tokens that say so.

The rule stands here once. It is asked when a token is made, at every delivery door, and again for those who
are watching when something changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, Protocol
from urllib.parse import quote
from uuid import UUID

from control_api.errors import ApiError, forbidden, not_found
from control_api.playback_grants import PlaybackGrants
from control_api.principal import Principal
from storage.database import Executor
from storage.repositories import Role, UserState, Visibility
from storage.repositories.playback import Playback, Standing

_ADMINISTRATORS: Final = frozenset((Role.ADMIN, Role.SUPERADMIN))


class Denial(Enum):
    """Why somebody may not watch; the value is the code that clients see."""

    FOLLOWERS_ONLY = "followers_only"
    SUBSCRIBERS_ONLY = "subscribers_only"
    PRIVATE_ROOM = "private_room"
    AGE_RESTRICTED = "age_restricted"
    ROOM_FULL = "room_full"
    BLOCKED = "blocked"
    ACCOUNT_SUSPENDED = "account_suspended"

    @property
    def message(self) -> str:
        return _MESSAGES[self]


_MESSAGES: Final = {
    Denial.FOLLOWERS_ONLY: "Only followers of the owner may watch this room.",
    Denial.SUBSCRIBERS_ONLY: "Only subscribers of the owner may watch this room.",
    Denial.PRIVATE_ROOM: "This room is private.",
    Denial.AGE_RESTRICTED: "Sign in to watch this room: it is not for everyone.",
    Denial.ROOM_FULL: "The room is full.",
    Denial.BLOCKED: "The owner of this room has blocked you.",
    Denial.ACCOUNT_SUSPENDED: "Your account is not active.",
}


class Viewers(Protocol):
    """Who takes up a place in a room: those who watch, not those who only chat."""

    def watcher_count(self, room_id: UUID) -> int: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether ``user_id`` may watch: ``denial`` is None if so.

    ``is_hidden`` if they may not even know of the room, whose owner's account is not active.
    ``max_viewers`` is None, too, for those whom a full room keeps out no more than an empty one.
    """

    room_id: UUID
    user_id: UUID | None
    denial: Denial | None
    max_viewers: int | None
    is_hidden: bool = False


class PlaybackAccess:
    """The rule, asked of the database."""

    def __init__(self, database: Executor) -> None:
        self._playback = Playback(database)

    async def verdict(self, room_id: UUID, user_id: UUID | None) -> Verdict | None:
        """None when there is no such room."""
        verdicts = await self.verdicts(room_id, (user_id,))
        return verdicts[0] if verdicts else None

    async def verdicts(self, room_id: UUID, user_ids: Sequence[UUID | None]) -> list[Verdict]:
        """One for each of ``user_ids``; nothing when there is no such room."""
        standings = await self._playback.standings(room_id, user_ids)
        return [_judge(standing) for standing in standings]


def _judge(standing: Standing) -> Verdict:
    denial = denial_of(standing)
    if _is_privileged(standing):
        return Verdict(standing.room_id, standing.user_id, denial, max_viewers=None)
    is_hidden = standing.owner_state is not UserState.ACTIVE
    return Verdict(standing.room_id, standing.user_id, denial, standing.max_viewers, is_hidden)


def denial_of(standing: Standing) -> Denial | None:
    """Why this user may not watch."""
    if standing.user_id is not None and standing.state is not UserState.ACTIVE:
        return Denial.ACCOUNT_SUSPENDED
    if _is_privileged(standing):
        return None
    # Before all others: of a private room nobody learns who may not watch it besides, or why.
    if standing.visibility is Visibility.PRIVATE:
        return Denial.PRIVATE_ROOM
    if standing.is_blocked:
        return Denial.BLOCKED
    if standing.age_restricted and standing.user_id is None:
        return Denial.AGE_RESTRICTED
    if standing.visibility is Visibility.FOLLOWERS and not standing.is_follower:
        return Denial.FOLLOWERS_ONLY
    if standing.visibility is Visibility.SUBSCRIBERS and not standing.is_subscriber:
        return Denial.SUBSCRIBERS_ONLY
    return None


def _is_privileged(standing: Standing) -> bool:
    """The owner and administrators may always watch, and the room's moderators unless the owner is through
    with them, or with the server.
    """
    is_owner = standing.user_id is not None and standing.user_id == standing.owner_id
    return is_owner or standing.role in _ADMINISTRATORS or _is_trusted(standing)


def _is_trusted(standing: Standing) -> bool:
    is_welcome = not standing.is_blocked and standing.owner_state is UserState.ACTIVE
    return standing.is_moderator and is_welcome


@dataclass(frozen=True, slots=True)
class PlaybackBases:
    """Where viewers reach the server: ``https://host``, ``rtmp://host:1935/live``; no slash at the end."""

    http_url: str
    rtmp_url: str


@dataclass(frozen=True, slots=True)
class PlaybackPass:
    """A token, and the addresses of the room with it."""

    token: str
    expires_at: datetime
    flv: str
    ws_flv: str
    mp4: str
    hls: str
    whep: str
    rtmp: str


class PlaybackService:
    def __init__(
        self,
        access: PlaybackAccess,
        grants: PlaybackGrants,
        viewers: Viewers,
        bases: Callable[[], PlaybackBases],
    ) -> None:
        """``bases`` are asked for each time: ports are known only once the server listens."""
        self._access = access
        self._grants = grants
        self._viewers = viewers
        self._bases = bases

    async def issue(self, principal: Principal, room_id: UUID) -> PlaybackPass:
        """Raises ApiError: 404 ``room_not_found``, 403 with the code of a Denial."""
        verdict = await self._access.verdict(room_id, principal.user_id)
        if verdict is None or verdict.is_hidden:
            raise not_found("room")
        denial = verdict.denial or self._full(verdict)
        if denial is not None:
            raise denied(denial)
        signed = self._grants.sign(room_id, principal.user_id)
        return self._pass(room_id, signed.token, signed.expires_at)

    def _full(self, verdict: Verdict) -> Denial | None:
        if verdict.max_viewers is None:
            return None
        is_full = self._viewers.watcher_count(verdict.room_id) >= verdict.max_viewers
        return Denial.ROOM_FULL if is_full else None

    def _pass(self, room_id: UUID, token: str, expires_at: datetime) -> PlaybackPass:
        bases = self._bases()
        http, query = bases.http_url, f"?token={quote(token, safe='')}"
        live = f"/live/{room_id}"
        return PlaybackPass(
            token,
            expires_at,
            flv=f"{http}{live}.flv{query}",
            ws_flv=f"ws{http.removeprefix('http')}{live}.flv{query}",
            mp4=f"{http}{live}.mp4{query}",
            hls=f"{http}/hls/{room_id}/index.m3u8{query}",
            whep=f"{http}/whep/{room_id}{query}",
            rtmp=f"{bases.rtmp_url}/{room_id}{query}",
        )


def denied(denial: Denial) -> ApiError:
    return forbidden(denial.value, denial.message)
