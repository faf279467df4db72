"""Codes that are mailed: six digits, a few tries, one use.

OneTimeCodes
    makes and checks them for any purpose
EmailLogin
    signs in who can read the mail of an account

Rules of signing in:

* Whether an address has an account shows nowhere: mail goes out behind the answer's back, and no refusal
  comes earlier than another.
* A second factor stays one: who can read the mail still needs it.
"""

import asyncio
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

from control_api.errors import ApiError, unauthorized
from control_api.identity.errands import Errands
from control_api.identity.ports import Counter, Mail, SecondFactor
from control_api.identity.rules import known_email
from control_api.identity.throttle import Attempt, LoginThrottle
from control_api.services.auth import Client, Welcome
from storage.database import Executor
from storage.ids import new_id
from storage.repositories.audit import AuditLog
from storage.repositories.credentials import Credential, Credentials
from storage.repositories.one_time_codes import OneTimeCodeDigests
from storage.repositories.users import UserState

CODE_DIGITS: Final = 6
MOST_TRIES: Final = 5
LOGIN: Final = "login_otp"
LOGIN_LIFETIME: Final = timedelta(minutes=10)
MAILS_PER_WINDOW: Final = 5
WINDOW_SECONDS: Final = 3600.0
REFUSAL_SECONDS: Final = 0.3

_SUBJECT: Final = "Your code for signing in"
_TEXT: Final = """Hello {name},

{code} is the code for signing in. It is good for 10 minutes.

If you did not ask for it, leave it be. Give the code to nobody.
"""


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
        """Whether it is the right code, which is then used up. A wrong one counts as a try."""
        return await self._try_out(user_id, purpose, code, is_used_up=True)

    async def is_right(self, user_id: UUID, purpose: str, code: str) -> bool:
        """The same, but a right code stays good."""
        return await self._try_out(user_id, purpose, code, is_used_up=False)

    async def _try_out(self, user_id: UUID, purpose: str, code: str, is_used_up: bool) -> bool:
        digest = self._digest(user_id, purpose, code)
        return await self._digests.try_out(user_id, purpose, digest, is_used_up)

    def _digest(self, user_id: UUID, purpose: str, code: str) -> bytes:
        """A million codes are soon tried out, so a stolen table must be worth nothing without the secret."""
        text = b"\0".join((b"one-time code", user_id.bytes, purpose.encode(), code.encode()))
        return hmac.digest(self._secret, text, "sha256")


class Welcoming(Protocol):
    """AuthService is one."""

    async def welcome(self, user_id: UUID, client: Client, remember: bool) -> Welcome:
        """Sign in somebody who has shown who it is. Raises ApiError 403 if not active."""


@dataclass(frozen=True, slots=True)
class EmailLoginParts:
    """What EmailLogin works with."""

    codes: OneTimeCodes
    welcoming: Welcoming
    second_factor: SecondFactor
    throttle: LoginThrottle
    counter: Counter
    errands: Errands
    mail: Mail


@dataclass(frozen=True, slots=True)
class CodeLogin:
    email: str
    code: str
    two_factor_code: str | None = None
    remember: bool = False


class EmailLogin:
    """No refusal comes earlier than ``refusal_seconds`` after its request."""

    def __init__(
        self, database: Executor, parts: EmailLoginParts, refusal_seconds: float = REFUSAL_SECONDS
    ) -> None:
        self._database = database
        self._parts = parts
        self._refusal_seconds = refusal_seconds

    def send(self, email: str, address: str) -> None:
        """Mail a code to who has an account with this address. Raises ApiError 503."""
        self._parts.errands.start(self._send(email, address))

    async def login(self, login: CodeLogin, client: Client) -> Welcome | None:
        """Sign in. None when only the second factor is missing. Raises ApiError 401, 429."""
        refused_at = asyncio.get_running_loop().time() + self._refusal_seconds
        try:
            return await self._login(login, client)
        except ApiError:
            await asyncio.sleep(refused_at - asyncio.get_running_loop().time())
            raise

    async def _login(self, login: CodeLogin, client: Client) -> Welcome | None:
        parts, user = self._parts, await self._find(login.email)
        attempt = await parts.throttle.begin(_account(user, login.email), client.address)
        owner = user.id if user else new_id()
        if not await parts.codes.is_right(owner, LOGIN, login.code) or user is None:
            raise await self._refusal(user, attempt, client, "invalid_credentials")
        if await parts.second_factor.is_required(user.id):
            if login.two_factor_code is None:
                return None
            if not await parts.second_factor.verify(user.id, login.two_factor_code):
                raise await self._refusal(user, attempt, client, "invalid_two_factor_code")
        # Last, so that a mistyped second factor does not cost the code.
        if not await parts.codes.redeem(user.id, LOGIN, login.code):
            raise await self._refusal(user, attempt, client, "invalid_credentials")
        await parts.throttle.succeeded(attempt)
        await Credentials(self._database).set_verified(user.id)
        return await parts.welcoming.welcome(user.id, client, login.remember)

    async def _find(self, email: str) -> Credential | None:
        known = known_email(email.strip())
        user = await Credentials(self._database).find_by_email(known) if known else None
        return user if user and user.state is UserState.ACTIVE else None

    async def _send(self, email: str, address: str) -> None:
        user = await self._find(email)
        if user is None:
            return
        allowance = await self._parts.counter.take(
            f"mail:{LOGIN}:{user.id}", MAILS_PER_WINDOW, WINDOW_SECONDS
        )
        if not allowance.is_allowed:
            return
        await AuditLog(self._database).add(None, "login_otp.asked", "user", str(user.id), address)
        code = await self._parts.codes.issue(user.id, LOGIN, LOGIN_LIFETIME)
        await self._parts.mail.send(user.email, _SUBJECT, _TEXT.format(name=user.display_name, code=code))

    async def _refusal(
        self, user: Credential | None, attempt: Attempt, client: Client, code: str
    ) -> ApiError:
        """Note the failure and let it take its time."""
        subject = str(user.id) if user else None
        details: dict[str, object] = {"reason": code}
        await AuditLog(self._database).add(None, "session.refused", "user", subject, client.address, details)
        await self._parts.throttle.failed(attempt)
        return unauthorized(code, "Wrong code.")


def _account(user: Credential | None, email: str) -> str:
    """What attempts are counted on, the same as for passwords."""
    return str(user.id) if user else f"name:{email.strip()}"
