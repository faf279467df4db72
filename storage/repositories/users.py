"""People who own rooms and administer the server."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
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


_COLUMNS = "id, username, email, display_name, role, state, created_at"


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
