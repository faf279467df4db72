"""Sessions: devices on which somebody is signed in, and the cookie sessions of the pages.

A session's refresh token changes with every use. Only digests are stored: of the token that is valid, and of
the one before it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.repositories.users import Role, UserState

MAX_ADDRESS_LENGTH: Final = 64
MAX_USER_AGENT_LENGTH: Final = 300
MAX_OPEN_SESSIONS: Final = 100
REVOKED_KEPT_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Session:
    id: UUID
    user_id: UUID
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime
    address: str
    user_agent: str
    remember: bool


@dataclass(frozen=True, slots=True)
class NewSession:
    """``refresh_hash`` is the digest of the first refresh token, which knows the session's ``id``.

    ``password_since`` is when the password was set that opened it, None if none did.
    """

    id: UUID
    user_id: UUID
    refresh_hash: bytes
    lifetime: timedelta
    address: str
    user_agent: str
    remember: bool
    password_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that may be used, and what its user is right now."""

    id: UUID
    user_id: UUID
    role: Role
    remember: bool
    expires_at: datetime


class TokenStanding(Enum):
    """``VALID`` is left for a user who may not sign in; ``JUST_USED`` was valid until a moment ago."""

    VALID = "valid"
    JUST_USED = "just_used"
    USED_BEFORE = "used_before"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SessionState:
    """Whether a session counts. ``is_open`` is False when revoked or expired."""

    is_open: bool
    role: Role
    state: UserState
    expires_at: datetime


_COLUMNS: Final = "id, user_id, created_at, expires_at, last_used_at, address, user_agent, remember"
_OPEN: Final = "revoked_at IS NULL AND expires_at > now()"


