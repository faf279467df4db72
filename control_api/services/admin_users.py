"""Users as administrators see them, and what administrators may change of whom.

Rules:

* Nobody changes somebody of their own rank or above, nor themselves.
* Nobody gives a role of their own rank or above: so superadmins alone make admins, and a shell on the server
  alone makes superadmins.
* A deleted account stays deleted.
* Every change says why, in the audit log.
"""

from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from control_api.errors import conflict, forbidden, invalid, not_found, unauthorized
from control_api.pagination import Page, decode_cursor, encode_cursor
from control_api.principal import Principal
from control_api.texts import clean_line
from storage.bus import Bus, UserChanged
from storage.database import Database, Executor
from storage.repositories import Role, User, Users, UserState
from storage.repositories.audit import AuditLog
from storage.repositories.users import Profile, UserFilter

MAX_REASON: Final = 500
MAX_PREFIX: Final = 254

_RANKS: Final = {Role.USER: 0, Role.MODERATOR: 1, Role.ADMIN: 2, Role.SUPERADMIN: 3}


@dataclass(frozen=True, slots=True)
class UserChange:
    """None leaves a value as it is."""

    reason: str
    role: Role | None = None
    state: UserState | None = None
    is_creator: bool | None = None


class AdminUserService:
    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus

    async def list(self, wanted: UserFilter, cursor: str | None, limit: int) -> Page[Profile]:
        """The newest first. Raises ApiError 400 for a prefix that cannot be one."""
        if wanted.prefix is not None:
            wanted = replace(wanted, prefix=clean_line("text", wanted.prefix, MAX_PREFIX))
        before = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        found = await Users(self._database).list_profiles(wanted, before, limit + 1)
        page = found[:limit]
        return Page(page, encode_cursor(page[-1].user.id) if len(found) > limit else None)

    async def change(self, principal: Principal, user_id: UUID, change: UserChange, address: str) -> Profile:
        """Raises ApiError: 404 ``user_not_found``, 403 ``rank_too_low``, 409 ``account_deleted``, 400."""
        reason = clean_line("reason", change.reason, MAX_REASON)
        async with self._database.transaction() as transaction:
            user = await Users(transaction).lock(user_id)
            if user is None:
                raise not_found("user")
            _check(await self._rank(transaction, principal), user, change, principal.user_id)
            details = await _apply(transaction, user, change)
            await AuditLog(transaction).add(
                principal.user_id,
                "user.changed",
                "user",
                str(user_id),
                address,
                {**details, "reason": reason},
            )
            profile = await Users(transaction).profile(user_id)
        self._bus.publish(UserChanged(str(user_id)))
        assert profile is not None  # its row is locked
        return profile

    async def _rank(self, transaction: Executor, principal: Principal) -> int:
        """As the database has it now: what the principal says may be seconds old."""
        actor = await Users(transaction).find_by_id(principal.user_id) if principal.user_id else None
        if actor is None or actor.state is not UserState.ACTIVE:
            raise unauthorized()
        return _RANKS[actor.role]


def _check(rank: int, user: User, change: UserChange, actor_id: UUID | None) -> None:
    if change.role is None and change.state is None and change.is_creator is None:
        raise invalid("body", "says no change: role, state or isCreator")
    if change.state is UserState.DELETED:
        raise invalid("state", "cannot be set; users delete themselves")
    if user.id == actor_id:
        raise forbidden("rank_too_low", "Nobody changes themselves.")
    if user.state is UserState.DELETED:
        raise conflict("account_deleted", "This account is deleted.")
    if _RANKS[user.role] >= rank:
        raise forbidden("rank_too_low", "Only somebody of a higher role may change this user.")
    if change.role is not None and _RANKS[change.role] >= rank:
        raise forbidden("rank_too_low", "Only somebody of a higher role may give this role.")


async def _apply(transaction: Executor, user: User, change: UserChange) -> dict[str, object]:
    """Make the changes; what they were, for the audit log."""
    users, details = Users(transaction), dict[str, object]()
    if change.role is not None:
        await users.set_role(user.id, change.role)
        details["role"] = [user.role.value, change.role.value]
    if change.state is not None:
        await users.set_state(user.id, change.state)
        details["state"] = [user.state.value, change.state.value]
    if change.is_creator is not None:
        await users.set_creator(user.id, change.is_creator)
        details["isCreator"] = change.is_creator
    return details
