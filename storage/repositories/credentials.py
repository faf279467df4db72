"""What signing in needs of a user: the password's hash, the state, whether the address is verified."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id
from storage.repositories.users import Role, UserState


@dataclass(frozen=True, slots=True)
class Credential:
    """``avatar`` is the name of an object, or None. ``profile_version`` counts the changes of the profile.

    ``password_changed_at`` stays when the same password is hashed anew.
    """

    id: UUID
    username: str
    email: str
    display_name: str
    avatar: str | None
    bio: str
    is_creator: bool
    password_hash: str
    role: Role
    state: UserState
    created_at: datetime
    email_verified_at: datetime | None
    profile_version: int
    password_changed_at: datetime


@dataclass(frozen=True, slots=True)
class NewAccount:
    username: str
    email: str
    display_name: str
    password_hash: str


_COLUMNS: Final = """id, username, email, display_name, avatar, bio, is_creator, password_hash, role, state,
    created_at, email_verified_at, profile_version, password_changed_at"""


class Credentials:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, account: NewAccount) -> Credential:
        """A new active user who accepted the terms. Conflict for a taken name or address, InvalidValue."""
        row = await self._database.fetch_row(
            f"""INSERT INTO users (id, username, email, display_name, password_hash, accepted_terms_at)
                VALUES ($1, $2, $3, $4, $5, now()) RETURNING {_COLUMNS}""",
            new_id(),
            account.username,
            account.email,
            account.display_name,
            account.password_hash,
        )
        return _credential(row)

    async def find_by_id(self, user_id: UUID) -> Credential | None:
        row = await self._database.fetch_row(f"SELECT {_COLUMNS} FROM users WHERE id = $1", user_id)
        return _credential(row) if row else None

    async def find_by_name(self, username: str) -> Credential | None:
        """Case does not count."""
        row = await self._database.fetch_row(
            f"SELECT {_COLUMNS} FROM users WHERE lower(username) = lower($1)", username
        )
        return _credential(row) if row else None

    async def find_by_email(self, email: str) -> Credential | None:
        """Case does not count."""
        row = await self._database.fetch_row(
            f"SELECT {_COLUMNS} FROM users WHERE lower(email) = lower($1)", email
        )
        return _credential(row) if row else None

    async def set_password(self, user_id: UUID, password_hash: str, since: datetime | None = None) -> bool:
        """Another password than before; with ``since`` only if that one is from then. Whether it was set."""
        changed = await self._database.fetch_value(
            """UPDATE users SET password_hash = $2, password_changed_at = clock_timestamp()
               WHERE id = $1 AND ($3::timestamptz IS NULL OR password_changed_at = $3) RETURNING true""",
            user_id,
            password_hash,
            since,
        )
        return changed is not None

    async def replace_hash(self, user_id: UUID, old_hash: str, new_hash: str) -> None:
        """The same password, hashed anew; nothing happens if it was changed meanwhile."""
        await self._database.execute(
            "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
            user_id,
            old_hash,
            new_hash,
        )

    async def set_verified(self, user_id: UUID) -> None:
        """The user showed to read the mail that goes to the address."""
        await self._database.execute(
            "UPDATE users SET email_verified_at = now() WHERE id = $1 AND email_verified_at IS NULL", user_id
        )


def _credential(row: Row) -> Credential:
    return Credential(
        row["id"],
        row["username"],
        row["email"],
        row["display_name"],
        row["avatar"],
        row["bio"],
        row["is_creator"],
        row["password_hash"],
        Role(row["role"]),
        UserState(row["state"]),
        row["created_at"],
        row["email_verified_at"],
        row["profile_version"],
        row["password_changed_at"],
    )