class Sessions:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, session: NewSession) -> OpenSession | None:
        """A new session; None when its user is not active, or has another password by now.

        Whoever sets a password or a state at the same moment is waited for, or finds the session and ends it.
        The user's oldest ones beyond the limit end.
        """
        row = await self._database.fetch_row(
            """INSERT INTO sessions (id, user_id, refresh_hash, expires_at, address, user_agent, remember)
               SELECT $1, users.id, $3, now() + $4, $5, $6, $7 FROM users
               WHERE id = $2 AND state = 'active'
                     AND ($8::timestamptz IS NULL OR password_changed_at = $8) FOR SHARE
               RETURNING id, user_id, remember, expires_at,
                         (SELECT role FROM users WHERE users.id = user_id) AS role""",
            session.id,
            session.user_id,
            session.refresh_hash,
            session.lifetime,
            session.address[:MAX_ADDRESS_LENGTH],
            session.user_agent[:MAX_USER_AGENT_LENGTH],
            session.remember,
            session.password_since,
        )
        if row is None:
            return None
        await self._revoke_oldest(session.user_id)
        return _open_session(row)

    async def rotate(
        self, old_hash: bytes, new_hash: bytes, lifetime: timedelta, long_lifetime: timedelta
    ) -> OpenSession | None:
        """Put a new token in the place of a valid one; of those who try at the same time only one succeeds.

        ``long_lifetime`` is for sessions that were to be remembered.
        """
        row = await self._database.fetch_row(
            f"""UPDATE sessions SET refresh_hash = $2, previous_hash = $1, rotated_at = now(),
                       last_used_at = now(),
                       expires_at = now() + CASE WHEN remember THEN $4::interval ELSE $3::interval END
                FROM users
                WHERE users.id = user_id AND users.state = 'active' AND refresh_hash = $1 AND {_OPEN}
                RETURNING sessions.id, user_id, role, remember, expires_at""",
            old_hash,
            new_hash,
            lifetime,
            long_lifetime,
        )
        return _open_session(row) if row else None

    async def standing_of(self, session_id: UUID, digest: bytes, grace: timedelta) -> TokenStanding:
        """What a token with this digest is to the session that it was made for."""
        found: str | None = await self._database.fetch_value(
            f"""SELECT CASE WHEN NOT ({_OPEN}) THEN 'ended'
                            WHEN refresh_hash = $2 THEN 'valid'
                            WHEN previous_hash = $2 AND rotated_at > now() - $3::interval THEN 'just_used'
                            ELSE 'used_before' END
                FROM sessions WHERE id = $1""",
            session_id,
            digest,
            grace,
        )
        return TokenStanding(found) if found else TokenStanding.ENDED

    async def find_by_token(self, digest: bytes) -> tuple[UUID, UUID] | None:
        """The ids of the open session with this valid refresh token and of its user."""
        row = await self._database.fetch_row(
            f"SELECT id, user_id FROM sessions WHERE refresh_hash = $1 AND {_OPEN}", digest
        )
        return (row["id"], row["user_id"]) if row else None

    async def state_of(self, session_id: UUID, user_id: UUID) -> SessionState | None:
        """None when the user has no such session."""
        row = await self._database.fetch_row(
            f"""SELECT {_OPEN} AS is_open, role, state, expires_at
                FROM sessions JOIN users ON users.id = user_id WHERE sessions.id = $1 AND user_id = $2""",
            session_id,
            user_id,
        )
        if row is None:
            return None
        return SessionState(row["is_open"], Role(row["role"]), UserState(row["state"]), row["expires_at"])

    async def list_open(self, user_id: UUID, before: UUID | None, limit: int) -> list[Session]:
        """The newest first, those before the one with the id ``before``."""
        rows = await self._database.fetch(
            f"""SELECT {_COLUMNS} FROM sessions
                WHERE user_id = $1 AND ($2::uuid IS NULL OR id < $2) AND {_OPEN} ORDER BY id DESC LIMIT $3""",
            user_id,
            before,
            limit,
        )
        return [_session(row) for row in rows]

    async def revoke(self, session_id: UUID, user_id: UUID | None = None) -> UUID | None:
        """End a session, of this user if one is given. Whose it was; None when there is no such open one."""
        owner: UUID | None = await self._database.fetch_value(
            """UPDATE sessions SET revoked_at = now()
               WHERE id = $1 AND ($2::uuid IS NULL OR user_id = $2) AND revoked_at IS NULL
               RETURNING user_id""",
            session_id,
            user_id,
        )
        return owner

    async def revoke_all(self, user_id: UUID, but: UUID | None = None) -> int:
        """End the user's sessions except the one with the id ``but``; how many they were."""
        rows = await self._database.fetch(
            """UPDATE sessions SET revoked_at = now()
               WHERE user_id = $1 AND ($2::uuid IS NULL OR id <> $2) AND revoked_at IS NULL RETURNING id""",
            user_id,
            but,
        )
        return len(rows)

    async def forget_ended(self) -> None:
        """Delete what nobody can ask for any more; revoked ones stay a while, to recognise stolen tokens."""
        kept = timedelta(days=REVOKED_KEPT_DAYS)
        await self._database.execute(
            "DELETE FROM sessions WHERE expires_at < now() OR revoked_at < now() - $1::interval", kept
        )

    async def _revoke_oldest(self, user_id: UUID) -> None:
        await self._database.execute(
            """UPDATE sessions SET revoked_at = now() WHERE revoked_at IS NULL AND id IN (
                   SELECT id FROM sessions WHERE user_id = $1 AND revoked_at IS NULL
                   ORDER BY id DESC OFFSET $2)""",
            user_id,
            MAX_OPEN_SESSIONS,
        )


class WebSessions:
    """The pages' cookie sessions by the digest of their key; ``data`` is JSON."""

    def __init__(self, database: Executor) -> None:
        self._database = database

    async def find(self, key_hash: bytes) -> str | None:
        data: str | None = await self._database.fetch_value(
            "SELECT data FROM web_sessions WHERE key_hash = $1 AND expires_at > now()", key_hash
        )
        return data

    async def put(self, key_hash: bytes, session_id: UUID | None, data: str, lifetime: timedelta) -> None:
        """``session_id`` is the session that it ends with."""
        await self._database.execute(
            """INSERT INTO web_sessions (key_hash, session_id, data, expires_at)
               VALUES ($1, $2, $3::text::jsonb, now() + $4::interval)
               ON CONFLICT (key_hash) DO UPDATE SET session_id = $2, data = $3::text::jsonb""",
            key_hash,
            session_id,
            data,
            lifetime,
        )

    async def delete(self, key_hash: bytes) -> None:
        await self._database.execute("DELETE FROM web_sessions WHERE key_hash = $1", key_hash)

    async def forget_ended(self) -> None:
        await self._database.execute("DELETE FROM web_sessions WHERE expires_at < now()")


def _session(row: Row) -> Session:
    return Session(
        row["id"],
        row["user_id"],
        row["created_at"],
        row["expires_at"],
        row["last_used_at"],
        row["address"],
        row["user_agent"],
        row["remember"],
    )


def _open_session(row: Row) -> OpenSession:
    return OpenSession(row["id"], row["user_id"], Role(row["role"]), row["remember"], row["expires_at"])
