"""Making an account and signing in to it.

Rules:

* A wrong password and an unknown name have the same answer after the same work.
* That a name or an address is taken must be said to who wants it; the limits on the route keep that from
  becoming a way to list addresses.
* Of a banned or suspended account only somebody who knows the password hears.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from control_api.errors import ApiError, conflict, forbidden, invalid, not_found, unauthorized, unavailable
from control_api.identity.errands import Errands
from control_api.identity.ports import SecondFactor
from control_api.identity.recovery import AccountRecovery
from control_api.identity.rules import check_new_password, known_email, normalised_email, visible_text
from control_api.identity.throttle import Attempt, LoginThrottle
from control_api.services.account_view import AccountView, AccountViews
from control_api.services.sessions import SessionService, SignedIn
from storage.database import Executor
from storage.errors import Conflict, InvalidValue
from storage.passwords import Passwords, TooManyHashes
from storage.repositories.audit import AuditLog
from storage.repositories.credentials import Credential, Credentials, NewAccount
from storage.repositories.users import UserState

_TAKEN: Final = {
    "users_username_unique": ("username_taken", "The user name is taken.", "username"),
    "users_email_unique": ("email_taken", "There is an account with this address.", "email"),
}
_CLOSED: Final = {
    UserState.SUSPENDED: ("account_suspended", "The account is suspended."),
    UserState.BANNED: ("account_banned", "The account is banned."),
}


@dataclass(frozen=True, slots=True)
class Registration:
    email: str
    username: str
    password: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Login:
    """``name`` is a user name or an e-mail address."""

    name: str
    password: str
    two_factor_code: str | None = None
    remember: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from."""

    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to who signed in."""

    user: AccountView
    signed_in: SignedIn


@dataclass(frozen=True, slots=True)
class AuthParts:
    """What AuthService works with."""

    passwords: Passwords
    sessions: SessionService
    recovery: AccountRecovery
    second_factor: SecondFactor
    throttle: LoginThrottle
    errands: Errands
    views: AccountViews


class AuthService:
    def __init__(self, database: Executor, parts: AuthParts) -> None:
        self._database = database
        self._parts = parts

    async def register(self, wanted: Registration, client: Client) -> Welcome:
        """Make an account and sign in. Raises ApiError 400, 409, 503."""
        email = normalised_email(wanted.email)
        display_name = visible_text("displayName", wanted.display_name)
        check_new_password("password", wanted.password, wanted.username, email)
        # Before the names are looked at, so that the time it takes tells nothing.
        password_hash = await self._hash(wanted.password)
        user = await self._add(NewAccount(wanted.username, email, display_name, password_hash), client)
        self._parts.errands.start(self._parts.recovery.send_verification(user))
        return await self._welcome(user, client, remember=False)

    async def login(self, login: Login, client: Client) -> Welcome | None:
        """Sign in. None when only the second factor is missing. Raises ApiError 401, 403, 429, 503."""
        user = await self._find(login.name)
        account = str(user.id) if user else f"name:{login.name.strip()}"
        attempt = await self._parts.throttle.begin(account, client.address)
        if not await self._is_correct(login.password, user) or user is None:
            raise await self._refusal(user, attempt, client, "invalid_credentials", "Wrong name or password.")
        if user.state in _CLOSED:
            raise forbidden(*_CLOSED[user.state])
        if await self._parts.second_factor.is_required(user.id):
            if login.two_factor_code is None:
                return None
            if not await self._parts.second_factor.verify(user.id, login.two_factor_code):
                raise await self._refusal(user, attempt, client, "invalid_two_factor_code", "Wrong code.")
        await self._parts.throttle.succeeded(attempt)
        if self._parts.passwords.needs_rehash(user.password_hash):
            self._parts.errands.start(self._rehash(user, login.password))
        return await self._welcome(user, client, login.remember, user.password_changed_at)

    async def welcome(self, user_id: UUID, client: Client, remember: bool) -> Welcome:
        """Sign in somebody who has shown otherwise who it is. Raises ApiError 403 if not active."""
        user = await Credentials(self._database).find_by_id(user_id)
        if user is None:
            raise not_found("user")
        return await self._welcome(user, client, remember)

    async def account(self, user_id: UUID) -> AccountView:
        user = await Credentials(self._database).find_by_id(user_id)
        if user is None:
            raise not_found("user")
        return await self._parts.views.of(user)

    async def _add(self, account: NewAccount, client: Client) -> Credential:
        try:
            async with self._database.transaction() as transaction:
                user = await Credentials(transaction).add(account)
                await AuditLog(transaction).add(
                    user.id, "user.registered", "user", str(user.id), client.address
                )
        except Conflict as error:
            raise conflict(*_TAKEN.get(error.constraint, ("account_exists", "Taken already."))) from error
        except InvalidValue as error:
            raise invalid(error.constraint.split("_")[1], "is not allowed") from error
        return user

    async def _find(self, name: str) -> Credential | None:
        credentials = Credentials(self._database)
        if "@" not in name:
            return _living(await credentials.find_by_name(name.strip()))
        email = known_email(name.strip())
        return _living(await credentials.find_by_email(email)) if email else None

    async def _is_correct(self, password: str, user: Credential | None) -> bool:
        try:
            return await self._parts.passwords.is_correct(password, user.password_hash if user else None)
        except TooManyHashes as error:
            raise too_busy() from error

    async def _hash(self, password: str) -> str:
        try:
            return await self._parts.passwords.hash(password)
        except TooManyHashes as error:
            raise too_busy() from error

    async def _refusal(
        self, user: Credential | None, attempt: Attempt, client: Client, code: str, message: str
    ) -> ApiError:
        """Note the failure and let it take its time. What was typed is not kept: it may be a password."""
        subject = str(user.id) if user else None
        await AuditLog(self._database).add(
            None, "session.refused", "user", subject, client.address, {"reason": code}
        )
        await self._parts.throttle.failed(attempt)
        return unauthorized(code, message)

    async def _rehash(self, user: Credential, password: str) -> None:
        new_hash = await self._parts.passwords.hash(password)
        await Credentials(self._database).replace_hash(user.id, user.password_hash, new_hash)

    async def _welcome(
        self, user: Credential, client: Client, remember: bool, password_since: datetime | None = None
    ) -> Welcome:
        signed_in = await self._parts.sessions.open(
            user.id, client.address, client.user_agent, remember, password_since
        )
        return Welcome(await self._parts.views.of(user), signed_in)


def too_busy() -> ApiError:
    """Too many passwords are being checked."""
    return unavailable("Too many people sign in at this moment; try again shortly.")


def _living(user: Credential | None) -> Credential | None:
    """Who deleted the account is as unknown as somebody who never had one."""
    return user if user is None or user.state is not UserState.DELETED else None
