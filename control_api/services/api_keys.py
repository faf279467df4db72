"""API keys: made once, shown once, good for what their scopes say.

ApiKeyService
    makes, lists and revokes a user's keys
ApiKeyLookup
    whom a key stands for
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

from control_api.errors import conflict, invalid, not_found
from control_api.pagination import Page, id_in, page_of
from control_api.principal import Principal
from control_api.services.social import hold_own
from storage.database import Executor
from storage.repositories.api_keys import ApiKey, ApiKeys, NewApiKey
from storage.repositories.audit import AuditLog

KEY_BYTES: Final = 32
MARK: Final = "msk_"
PREFIX_LENGTH: Final = 12
MOST_KEYS: Final = 50
LONGEST_LIFETIME: Final = timedelta(days=3660)
_KEY: Final = re.compile(MARK + f"[0-9a-f]{{{2 * KEY_BYTES}}}")


class Scope(Enum):
    """What an API key may be allowed to do."""

    ROOMS_READ = "rooms:read"
    ROOMS_WRITE = "rooms:write"
    STREAMS_WRITE = "streams:write"
    PLAYBACK_READ = "playback:read"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    ANALYTICS_READ = "analytics:read"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    NOTIFICATIONS_READ = "notifications:read"
    NOTIFICATIONS_WRITE = "notifications:write"
    CHAT_READ = "chat:read"
    CHAT_WRITE = "chat:write"
    CHAT_MODERATE = "chat:moderate"


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """``key`` is nowhere else."""

    stored: ApiKey
    key: str


class ApiKeyService:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def create(
        self, user_id: UUID, name: str, scopes: Iterable[Scope], expires_at: datetime | None, address: str
    ) -> IssuedKey:
        """409 ``too_many_api_keys`` above MOST_KEYS."""
        _check_expiry(expires_at)
        key = MARK + secrets.token_hex(KEY_BYTES)
        names = sorted({scope.value for scope in scopes})
        new = NewApiKey(name, key[:PREFIX_LENGTH], _digest(key), names, expires_at)
        async with self._database.transaction() as transaction:
            await hold_own(transaction, user_id)
            keys = ApiKeys(transaction)
            if await keys.count_locked(user_id) >= MOST_KEYS:
                raise conflict("too_many_api_keys", f"There may be {MOST_KEYS} keys; revoke one first.")
            stored = await keys.add(user_id, new)
            await AuditLog(transaction).add(
                user_id, "api_key.created", "api_key", str(stored.id), address, {"scopes": names}
            )
        return IssuedKey(stored, key)

    async def list_of(self, user_id: UUID, limit: int, cursor: str | None) -> Page[ApiKey]:
        """Newest first."""
        found = await ApiKeys(self._database).list_of(user_id, limit + 1, id_in(cursor))
        return page_of(found, limit, lambda key: (key.id,))

    async def revoke(self, user_id: UUID, key_id: UUID, address: str) -> None:
        """The key is good for nothing from the next request on."""
        async with self._database.transaction() as transaction:
            if not await ApiKeys(transaction).revoke(key_id, user_id):
                raise not_found("api key")
            await AuditLog(transaction).add(user_id, "api_key.revoked", "api_key", str(key_id), address)


class ApiKeyLookup:
    def __init__(self, database: Executor) -> None:
        self._keys = ApiKeys(database)

    async def principal_of(self, key: str) -> Principal | None:
        """None unless the key is known, neither revoked nor expired, and its owner active."""
        if _KEY.fullmatch(key) is None:
            return None
        holder = await self._keys.find(_digest(key))
        if holder is None:
            return None
        if holder.is_use_due:
            await self._keys.note_use(holder.key_id)
        return Principal(holder.user_id, holder.role, scopes=holder.scopes, api_key_id=holder.key_id)


def _digest(key: str) -> bytes:
    """A key is 256 random bits: a fast hash of it cannot be turned back."""
    return hashlib.sha256(key.encode()).digest()


def _check_expiry(expires_at: datetime | None) -> None:
    if expires_at is None:
        return
    now = datetime.now(UTC)
    if expires_at <= now:
        raise invalid("expiresAt", "is over already")
    if expires_at > now + LONGEST_LIFETIME:
        raise invalid("expiresAt", "is more than ten years ahead")
