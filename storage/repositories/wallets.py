"""What decides whether a user gets the welcome bonus."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from storage.database import Executor

BONUS_SCOPE: Final = "bonus"
"""Of the transfers' keys; the key is a digest of the address. It was the user's id once."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """``is_entitled``: active, and reads mail to ``email``. ``is_settled``: welcomed, or never to be.

    ``had_once`` is of a bonus from before that was noted.
    """

    is_entitled: bool
    is_settled: bool
    had_once: bool
    email: str


class Wallets:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def welcome(self, user_id: UUID) -> Welcome:
        row = await self._database.fetch_row(
            """SELECT state = 'active' AND email_verified_at IS NOT NULL,
                      EXISTS (SELECT FROM welcomed_users WHERE user_id = $1),
                      EXISTS (SELECT FROM ledger_transfers WHERE scope = $2 AND key = $3),
                      email
               FROM users WHERE id = $1""",
            user_id,
            BONUS_SCOPE,
            str(user_id),
        )
        return Welcome(*row) if row else Welcome(False, False, False, "")

    async def settle_welcome(self, user_id: UUID) -> bool:
        """Note that the user is owed no bonus any more. False if it was noted before."""
        noted = await self._database.fetch_value(
            "INSERT INTO welcomed_users (user_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING user_id",
            user_id,
        )
        return noted is not None
