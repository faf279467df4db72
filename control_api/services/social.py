"""Following and blocking.

Rules:

* Who is blocked cannot follow, and a block ends what followed in either direction.
* Doing twice what is done already changes nothing and tells nobody again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from control_api.errors import conflict, forbidden, invalid, not_found, unauthorized
from control_api.pagination import Page, decode_cursor, page_of
from storage.bus import Bus, RoomRelationChanged, UserFollowed
from storage.database import Database, Executor
from storage.repositories import Users, UserState
from storage.repositories.blocks import Blocks
from storage.repositories.follows import Follows, Relation, RelationPosition
from storage.repositories.users import Profile

_Lister = Callable[[UUID, RelationPosition | None, int], Awaitable[list[Relation]]]

OWN_ID: Final = "is your own; this is for others"


@dataclass(frozen=True, slots=True)
class FollowState:
    """Whether the one who asks follows the other, and how many do."""

    is_following: bool
    followers: int


class SocialService:
    """Every method raises ApiError 404 ``user_not_found`` for somebody who is not there or not active."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus

    async def state(self, follower_id: UUID, user_id: UUID) -> FollowState:
        profile = await active_profile(self._database, user_id)
        is_following = await Follows(self._database).is_following(follower_id, user_id)
        return FollowState(is_following, profile.followers)

    async def follow(self, follower_id: UUID, user_id: UUID) -> FollowState:
        """403 ``blocked`` by the other, 409 ``unblock_first`` if it is the other way round."""
        if follower_id == user_id:
            raise invalid("id", OWN_ID)
        async with self._database.transaction() as transaction:
            blocks = Blocks(transaction)
            await blocks.lock_pair(follower_id, user_id)
            await _hold(transaction, follower_id, user_id)
            if await blocks.has_blocked(user_id, follower_id):
                raise forbidden("blocked", "This user has blocked you.")
            if await blocks.has_blocked(follower_id, user_id):
                raise conflict("unblock_first", "You have blocked this user.")
            is_new = await Follows(transaction).add(follower_id, user_id)
        if is_new:
            self._bus.publish(UserFollowed(str(follower_id), str(user_id)))
            self._tell(follower_id, user_id)
        return await self.state(follower_id, user_id)

    async def unfollow(self, follower_id: UUID, user_id: UUID) -> FollowState:
        if await Follows(self._database).remove(follower_id, user_id):
            self._tell(follower_id, user_id)
        return await self.state(follower_id, user_id)

    async def followers(self, user_id: UUID, cursor: str | None, limit: int) -> Page[Relation]:
        await active_profile(self._database, user_id)
        return await _page(Follows(self._database).followers, user_id, cursor, limit)

    async def following(self, user_id: UUID, cursor: str | None, limit: int) -> Page[Relation]:
        await active_profile(self._database, user_id)
        return await _page(Follows(self._database).following, user_id, cursor, limit)

    async def block(self, user_id: UUID, blocked_id: UUID) -> None:
        if user_id == blocked_id:
            raise invalid("id", OWN_ID)
        async with self._database.transaction() as transaction:
            blocks, follows = Blocks(transaction), Follows(transaction)
            await blocks.lock_pair(user_id, blocked_id)
            await _hold(transaction, user_id, blocked_id)
            is_new = await blocks.add(user_id, blocked_id)
            await follows.remove(blocked_id, user_id)
            has_left = await follows.remove(user_id, blocked_id)
        if is_new:
            self._tell(blocked_id, user_id)
        if has_left:
            self._tell(user_id, blocked_id)

    async def unblock(self, user_id: UUID, blocked_id: UUID) -> None:
        """Also for somebody who is no longer active; nothing happens if they were not blocked."""
        if await Blocks(self._database).remove(user_id, blocked_id):
            self._tell(blocked_id, user_id)

    async def blocks(self, user_id: UUID, cursor: str | None, limit: int) -> Page[Relation]:
        return await _page(Blocks(self._database).list, user_id, cursor, limit)

    def _tell(self, user_id: UUID, owner_id: UUID) -> None:
        self._bus.publish(RoomRelationChanged(str(user_id), str(owner_id)))


async def active_profile(database: Executor, user_id: UUID) -> Profile:
    """Raises ApiError 404 ``user_not_found``, also for an account that is suspended, banned or deleted."""
    profile = await Users(database).profile(user_id)
    if profile is None or profile.user.state is not UserState.ACTIVE:
        raise not_found("user")
    return profile


async def hold_own(transaction: Executor, user_id: UUID) -> None:
    """The account stays until the transaction ends: one that is being deleted gets nothing new meanwhile.

    Raises ApiError 401 when it is not active any more.
    """
    if not await Users(transaction).hold_active((user_id,)):
        raise unauthorized()


async def _hold(transaction: Executor, own_id: UUID, other_id: UUID) -> None:
    """Both stay until the transaction ends: who is being deleted must not get a new relation meanwhile."""
    active = await Users(transaction).hold_active((own_id, other_id))
    if own_id not in active:
        raise unauthorized()
    if other_id not in active:
        raise not_found("user")


async def _page(lister: _Lister, user_id: UUID, cursor: str | None, limit: int) -> Page[Relation]:
    after = RelationPosition(*decode_cursor(cursor, datetime, UUID)) if cursor is not None else None
    found = await lister(user_id, after, limit + 1)
    return page_of(found, limit, lambda relation: (relation.since, relation.user_id))
