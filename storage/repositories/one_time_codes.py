"""Codes that were mailed and wait to be typed in: one per user and purpose, as digests only."""

from datetime import timedelta
from uuid import UUID

from storage.database import Executor

STORE = """INSERT INTO one_time_codes (user_id, purpose, code_hash, expires_at, tries_left)
           VALUES ($1, $2, $3, now() + $4, $5)
           ON CONFLICT (user_id, purpose) DO UPDATE
           SET code_hash = excluded.code_hash, expires_at = excluded.expires_at,
               tries_left = excluded.tries_left, created_at = now(), used_at = NULL"""
TRY = """UPDATE one_time_codes
         SET tries_left = tries_left - CASE WHEN code_hash = $3 THEN 0 ELSE 1 END,
             used_at = CASE WHEN code_hash = $3 AND $4 THEN now() END
         WHERE user_id = $1 AND purpose = $2 AND tries_left > 0 AND used_at IS NULL AND expires_at > now()
         RETURNING code_hash = $3"""


class OneTimeCodeDigests:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def put(
        self, user_id: UUID, purpose: str, code_hash: bytes, lifetime: timedelta, tries: int
    ) -> None:
        """Store a new code; an older one for the same purpose is no longer good. Raises InvalidValue."""
        await self._database.execute(STORE, user_id, purpose, code_hash, lifetime, tries)

    async def try_out(self, user_id: UUID, purpose: str, code_hash: bytes, is_used_up: bool = True) -> bool:
        """Whether it is the right code. A wrong one is counted in the same statement, so no try is for free.

        A right code is used up by it, unless ``is_used_up`` is False.
        """
        is_right: bool | None = await self._database.fetch_value(TRY, user_id, purpose, code_hash, is_used_up)
        return bool(is_right)
