"""Users as administrators see them, and what administrators may change of whom.

Rules:

* Nobody changes somebody of their own rank or above, nor themselves.
* Nobody gives a role of their own rank or above: so superadmins alone make admins, and a shell on the server
  alone makes superadmins.
* The last active superadmin stays one, also for a shell.
* A deleted account stays deleted.
* Every change says why, in the audit log.
"""

from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from control_api.errors import ApiError, conflict, forbidden, invalid, not_found, unauthorized, unavailable
from control_api.identity.rules import check_new_password, normalised_email
from control_api.pagination import Page, id_in, page_of
from control_api.principal import Principal
from control_api.texts import clean_line
from storage.bus import Bus, UserChanged
from storage.database import Executor
from storage.errors import Conflict, InvalidValue
from storage.passwords import Passwords, TooManyHashes
from storage.repositories import Role, User, Users, UserState
from storage.repositories.audit import AuditLog
from storage.repositories.users import Profile, UserFilter

MAX_REASON: Final = 500
MAX_PREFIX: Final = 254

OPERATOR: Final = Principal(role=Role.SUPERADMIN)
"""Whoever has a shell on the server. Nobody who comes over the network is ever this object."""

_RANKS: Final = {Role.USER: 0, Role.MODERATOR: 1, Role.ADMIN: 2, Role.SUPERADMIN: 3}
_OPERATORS_RANK: Final = 4

_TAKEN: Final = {
    "users_username_unique": ("username_taken", "The user name is taken.", "username"),
    "users_email_unique": ("email_taken", "There is an account with this address.", "email"),
}
_INVALID: Final = {
    "users_username_valid": ("username", "must be 3 to 30 letters, digits or underscores"),
    "users_email_valid": ("email", "is no e-mail address"),
}


@dataclass(frozen=True, slots=True)
class UserChange:
    """None leaves a value as it is."""

    reason: str
    role: Role | None = None
    state: UserState | None = None
    is_creator: bool | None = None


@dataclass(frozen=True, slots=True)
class NewUser:
    username: str
    email: str
    password: str
    role: Role = Role.USER


class UserCreation:
    """Accounts of any role, for the operator."""

    def __init__(self, database: Executor, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords

    async def create(self, new: NewUser, address: str) -> User:
        """Raises ApiError: 400, 409 ``username_taken`` or ``email_taken``, 503."""
        email = normalised_email(new.email)
        check_new_password("password", new.password, new.username, email)
        try:
            password_hash = await self._passwords.hash(new.password)
        except TooManyHashes as error:
            raise unavailable("Too many passwords are being checked; try again shortly.") from error
        async with self._database.transaction() as transaction:
            try:
                user = await Users(transaction).add(new.username, email, password_hash, new.role)
            except (Conflict, InvalidValue) as error:
                raise _explained(error) from error
            await AuditLog(transaction).add(
                OPERATOR.user_id, "user.created", "user", str(user.id), address, {"role": new.role.value}
            )
        return user


class AdminUserService:
    def __init__(self, database: Executor, bus: Bus) -> None:
        self._database = database
        self._bus = bus

    async def list(self, wanted: UserFilter, cursor: str | None, limit: int) -> Page[Profile]:
        """The newest first. Raises ApiError 400 for a prefix that cannot be one."""
        if wanted.prefix is not None:
            wanted = replace(wanted, prefix=clean_line("text", wanted.prefix, MAX_PREFIX))
        found = await Users(self._database).list_profiles(wanted, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda profile: (profile.user.id,))

    async def change(self, principal: Principal, user_id: UUID, change: UserChange, address: str) -> Profile:
        """Raises ApiError: 404 ``user_not_found``, 403 ``rank_too_low``, 409 ``account_deleted``, 400.

        409 ``last_superadmin``, too, but for the operator alone: nobody else may change one.
        """
        reason = clean_line("reason", change.reason, MAX_REASON)
        async with self._database.transaction() as transaction:
            if principal is OPERATOR:
                await _check_superadmins(Users(transaction), user_id, change)
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
        if principal is OPERATOR:
            return _OPERATORS_RANK
        actor = await Users(transaction).find_by_id(principal.user_id) if principal.user_id else None
        if actor is None or actor.state is not UserState.ACTIVE:
            raise unauthorized()
        return _RANKS[actor.role]


async def _check_superadmins(users: Users, user_id: UUID, change: UserChange) -> None:
    """Somebody has to be left. All are locked, in one order, before the user is."""
    count = await users.count_superadmins()
    user = await users.find_by_id(user_id)
    if user is None or user.role is not Role.SUPERADMIN or user.state is not UserState.ACTIVE:
        return
    is_left = change.role in (None, Role.SUPERADMIN) and change.state in (None, UserState.ACTIVE)
    if count <= 1 and not is_left:
        raise conflict("last_superadmin", "Make somebody else superadmin first.")


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


def _explained(error: Conflict | InvalidValue) -> ApiError:
    if error.constraint in _TAKEN:
        return conflict(*_TAKEN[error.constraint])
    return invalid(*_INVALID.get(error.constraint, ("body", "is not allowed")))
