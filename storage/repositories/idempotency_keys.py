"""Answers to calls that must not be done twice, by the key that the client gave them."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from storage.database import Executor


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """``status`` and ``body`` are None while the first call is under way."""

    request_hash: bytes
    status: int | None
    body: bytes | None


class IdempotencyKeys:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def claim(
        self, user_id: UUID, key: str, request_hash: bytes, patience: timedelta
    ) -> KeptAnswer | None:
        """None if the caller is the first and may go on, otherwise what is kept under the key.

        A claim that has been without an answer for longer than ``patience`` was left by a crash and is given
        to the next one with the same request.
        """
        claimed = await self._database.fetch_value(
            """INSERT INTO idempotency_keys AS kept (user_id, key, request_hash) VALUES ($1, $2, $3)
               ON CONFLICT (user_id, key) DO UPDATE SET created_at = now()
               WHERE kept.status IS NULL AND kept.request_hash = $3 AND kept.created_at < now() - $4::interval
               RETURNING true""",
            user_id,
            key,
            request_hash,
            patience,
        )
        if claimed:
            return None
        row = await self._database.fetch_row(
            "SELECT request_hash, status, body FROM idempotency_keys WHERE user_id = $1 AND key = $2",
            user_id,
            key,
        )
        return KeptAnswer(*row) if row else None

    async def keep(self, user_id: UUID, key: str, status: int, body: bytes) -> None:
        await self._database.execute(
            "UPDATE idempotency_keys SET status = $3, body = $4 WHERE user_id = $1 AND key = $2",
            user_id,
            key,
            status,
            body,
        )

    async def release(self, user_id: UUID, key: str) -> None:
        """Nothing was done under the key: it may be used again."""
        await self._database.execute(
            "DELETE FROM idempotency_keys WHERE user_id = $1 AND key = $2 AND status IS NULL", user_id, key
        )

    async def forget_older_than(self, age: timedelta) -> None:
        await self._database.execute(
            "DELETE FROM idempotency_keys WHERE created_at < now() - $1::interval", age
        )
