"""The second factor: codes of an authenticator app (TOTP, RFC 6238), and backup codes for when it is lost.

Rules:

* The clocks may differ by one step; a step's code is good once, and none before it afterwards.
* A new secret counts only after a first code from it, given within SETUP_LIFETIME.
* Secrets are encrypted, backup codes are digests; the key comes from the installation's secret.
* Guesses are counted per account, whoever makes them.
"""

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Final, Protocol
from uuid import UUID

import pyotp
import segno
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from control_api.errors import ApiError, conflict, invalid, too_many, unauthorized
from control_api.identity.ports import Counter, Mail
from control_api.identity.tokens import derived_key
from storage.database import Executor
from storage.repositories.audit import AuditLog
from storage.repositories.credentials import Credential, Credentials
from storage.repositories.two_factor import SecondFactors

logger = structlog.get_logger("mediaserver.api")

STEP_SECONDS: Final = 30
TOTP_DIGITS: Final = 6
SETUP_LIFETIME: Final = timedelta(minutes=10)
BACKUP_CODES: Final = 10
BACKUP_CODE_LENGTH: Final = 10
BACKUP_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
MOST_GUESSES: Final = 5
GUESS_SECONDS: Final = 15 * 60.0
NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Setup:
    """What goes into an authenticator app: as text, as an address, as a picture (an SVG data URL)."""

    secret: str
    otpauth_url: str
    qr_code: str


class SecretBox:
    """AES-256-GCM, bound to the user: what is copied to another user's row opens nothing."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(derived_key(secret, "two-factor secrets"))

    def seal(self, user_id: UUID, text: str) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode(), user_id.bytes)

    def open(self, user_id: UUID, sealed: bytes) -> str | None:
        """None when it was sealed under another installation's secret, or for another user."""
        nonce, content = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, content, user_id.bytes).decode()
        except InvalidTag:
            logger.error("two_factor_secret_unreadable", user_id=str(user_id))
            return None


class PasswordConfirmation(Protocol):
    """AccountRecovery is one."""

    async def confirm_password(self, user_id: UUID, password: str, address: str) -> None:
        """Raises ApiError 403 ``wrong_password``, 429, 503."""


@dataclass(frozen=True, slots=True)
class TwoFactorOptions:
    """``issuer`` is how the app calls this server. ``clock`` is Unix time in seconds."""

    issuer: str = "mediaserver"
    clock: Callable[[], float] = time.time


