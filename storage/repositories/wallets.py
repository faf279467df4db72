"""What decides whether a user gets the welcome bonus."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from storage.database import Executor

BONUS_SCOPE: Final = "bonus"
"""Of the transfers' keys; the key is the user's id."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """``is_entitled``: active, and reads mail to the address."""

    is_entitled: bool
    is_granted: bool


class Wallets:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def welcome(self, user_id: UUID) -> Welcome:
        row = await self._database.fetch_row(
            """SELECT state = 'active' AND email_verified_at IS NOT NULL,
                      EXISTS (SELECT FROM ledger_transfers WHERE scope = $2 AND key = $3)
               FROM users WHERE id = $1""",
            user_id,
            BONUS_SCOPE,
            str(user_id),
        )
        return Welcome(*row) if row else Welcome(False, False)
