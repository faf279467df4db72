"""Who connects to ``/rtc`` and what they may do in a room: implements sfu.room_ports.RoomAccess."""

import secrets
from dataclasses import dataclass, replace
from typing import Final, NamedTuple
from uuid import UUID

from aiohttp import web

from chat.errors import Refusal as ChatRefusal
from chat.ports import RateLimiter, SignIn
from control_api.playback_grants import Grant
from control_api.services.publish_tokens import PublishTokens
from mediaserver.authorizer import Authorizer, WatchRefusal
from mediaserver.chat_ports import RoomAdmission
from rtmp.ports import Refusal as WatchDenial
from rtmp.ports import RefusalReason
from sfu.room_errors import Refusal
from sfu.room_ports import Grants
from sfu.source_budget import network_of
from storage.database import Database
from storage.errors import StorageError
from storage.repositories.chat_people import ChatPeople, RoomPerson
from storage.repositories.users import Role, UserState

UNAVAILABLE_SECONDS: Final = 2.0
CONNECT_WINDOW_SECONDS: Final = 60.0
GUEST: Final = "guest:"
_STAFF: Final = frozenset((Role.MODERATOR, Role.ADMIN))


@dataclass(frozen=True, slots=True)
class Principal:
    """``user_id`` is None for a guest, whose ``identity`` lasts as long as the connection."""

    identity: str
    name: str
    address: str
    user_id: UUID | None = None


class _Door(NamedTuple):
    """The room, as whom it was entered, and how many viewers it may have beside them."""

    room_id: UUID
    user_id: UUID | None
    max_viewers: int | None


class RtcAccess:
    """Participants sign in as in the chat; a room's doors decide who may come in.

    ``connections_per_minute`` from one address.
    """

    def __init__(
        self,
        database: Database,
        sign_in: SignIn,
        authorizer: Authorizer,
        admission: RoomAdmission,
        publish_tokens: PublishTokens,
        limiter: RateLimiter,
        connections_per_minute: int,
    ) -> None:
        self._people = ChatPeople(database)
        self._sign_in = sign_in
        self._authorizer = authorizer
        self._admission = admission
        self._publish_tokens = publish_tokens
        self._limiter = limiter
        self._connections_per_minute = connections_per_minute

    async def admit(self, request: web.Request) -> Principal:
        address = self._sign_in.address_of(request)
        try:
            await self._limit(address)
            user = await self._sign_in.identify(request)
        except ChatRefusal as refusal:
            raise Refusal(refusal.code, refusal.message, refusal.retry_after) from refusal
        except StorageError as error:
            raise _unavailable() from error
        if user is None:
            return Principal(f"{GUEST}{secrets.token_urlsafe(12)}", "Guest", address)
        return Principal(str(user.user_id), user.display_name, address, user.user_id)

    async def _limit(self, address: str) -> None:
        network = network_of(address)
        key = f"rtc:connect:{network if isinstance(network, str) else network.hex()}"
        allowance = await self._limiter.take(key, self._connections_per_minute, CONNECT_WINDOW_SECONDS)
        if not allowance.is_allowed:
            text = "Too many connections from your address; wait a little."
            raise Refusal("rate_limited", text, allowance.reset_seconds)

    async def authorize(self, room: str, token: str | None, principal: object) -> Grants:
        assert isinstance(principal, Principal)
        try:
            grant = await self._host_grant(room, token)
            if grant is not None:
                return await self._host(grant.room_id, grant.user_id or principal.user_id, principal)
            door = await self._enter(room, token, principal)
            grants = await self._guest(door.room_id, door.user_id, principal)
            return replace(grants, max_viewers=door.max_viewers)
        except StorageError as error:
            raise _unavailable() from error

    async def review(self, grants: Grants, principal: object) -> Grants:
        assert isinstance(principal, Principal)
        room_id = UUID(grants.room_id)
        user_id = None if grants.identity.startswith(GUEST) else UUID(grants.identity)
        try:
            if grants.is_host:
                if not await self._publish_tokens.still_counts(Grant(room_id, user_id, expires_at=0)):
                    raise Refusal("forbidden", "You may not publish to this room any more.")
                return await self._host(room_id, user_id, principal)
            if await self._authorizer.may_not_watch(grants.room_id, [user_id]):
                raise Refusal("forbidden", "You may not watch this room any more.")
            now = await self._guest(room_id, user_id, principal)
            return replace(now, max_viewers=grants.max_viewers)
        except StorageError as error:
            raise _unavailable() from error

    async def _host_grant(self, room: str, token: str | None) -> Grant | None:
        """What a publish token grants in this room now; None for another token."""
        grant = self._publish_tokens.check(token) if token is not None else None
        if not isinstance(grant, Grant) or not await self._authorizer.is_room(room, str(grant.room_id)):
            return None
        return grant if await self._publish_tokens.still_counts(grant) else None

    async def _enter(self, room: str, token: str | None, principal: Principal) -> _Door:
        if principal.user_id is not None and token is None:
            try:
                entrance = await self._admission.admit(room, principal.user_id)
                return _Door(entrance.room_id, principal.user_id, entrance.max_viewers)
            except ChatRefusal as refusal:
                raise Refusal(refusal.code, refusal.message, refusal.retry_after) from refusal
        access = await self._authorizer.may_watch(room, token, principal.address)
        if isinstance(access, WatchDenial):
            raise _refusal(access)
        return _Door(UUID(access.room_id), access.viewer_id or principal.user_id, access.max_viewers)

    async def _host(self, room_id: UUID, user_id: UUID | None, principal: Principal) -> Grants:
        person = await self._people.person(room_id, user_id) if user_id is not None else None
        identity, name = _names(principal, person)
        return Grants(
            str(room_id),
            identity,
            name,
            can_publish=True,
            can_moderate=True,
            is_host=True,
            is_guest=person is None,
            address=principal.address,
        )

    async def _guest(self, room_id: UUID, user_id: UUID | None, principal: Principal) -> Grants:
        """Rights are of those who have signed in; a token alone opens the door."""
        person = await self._people.person(room_id, user_id) if user_id is not None else None
        identity, name = _names(principal, person)
        if person is None or person.user_id != principal.user_id or person.state is not UserState.ACTIVE:
            return Grants(str(room_id), identity, name, is_guest=person is None, address=principal.address)
        may_moderate = person.is_owner or person.is_moderator or person.site_role in _STAFF
        return Grants(
            str(room_id),
            identity,
            name,
            can_publish=person.is_owner,
            can_moderate=may_moderate,
            is_host=person.is_owner,
            address=principal.address,
        )


def _names(principal: Principal, person: RoomPerson | None) -> tuple[str, str]:
    """Who a token was made for is somebody, signed in or not."""
    if person is None:
        return principal.identity, principal.name
    return str(person.user_id), person.display_name


def _refusal(denial: WatchDenial) -> Refusal:
    if denial.reason is RefusalReason.BAD_NAME:
        return Refusal("room_not_found", "There is no such room.")
    if denial.reason is RefusalReason.UNAVAILABLE:
        return _unavailable()
    code = denial.code if isinstance(denial, WatchRefusal) else "forbidden"
    return Refusal(code, denial.description)


def _unavailable() -> Refusal:
    return Refusal("unavailable", "The database cannot be reached; try again shortly.", UNAVAILABLE_SECONDS)