class TwoFactorService:
    """Also identity's port SecondFactor: ``is_required`` and ``verify``."""

    def __init__(
        self,
        database: Executor,
        secret: bytes,
        passwords: PasswordConfirmation,
        counter: Counter,
        mail: Mail,
        options: TwoFactorOptions | None = None,
    ) -> None:
        self._database = database
        self._box = SecretBox(secret)
        self._backup_key = derived_key(secret, "backup codes")
        self._passwords = passwords
        self._counter = counter
        self._mail = mail
        self._options = options or TwoFactorOptions()

    async def is_required(self, user_id: UUID) -> bool:
        return await SecondFactors(self._database).confirmed(user_id) is not None

    async def verify(self, user_id: UUID, code: str) -> bool:
        """Whether ``code`` is the app's or an unused backup code; a right one is used up. 429 for guesses."""
        sealed = await SecondFactors(self._database).confirmed(user_id)
        if sealed is None:
            return False
        await self._count_guess(user_id)
        typed = _as_typed(code)
        is_right = await (
            self._use_totp(user_id, sealed, typed)
            if _is_totp_code(typed)
            else SecondFactors(self._database).use_backup_code(user_id, self._digest(user_id, typed))
        )
        if is_right:
            await self._counter.forget(_guess_key(user_id))
        return is_right

    async def set_up(self, user_id: UUID) -> Setup:
        """A new secret, not in force before ``confirm``. 409 ``two_factor_already_enabled``."""
        user = await self._user(user_id)
        secret = pyotp.random_base32()
        sealed = self._box.seal(user_id, secret)
        if not await SecondFactors(self._database).put_pending(user_id, sealed):
            raise _already_enabled()
        url = pyotp.TOTP(secret).provisioning_uri(name=user.username, issuer_name=self._options.issuer)
        # Drawing takes longer than the event loop can spare.
        return Setup(secret, url, await asyncio.to_thread(_picture, url))

    async def confirm(self, user_id: UUID, code: str, address: str) -> list[str]:
        """Put the new secret into force if ``code`` comes from it. The backup codes, shown this once."""
        user = await self._user(user_id)
        sealed = await self._pending(user_id)
        await self._count_guess(user_id)
        step = self._step_of(user_id, sealed, _as_typed(code))
        if step is None:
            raise await self._refusal(user_id, address)
        codes = [_new_backup_code() for _ in range(BACKUP_CODES)]
        async with self._database.transaction() as transaction:
            factors = SecondFactors(transaction)
            if not await factors.confirm(user_id, sealed, step):
                raise _already_enabled()
            digests = [self._digest(user_id, _as_typed(code)) for code in codes]
            await factors.replace_backup_codes(user_id, digests)
            await _audit(transaction, user_id, "two_factor.enabled", address)
        await self._counter.forget(_guess_key(user_id))
        await self._tell(user, "on")
        return codes

    async def disable_by_password(self, user_id: UUID, password: str, address: str) -> None:
        """Raises ApiError 403 ``wrong_password``, 409 ``two_factor_not_enabled``."""
        user = await self._user(user_id)
        if not await self.is_required(user_id):
            raise _not_enabled()
        await self._passwords.confirm_password(user_id, password, address)
        await self._disable(user, address)

    async def disable_by_code(self, user_id: UUID, code: str, address: str) -> None:
        """Raises ApiError 400 for a wrong code, 409 ``two_factor_not_enabled``."""
        user = await self._user(user_id)
        if not await self.is_required(user_id):
            raise _not_enabled()
        if not await self.verify(user_id, code):
            raise await self._refusal(user_id, address)
        await self._disable(user, address)

    async def _refusal(self, user_id: UUID, address: str) -> ApiError:
        """Noted, as a wrong one at signing in is by whoever signs in."""
        await _audit(self._database, user_id, "two_factor.refused", address)
        return invalid("code", "is wrong, or was used before")

    async def _disable(self, user: Credential, address: str) -> None:
        async with self._database.transaction() as transaction:
            if not await SecondFactors(transaction).delete(user.id):
                raise _not_enabled()
            await _audit(transaction, user.id, "two_factor.disabled", address)
        await self._counter.forget(_guess_key(user.id))
        await self._tell(user, "off")

    async def _user(self, user_id: UUID) -> Credential:
        user = await Credentials(self._database).find_by_id(user_id)
        if user is None:
            raise unauthorized()
        return user

    async def _pending(self, user_id: UUID) -> bytes:
        """The encrypted secret that waits for its first code."""
        pending = await SecondFactors(self._database).pending(user_id)
        if pending is None and await self.is_required(user_id):
            raise _already_enabled()
        if pending is None or pending.age > SETUP_LIFETIME:
            raise conflict("two_factor_not_set_up", "Set the second factor up first; it waits for 10 min.")
        return pending.secret

    async def _use_totp(self, user_id: UUID, sealed: bytes, code: str) -> bool:
        step = self._step_of(user_id, sealed, code)
        return step is not None and await SecondFactors(self._database).use_step(user_id, step)

    def _step_of(self, user_id: UUID, sealed: bytes, code: str) -> int | None:
        """The time step whose code it is. Looks at all of them, so that the time tells nothing."""
        secret = self._box.open(user_id, sealed)
        if secret is None:
            return None
        totp = pyotp.TOTP(secret, interval=STEP_SECONDS)
        now = int(self._options.clock()) // STEP_SECONDS
        given = code.encode("utf-8", "replace")
        steps = (now - 1, now, now + 1)
        found = [hmac.compare_digest(totp.generate_otp(step).encode(), given) for step in steps]
        return next((step for step, is_it in zip(steps, found, strict=True) if is_it), None)

    def _digest(self, user_id: UUID, backup_code: str) -> bytes:
        content = user_id.bytes + backup_code.encode("utf-8", "replace")
        return hmac.digest(self._backup_key, content, "sha256")

    async def _count_guess(self, user_id: UUID) -> None:
        allowance = await self._counter.take(_guess_key(user_id), MOST_GUESSES, GUESS_SECONDS)
        if not allowance.is_allowed:
            raise too_many(max(1, ceil(allowance.reset_seconds)))

    async def _tell(self, user: Credential, state: str) -> None:
        await self._mail.send(
            user.email,
            f"Two-factor authentication is {state}",
            f"Hello {user.display_name},\n\ntwo-factor authentication for your account {user.username} was"
            f" turned {state}. If that was not you, change your password at once.\n",
        )


async def _audit(database: Executor, user_id: UUID, action: str, address: str) -> None:
    await AuditLog(database).add(user_id, action, "user", str(user_id), address)


def _guess_key(user_id: UUID) -> str:
    return f"second-factor:{user_id}"


def _as_typed(code: str) -> str:
    """People add spaces, hyphens and capitals."""
    return code.replace(" ", "").replace("-", "").lower()


def _is_totp_code(code: str) -> bool:
    return len(code) == TOTP_DIGITS


def _new_backup_code() -> str:
    letters = "".join(secrets.choice(BACKUP_ALPHABET) for _ in range(BACKUP_CODE_LENGTH))
    return f"{letters[:5]}-{letters[5:]}"


def _picture(url: str) -> str:
    return segno.make_qr(url, error="m").svg_data_uri(scale=4)


def _already_enabled() -> ApiError:
    return conflict("two_factor_already_enabled", "The second factor is on already; turn it off first.")


def _not_enabled() -> ApiError:
    return conflict("two_factor_not_enabled", "There is no second factor to turn off.")
