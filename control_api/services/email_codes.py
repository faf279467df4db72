"""Codes that are mailed: six digits, a few tries, one use.

OneTimeCodes
    makes and checks them for any purpose
"""

import hmac
import secrets
from datetime import timedelta
from typing import Final
from uuid import UUID

from storage.database import Executor
from storage.repositories.one_time_codes import OneTimeCodeDigests

CODE_DIGITS: Final = 6
MOST_TRIES: Final = 5


class OneTimeCodes:
    """Six digits that were sent to a user, for one purpose. Stored as digests only, under the secret.

    A new code takes the place of the user's older one for that purpose. The table knows the purposes:
    ``verify_email``, ``reset_password`` and ``login_otp``.
    """

    def __init__(self, database: Executor, secret: bytes) -> None:
        self._digests = OneTimeCodeDigests(database)
        self._secret = secret

    async def issue(self, user_id: UUID, purpose: str, lifetime: timedelta) -> str:
        """A new code, good for MOST_TRIES tries within ``lifetime``."""
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        digest = self._digest(user_id, purpose, code)
        await self._digests.put(user_id, purpose, digest, lifetime, MOST_TRIES)
        return code

    async def redeem(self, user_id: UUID, purpose: str, code: str) -> bool:
        """Whether it is the right code, which is then used up. Counts as a try."""
        return await self._try_out(user_id, purpose, code, is_used_up=True)

    async def is_right(self, user_id: UUID, purpose: str, code: str) -> bool:
        """The same, but a right code may be used again. Counts as a try, too."""
        return await self._try_out(user_id, purpose, code, is_used_up=False)

    async def _try_out(self, user_id: UUID, purpose: str, code: str, is_used_up: bool) -> bool:
        digest = self._digest(user_id, purpose, code)
        return await self._digests.try_out(user_id, purpose, digest, is_used_up)

    def _digest(self, user_id: UUID, purpose: str, code: str) -> bytes:
        """A million codes are soon tried out, so a stolen table must be worth nothing without the secret."""
        text = b"\0".join((b"one-time code", user_id.bytes, purpose.encode(), code.encode()))
        return hmac.digest(self._secret, text, "sha256")
