"""Mailed codes and what they allow: verifying an address, and a new password for who forgot the old one.

Whether an address has an account shows nowhere: mail goes out behind the answer's back, and a code for nobody
is looked for like any other.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from control_api.errors import ApiError, forbidden, invalid, not_found, unavailable
from control_api.identity.errands import Errands
from control_api.identity.ports import Codes, Counter, Mail
from control_api.identity.rules import check_new_password, known_email
from control_api.identity.throttle import LoginThrottle, confirmation_of
from storage.bus import Bus, UserChanged
from storage.database import Executor
from storage.ids import new_id
from storage.passwords import Passwords, TooManyHashes
from storage.repositories.audit import AuditLog
from storage.repositories.credentials import Credential, Credentials
from storage.repositories.sessions import Sessions
from storage.repositories.users import UserState

VERIFY: Final = "verify_email"
RESET: Final = "reset_password"
VERIFY_LIFETIME: Final = timedelta(hours=24)
RESET_LIFETIME: Final = timedelta(minutes=10)
MAILS_PER_WINDOW: Final = 3
WINDOW_SECONDS: Final = 3600.0
REFUSAL_SECONDS: Final = 0.3

_VERIFY_TEXT: Final = """Hello {name},

{code} is the code that verifies this address. It is good for 24 hours.

If you did not make an account, somebody mistyped an address; you need not do anything.
"""
_RESET_TEXT: Final = """Hello {name},

{code} is the code for setting a new password. It is good for 10 minutes.

If you did not ask for it, leave it be: your password stays as it is. Give the code to nobody.
"""
_CHANGED_TEXT: Final = """Hello {name},

the password of your account was just changed, and you were signed out everywhere else.

