"""Publish tokens: what the studio page shows in the place of the stream key, which nobody can read again."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from control_api.errors import ApiError
from control_api.playback_grants import Grant, PublishGrants, TokenFault
from control_api.ports import IngestAddresses
from control_api.principal import Principal
from control_api.services.rooms import RoomsService
from storage.database import Executor
from storage.repositories import Users, UserState


@dataclass(frozen=True, slots=True)
class PublishPass:
    """A token, and where it is shown."""

    token: str
    expires_at: datetime
    whip_url: str


class PublishTokens:
    """For the owner of a room and for administrators."""

    def __init__(
        self, database: Executor, rooms: RoomsService, grants: PublishGrants, addresses: IngestAddresses
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._grants = grants
        self._addresses = addresses

    async def issue(self, principal: Principal, room_id: UUID) -> PublishPass:
        """Raises ApiError: 404 ``room_not_found``, 403 ``not_room_owner``."""
        await self._rooms.managed(principal, room_id)
        signed = self._grants.sign(room_id, principal.user_id)
        return PublishPass(signed.token, signed.expires_at, self._addresses.whip_url(room_id))

    def check(self, token: str) -> Grant | TokenFault:
        """What ``token`` grants, or what is wrong with it."""
        return self._grants.check(token)

    async def still_counts(self, grant: Grant) -> bool:
        """Whether who got ``grant`` may publish now: asked at the doors, as a token is not revoked."""
        if grant.user_id is None:
            return False
        user = await Users(self._database).find_by_id(grant.user_id)
        if user is None or user.state is not UserState.ACTIVE:
            return False
        try:
            room = await self._rooms.managed(Principal(user.id, user.role), grant.room_id)
        except ApiError:
            return False
        return room.owner.state is UserState.ACTIVE
