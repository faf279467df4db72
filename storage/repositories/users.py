"""People who own rooms and administer the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id


class Role(Enum):
    """What a user may do on the whole server, from least to most."""

    USER = "user"
    MODERATOR = "moderator"
    ADMIN = "admin"
    SUPERADMIN = "superadmin"


class UserState(Enum):
    """Only an active user may log in and publish."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    BANNED = "banned"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class User:
    id: UUID
    username: str
    email: str
    display_name: str
    role: Role
    state: UserState
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Profile:
    """A user with what is shown of them. ``avatar`` is the name of an object."""

    user: User
    avatar: str | None
    bio: str
    is_creator: bool
    is_verified: bool
    followers: int
    following: int


@dataclass(frozen=True, slots=True)
class UserFilter:
    """None stands for any. ``prefix`` is how the name or the e-mail address begins, whatever its case."""

    state: UserState | None = None
    role: Role | None = None
    prefix: str | None = None


_COLUMNS: Final = "id, username, email, display_name, role, state, created_at"

_PROFILES: Final = f"""
    SELECT {_COLUMNS}, avatar, bio, is_creator, email_verified_at IS NOT NULL AS is_verified,
           coalesce(followers, 0) AS followers, coalesce(following, 0) AS following
    FROM users LEFT JOIN follow_counts ON follow_counts.user_id = users.id"""

_BEGINS: Final = "lower({column}) ~>=~ lower({0}) AND lower({column}) ~<~ (lower({0}) || chr(1114111))"
_PREFIX: Final = f"""({_BEGINS.replace("{column}", "username")} OR {_BEGINS.replace("{column}", "email")})"""
"""LIKE would do without an index as soon as its pattern is a parameter."""


