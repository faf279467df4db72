"""Second factors: a user's TOTP secret, encrypted, and the digests of the backup codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from storage.database import Executor

PUT_PENDING = """INSERT INTO totp_secrets (user_id, secret) VALUES ($1, $2)
                 ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret, created_at = now()
                 WHERE totp_secrets.confirmed_at IS NULL RETURNING user_id"""
CONFIRM = """UPDATE totp_secrets SET confirmed_at = now(), last_step = $3
             WHERE user_id = $1 AND secret = $2 AND confirmed_at IS NULL RETURNING user_id"""
USE_STEP = """UPDATE totp_secrets SET last_step = $2
              WHERE user_id = $1 AND confirmed_at IS NOT NULL AND last_step < $2 RETURNING user_id"""
USE_BACKUP_CODE = """UPDATE backup_codes SET used_at = now()
                     WHERE user_id = $1 AND code_hash = $2 AND used_at IS NULL RETURNING user_id"""


@dataclass(frozen=True, slots=True)
class PendingSecret:
    """A secret that no code has confirmed yet. ``age`` is the database's idea of it."""

    secret: bytes
    age: timedelta


class SecondFactors:
    """``secret`` is always encrypted here."""

    def __init__(self, database: Executor) -> None:
        self._database = database

    async def put_pending(self, user_id: UUID, secret: bytes) -> bool:
        """Store a secret in the place of an unconfirmed one. False when one is confirmed already."""
        return await self._database.fetch_value(PUT_PENDING, user_id, secret) is not None

    async def pending(self, user_id: UUID) -> PendingSecret | None:
        row = await self._database.fetch_row(
            """SELECT secret, now() - created_at AS age FROM totp_secrets
               WHERE user_id = $1 AND confirmed_at IS NULL""",
            user_id,
        )
        return PendingSecret(row["secret"], row["age"]) if row else None

    async def confirmed(self, user_id: UUID) -> bytes | None:
        """The secret that codes are checked with; None when the user has no second factor."""
        secret: bytes | None = await self._database.fetch_value(
            "SELECT secret FROM totp_secrets WHERE user_id = $1 AND confirmed_at IS NOT NULL", user_id
        )
        return secret

    async def confirm(self, user_id: UUID, secret: bytes, step: int) -> bool:
        """Make the pending ``secret`` the user's second factor. Of those at the same time one succeeds."""
        return await self._database.fetch_value(CONFIRM, user_id, secret, step) is not None

    async def use_step(self, user_id: UUID, step: int) -> bool:
        """Whether no code of this time step, or a later one, was used before."""
        return await self._database.fetch_value(USE_STEP, user_id, step) is not None

    async def replace_backup_codes(self, user_id: UUID, code_hashes: Sequence[bytes]) -> None:
        """Call it in a transaction: the old codes go first."""
        await self._database.execute("DELETE FROM backup_codes WHERE user_id = $1", user_id)
        await self._database.execute(
            "INSERT INTO backup_codes (user_id, code_hash) SELECT $1, unnest($2::bytea[])",
            user_id,
            list(code_hashes),
        )

    async def use_backup_code(self, user_id: UUID, code_hash: bytes) -> bool:
        """Whether it is one of the user's that was not used before."""
        return await self._database.fetch_value(USE_BACKUP_CODE, user_id, code_hash) is not None

    async def delete(self, user_id: UUID) -> bool:
        """Forget secret and backup codes. Whether there was a confirmed secret. Call it in a transaction."""
        await self._database.execute("DELETE FROM backup_codes WHERE user_id = $1", user_id)
        deleted: bool | None = await self._database.fetch_value(
            "DELETE FROM totp_secrets WHERE user_id = $1 RETURNING confirmed_at IS NOT NULL", user_id
        )
        return bool(deleted)