If that was not you, set a new password at once with "forgot password".
"""


@dataclass(frozen=True, slots=True)
class RecoveryParts:
    """What AccountRecovery works with. A wrong code is refused after ``refusal_seconds``, not sooner."""

    passwords: Passwords
    codes: Codes
    mail: Mail
    counter: Counter
    throttle: LoginThrottle
    errands: Errands
    bus: Bus
    refusal_seconds: float = REFUSAL_SECONDS


class AccountRecovery:
    def __init__(self, database: Executor, parts: RecoveryParts) -> None:
        self._database = database
        self._parts = parts

    async def send_verification(self, user: Credential) -> None:
        """Mail a code; nothing happens for an address that is verified already."""
        if user.email_verified_at is None:
            await self._mail_code(user, VERIFY, VERIFY_LIFETIME, "Verify your address", _VERIFY_TEXT)

    def ask_verification(self, email: str) -> None:
        """Mail another code to who has an account with this address. Raises ApiError 503."""
        self._parts.errands.start(self._resend_verification(email))

    async def verify(self, email: str, code: str, address: str) -> None:
        """Raises ApiError 400 for a wrong code, or one for nobody."""
        user = await self._redeem(email, VERIFY, code, address)
        async with self._database.transaction() as transaction:
            await Credentials(transaction).set_verified(user.id)
            await AuditLog(transaction).add(user.id, "email.verified", "user", str(user.id), address)

    def forgot(self, email: str, address: str) -> None:
        """Mail a code to who has an account with this address. Raises ApiError 503."""
        self._parts.errands.start(self._send_reset(email, address))

    async def reset(self, email: str, code: str, password: str, address: str) -> None:
        """Set a new password and end all sessions. Raises ApiError 400 for a wrong code."""
        check_new_password("password", password, email)
        # Before the code is looked at: who has none must wait as long.
        password_hash = await self._hash(password)
        user = await self._redeem(email, RESET, code, address)
        async with self._database.transaction() as transaction:
            await Credentials(transaction).set_password(user.id, password_hash)
            # The code came by mail, so the mail is read.
            await Credentials(transaction).set_verified(user.id)
            await Sessions(transaction).revoke_all(user.id)
            await AuditLog(transaction).add(user.id, "password.reset", "user", str(user.id), address)
        self._tell_changed(user)

    async def change(
        self, user_id: UUID, session_id: UUID | None, passwords: tuple[str, str], address: str
    ) -> None:
        """From the old to the new of ``passwords``; ends all sessions but this. ApiError 403, 429."""
        current, wanted = passwords
        user = await Credentials(self._database).find_by_id(user_id)
        if user is None:
            raise not_found("user")
        check_new_password("newPassword", wanted, user.username, user.email)
        await self._confirm(user, current, address)
        password_hash = await self._hash(wanted)
        async with self._database.transaction() as transaction:
            # Whoever set another one meanwhile may have done so because somebody else knows the old one.
            if not await Credentials(transaction).set_password(
                user.id, password_hash, user.password_changed_at
            ):
                raise _wrong_password()
            await Sessions(transaction).revoke_all(user.id, but=session_id)
            await AuditLog(transaction).add(user.id, "password.changed", "user", str(user.id), address)
        self._tell_changed(user)

    async def confirm_password(self, user_id: UUID, password: str, address: str) -> None:
        """Make sure that it is the user who asks for something grave. Raises ApiError 403, 429, 503."""
        user = await Credentials(self._database).find_by_id(user_id)
        if user is None:
            raise not_found("user")
        await self._confirm(user, password, address)

    async def _confirm(self, user: Credential, password: str, address: str) -> None:
        attempt = await self._parts.throttle.begin(confirmation_of(user.id), address)
        try:
            is_correct = await self._parts.passwords.is_correct(password, user.password_hash)
        except TooManyHashes as error:
            raise _busy() from error
        if not is_correct:
            await AuditLog(self._database).add(user.id, "password.refused", "user", str(user.id), address)
            await self._parts.throttle.failed(attempt)
            raise _wrong_password()
        await self._parts.throttle.succeeded(attempt)

    async def _hash(self, password: str) -> str:
        try:
            return await self._parts.passwords.hash(password)
        except TooManyHashes as error:
            raise _busy() from error

    async def _find(self, email: str) -> Credential | None:
        known = known_email(email)
        user = await Credentials(self._database).find_by_email(known) if known else None
        return user if user and user.state is UserState.ACTIVE else None

    async def _redeem(self, email: str, purpose: str, code: str, address: str) -> Credential:
        """Whose code it is. A refusal takes the same time whether or not there was a code to compare with."""
        refused_at = asyncio.get_running_loop().time() + self._parts.refusal_seconds
        user = await self._find(email)
        is_right = await self._parts.codes.redeem(user.id if user else new_id(), purpose, code)
        if user is None or not is_right:
            subject = str(user.id) if user else None
            await AuditLog(self._database).add(None, f"{purpose}.refused", "user", subject, address)
            await asyncio.sleep(refused_at - asyncio.get_running_loop().time())
            raise invalid("code", "is wrong, used or too old")
        return user

    async def _resend_verification(self, email: str) -> None:
        user = await self._find(email)
        if user is not None:
            await self.send_verification(user)

    async def _send_reset(self, email: str, address: str) -> None:
        user = await self._find(email)
        if user is None:
            return
        await AuditLog(self._database).add(None, "password.reset_asked", "user", str(user.id), address)
        await self._mail_code(user, RESET, RESET_LIFETIME, "A new password", _RESET_TEXT)

    async def _mail_code(
        self, user: Credential, purpose: str, lifetime: timedelta, subject: str, text: str
    ) -> None:
        """A few in an hour: nobody's mailbox is filled, and codes cannot be guessed by asking for more."""
        key = f"mail:{purpose}:{user.id}"
        allowance = await self._parts.counter.take(key, MAILS_PER_WINDOW, WINDOW_SECONDS)
        if allowance.is_allowed:
            code = await self._parts.codes.issue(user.id, purpose, lifetime)
            await self._parts.mail.send(user.email, subject, text.format(name=user.display_name, code=code))

    def _tell_changed(self, user: Credential) -> None:
        self._parts.bus.publish(UserChanged(str(user.id)))
        text = _CHANGED_TEXT.format(name=user.display_name)
        self._parts.errands.start(self._parts.mail.send(user.email, "Your password was changed", text))


def _wrong_password() -> ApiError:
    return forbidden("wrong_password", "That is not your password.")


def _busy() -> ApiError:
    return unavailable("Too many passwords are being checked at this moment; try again shortly.")