class Users:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, username: str, email: str, password_hash: str, role: Role = Role.USER) -> User:
        """A new active user. Raises Conflict when the name or the address is taken, InvalidValue."""
        row = await self._database.fetch_row(
            f"""INSERT INTO users (id, username, email, display_name, password_hash, role)
                VALUES ($1, $2, $3, $2, $4, $5) RETURNING {_COLUMNS}""",
            new_id(),
            username,
            email,
            password_hash,
            role.value,
        )
        return _user(row)

    async def find_by_name(self, username: str) -> User | None:
        """Case does not count."""
        row = await self._database.fetch_row(
            f"SELECT {_COLUMNS} FROM users WHERE lower(username) = lower($1)", username
        )
        return _user(row) if row else None

    async def find_by_id(self, user_id: UUID) -> User | None:
        row = await self._database.fetch_row(f"SELECT {_COLUMNS} FROM users WHERE id = $1", user_id)
        return _user(row) if row else None

    async def lock(self, user_id: UUID) -> User | None:
        """As ``find_by_id``; until the transaction ends, nobody else changes the user."""
        row = await self._database.fetch_row(
            f"SELECT {_COLUMNS} FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id
        )
        return _user(row) if row else None

    async def hold_active(self, user_ids: Sequence[UUID]) -> set[UUID]:
        """Those of them who are active. Until the transaction ends, none of these can be deleted."""
        rows = await self._database.fetch(
            "SELECT id FROM users WHERE id = ANY($1) AND state = 'active' ORDER BY id FOR KEY SHARE", user_ids
        )
        return {row["id"] for row in rows}

    async def find_administrator(self) -> User | None:
        """The oldest active user who may administer the server."""
        row = await self._database.fetch_row(
            f"""SELECT {_COLUMNS} FROM users WHERE role IN ('admin', 'superadmin') AND state = 'active'
                ORDER BY created_at LIMIT 1"""
        )
        return _user(row) if row else None

    async def set_role(self, user_id: UUID, role: Role) -> None:
        await self._database.execute("UPDATE users SET role = $2 WHERE id = $1", user_id, role.value)

    async def set_state(self, user_id: UUID, state: UserState) -> None:
        await self._database.execute("UPDATE users SET state = $2 WHERE id = $1", user_id, state.value)

    async def profile(self, user_id: UUID) -> Profile | None:
        row = await self._database.fetch_row(f"{_PROFILES} WHERE id = $1", user_id)
        return _profile(row) if row else None

    async def profile_by_name(self, username: str) -> Profile | None:
        """Case does not count."""
        row = await self._database.fetch_row(f"{_PROFILES} WHERE lower(username) = lower($1)", username)
        return _profile(row) if row else None

    async def list_profiles(
        self, wanted: UserFilter, before: UUID | None = None, limit: int = 20
    ) -> list[Profile]:
        """The newest first, those before the user with the id ``before``."""
        parts: list[str] = []
        arguments: list[object] = []
        for condition, value in (
            ("state = {0}", wanted.state.value if wanted.state else None),
            ("role = {0}", wanted.role.value if wanted.role else None),
            (_PREFIX, wanted.prefix or None),
            ("id < {0}", before),
        ):
            if value is not None:
                arguments.append(value)
                parts.append(condition.format(f"${len(arguments)}"))
        conditions = f"WHERE {' AND '.join(parts)}" if parts else ""
        rows = await self._database.fetch(
            f"{_PROFILES} {conditions} ORDER BY id DESC LIMIT ${len(arguments) + 1}", *arguments, limit
        )
        return [_profile(row) for row in rows]

    async def change_profile(
        self, user_id: UUID, display_name: str | None, bio: str | None, version: int | None = None
    ) -> bool:
        """None leaves a value as it is. False for another version, and where nobody active has the id.

        Every node is told of a name, which chats remember. Raises InvalidValue.
        """
        changed = await self._database.fetch_value(
            """WITH changed AS (
                   UPDATE users SET display_name = coalesce($2, display_name), bio = coalesce($3, bio),
                       profile_version = profile_version + 1, updated_at = now()
                   WHERE id = $1 AND state = 'active' AND ($4::integer IS NULL OR profile_version = $4)
                   RETURNING id)
               SELECT CASE WHEN $2 IS NOT NULL THEN pg_notify('mediaserver', json_build_object(
                          'kind', 'user', 'user_id', id)::text) IS NOT NULL ELSE true END
               FROM changed""",
            user_id,
            display_name,
            bio,
            version,
        )
        return changed is not None

    async def set_avatar(self, user_id: UUID, name: str | None) -> str | None:
        """The name of the avatar before. Two changes at once each get another answer.

        Nothing happens to an account that is not active.
        """
        before: str | None = await self._database.fetch_value(
            """UPDATE users SET avatar = $2, profile_version = profile_version + 1, updated_at = now()
               FROM (SELECT avatar FROM users WHERE id = $1 AND state = 'active' FOR NO KEY UPDATE) AS before
               WHERE id = $1 RETURNING before.avatar""",
            user_id,
            name,
        )
        return before

    async def set_creator(self, user_id: UUID, is_creator: bool) -> None:
        await self._database.execute("UPDATE users SET is_creator = $2 WHERE id = $1", user_id, is_creator)

    async def count_superadmins(self) -> int:
        """Those who are active. Until the transaction ends, nobody else counts or removes them this way."""
        rows = await self._database.fetch(
            "SELECT FROM users WHERE role = 'superadmin' AND state = 'active' ORDER BY id FOR NO KEY UPDATE"
        )
        return len(rows)

    async def password_hash(self, user_id: UUID) -> str | None:
        """None for nobody's id, and for an account that is no longer active."""
        stored: str | None = await self._database.fetch_value(
            "SELECT password_hash FROM users WHERE id = $1 AND state = 'active'", user_id
        )
        return stored


def _profile(row: Row) -> Profile:
    return Profile(
        _user(row),
        row["avatar"],
        row["bio"],
        row["is_creator"],
        row["is_verified"],
        row["followers"],
        row["following"],
    )


def _user(row: Row) -> User:
    return User(
        row["id"],
        row["username"],
        row["email"],
        row["display_name"],
        Role(row["role"]),
        UserState(row["state"]),
        row["created_at"],
    )
