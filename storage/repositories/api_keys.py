"""Keys with which programs call the API for a user. Only digests come here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id
from storage.repositories.users import Role

_COLUMNS = "id, name, prefix, scopes, created_at, last_used_at, expires_at"
_IS_UNUSED_FOR_A_MINUTE = "(last_used_at IS NULL OR last_used_at < now() - interval '1 minute')"

FIND_BY_HASH = f"""SELECT api_keys.id, user_id, role, scopes, {_IS_UNUSED_FOR_A_MINUTE} AS is_use_due
                   FROM api_keys JOIN users ON users.id = user_id
                   WHERE key_hash = $1 AND revoked_at IS NULL AND users.state = 'active'
                         AND (expires_at IS NULL OR expires_at > now())"""
LIST = f"""SELECT {_COLUMNS} FROM api_keys
           WHERE user_id = $1 AND revoked_at IS NULL AND ($2::uuid IS NULL OR id < $2)
           ORDER BY id DESC LIMIT $3"""
COUNT = "SELECT count(*) FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL"
IS_GOOD = """SELECT EXISTS (SELECT FROM api_keys JOIN users ON users.id = user_id
                            WHERE api_keys.id = $1 AND revoked_at IS NULL AND users.state = 'active'
                                  AND (expires_at IS NULL OR expires_at > now()))"""
REVOKE = """WITH revoked AS (
                UPDATE api_keys SET revoked_at = now()
                WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL RETURNING user_id)
            SELECT pg_notify('mediaserver', json_build_object(
                       'kind', 'user', 'user_id', user_id)::text) IS NOT NULL
            FROM revoked"""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """``prefix`` is the start of the key, by which its owner recognises it."""

    id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    name: str
    prefix: str
    key_hash: bytes
    scopes: Sequence[str]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose a good key is. ``is_use_due`` says that its use was not noted within the last minute."""

    key_id: UUID
    user_id: UUID
    role: Role
    scopes: frozenset[str]
    is_use_due: bool


class ApiKeys:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, user_id: UUID, key: NewApiKey) -> ApiKey:
        """Raises InvalidValue, Conflict."""
        row = await self._database.fetch_row(
            f"""INSERT INTO api_keys (id, user_id, name, prefix, key_hash, scopes, expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_COLUMNS}""",
            new_id(),
            user_id,
            key.name,
            key.prefix,
            key.key_hash,
            list(key.scopes),
            key.expires_at,
        )
        return _api_key(row)

    async def count_locked(self, user_id: UUID) -> int:
        """How many the user has; nobody else who asks so adds one before this transaction ends."""
        await self._database.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)
        count: int = await self._database.fetch_value(COUNT, user_id)
        return count

    async def list_of(self, user_id: UUID, limit: int, before: UUID | None = None) -> list[ApiKey]:
        """Newest first, without those that were revoked."""
        return [_api_key(row) for row in await self._database.fetch(LIST, user_id, before, limit)]

    async def revoke(self, key_id: UUID, user_id: UUID) -> bool:
        """Whether the user had such a key. Every node is told, for what the key has opened."""
        return await self._database.fetch_value(REVOKE, key_id, user_id) is not None

    async def find(self, key_hash: bytes) -> KeyHolder | None:
        """None for a key that is unknown, revoked or expired, or whose owner is not active."""
        row = await self._database.fetch_row(FIND_BY_HASH, key_hash)
        if row is None:
            return None
        scopes = frozenset(row["scopes"])
        return KeyHolder(row["id"], row["user_id"], Role(row["role"]), scopes, row["is_use_due"])

    async def is_good(self, key_id: UUID) -> bool:
        """Whether ``find`` would find it."""
        is_good: bool = await self._database.fetch_value(IS_GOOD, key_id)
        return is_good

    async def note_use(self, key_id: UUID) -> None:
        """Written at most once a minute."""
        await self._database.execute(
            f"UPDATE api_keys SET last_used_at = now() WHERE id = $1 AND {_IS_UNUSED_FOR_A_MINUTE}", key_id
        )


def _api_key(row: Row) -> ApiKey:
    return ApiKey(
        row["id"],
        row["name"],
        row["prefix"],
        tuple(row["scopes"]),
        row["created_at"],
        row["last_used_at"],
        row["expires_at"],
    )
