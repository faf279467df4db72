"""Sessions: opened when somebody signs in, kept alive by refresh tokens, ended by their owner or by a theft.

A refresh token is good once. Whoever shows one that was used up either stole it, or was robbed: nobody can
tell which, so the session ends for both. The exception is a token used up within the last GRACE: pages in two
tabs refresh at the same moment, so the later one is told to look for its new cookie. It gets no token, as it
may still be the thief.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

import structlog

from control_api.errors import ApiError, not_found, unauthorized
from control_api.identity.tokens import AccessTokens, RefreshTokens
from control_api.pagination import Page, id_in, page_of
from control_api.schemas import Data
from storage.bus import Bus, UserChanged
from storage.database import Executor
from storage.errors import StorageError
from storage.ids import new_id
from storage.repositories.audit import AuditLog
from storage.repositories.sessions import (
    NewSession,
    OpenSession,
    Session,
    Sessions,
    TokenStanding,
    WebSessions,
)

logger = structlog.get_logger("mediaserver.api")

GRACE: Final = timedelta(seconds=10)
CLEANING_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class SessionLifetimes:
    """How long a session lasts that nobody uses; ``remembered`` for those who asked to be remembered."""

    usual: timedelta = timedelta(days=30)
    remembered: timedelta = timedelta(days=365)

    def of(self, remember: bool) -> timedelta:
        return self.remembered if remember else self.usual


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a client gets to go on with. ``lifetime`` is the refresh token's."""

    user_id: UUID
    session_id: UUID
    access_token: str
    refresh_token: str
    lifetime: timedelta


class SessionView(Data):
    """A device on which the user is signed in; ``is_current`` is the one that asks."""

    id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    address: str
    user_agent: str
    is_current: bool


class SessionService:
    """``run`` is a task that cleans up."""

    def __init__(
        self,
        database: Executor,
        bus: Bus,
        access_tokens: AccessTokens,
        refresh_tokens: RefreshTokens,
        lifetimes: SessionLifetimes | None = None,
    ) -> None:
        self._database = database
        self._bus = bus
        self._access_tokens = access_tokens
        self._refresh_tokens = refresh_tokens
        self._lifetimes = lifetimes or SessionLifetimes()

    async def open(
        self,
        user_id: UUID,
        address: str,
        user_agent: str,
        remember: bool,
        password_since: datetime | None = None,
    ) -> SignedIn:
        """Sign the user in; whoever calls has made sure that it is the user. ApiError 403 if not active.

        ``password_since`` is when the password was set that was shown. It takes long to check: if there is
        another one by now, the session would outlive the end of all that the old one opened. ApiError 401.
        """
        session_id = new_id()
        token = self._refresh_tokens.issue(session_id)
        digest = self._refresh_tokens.digest(token)
        lifetime = self._lifetimes.of(remember)
        agent = printable(user_agent)
        new = NewSession(session_id, user_id, digest, lifetime, address, agent, remember, password_since)
        async with self._database.transaction() as transaction:
            opened = await Sessions(transaction).add(new)
            if opened is None:
                raise inactive() if password_since is None else wrong_credentials()
            await AuditLog(transaction).add(user_id, "session.opened", "session", str(session_id), address)
        return self._signed_in(opened, token)

    async def refresh(self, token: str | None, address: str) -> SignedIn:
        """Exchange a refresh token for new ones. Raises ApiError 401, or 409 when it was just exchanged."""
        session_id = self._refresh_tokens.session_of(token) if token else None
        if token is None or session_id is None:
            raise unauthorized("invalid_refresh_token", "Sign in again.")
        successor = self._refresh_tokens.issue(session_id)
        digest = self._refresh_tokens.digest(token)
        rotated = await Sessions(self._database).rotate(
            digest,
            self._refresh_tokens.digest(successor),
            self._lifetimes.usual,
            self._lifetimes.remembered,
        )
        if rotated is None:
            await self._refuse(session_id, digest, address)
            raise unauthorized("invalid_refresh_token", "Sign in again.")
        return self._signed_in(rotated, successor)

    async def close(self, token: str | None, session_id: UUID | None, address: str) -> None:
        """Sign out: the session of the refresh token, and the one that asks. Nothing to end is no error."""
        found = await Sessions(self._database).find_by_token(RefreshTokens.digest(token)) if token else None
        for ended in {session_id, found[0] if found else None} - {None}:
            assert ended is not None
            await self._end(ended, None, "session.closed", address)

    async def list_open(
        self, user_id: UUID, current: UUID | None, cursor: str | None, limit: int
    ) -> Page[SessionView]:
        found = await Sessions(self._database).list_open(user_id, id_in(cursor), limit + 1)
        page = page_of(found, limit, lambda session: (session.id,))
        return page.map(lambda session: _view(session, current))

    async def revoke(self, user_id: UUID, session_id: UUID, address: str) -> None:
        """End one of the user's own sessions. Raises ApiError 404 for any other."""
        if not await self._end(session_id, user_id, "session.revoked", address):
            raise not_found("session")

    async def run(self) -> None:
        """Delete what ended long ago, now and then, until cancelled."""
        while True:
            try:
                await Sessions(self._database).forget_ended()
                await WebSessions(self._database).forget_ended()
            except StorageError as error:
                logger.warning("sessions_not_cleaned", error=str(error))
            await asyncio.sleep(CLEANING_SECONDS)

    async def _end(self, session_id: UUID, user_id: UUID | None, action: str, address: str) -> bool:
        async with self._database.transaction() as transaction:
            owner = await Sessions(transaction).revoke(session_id, user_id)
            if owner is None:
                return False
            await AuditLog(transaction).add(owner, action, "session", str(session_id), address)
        self._bus.publish(UserChanged(str(owner)))
        return True

    async def _refuse(self, session_id: UUID, digest: bytes, address: str) -> None:
        """Find out why a genuine token was refused, and do what that asks for."""
        standing = await Sessions(self._database).standing_of(session_id, digest, GRACE)
        if standing is TokenStanding.JUST_USED:
            raise ApiError(
                HTTPStatus.CONFLICT, "refresh_just_used", "The token was just exchanged; use the new one."
            )
        if standing is TokenStanding.USED_BEFORE:
            await self._end(session_id, None, "session.token_reused", address)

    def _signed_in(self, session: OpenSession, refresh_token: str) -> SignedIn:
        return SignedIn(
            session.user_id,
            session.id,
            self._access_tokens.issue(session.user_id, session.id, session.role),
            refresh_token,
            self._lifetimes.of(session.remember),
        )


def wrong_credentials() -> ApiError:
    return unauthorized("invalid_credentials", "Wrong name or password.")


def inactive() -> ApiError:
    return ApiError(HTTPStatus.FORBIDDEN, "account_inactive", "The account cannot be used.")


def printable(text: str) -> str:
    """A header as it may be stored and shown."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _view(session: Session, current: UUID | None) -> SessionView:
    return SessionView(
        id=session.id,
        created_at=session.created_at,
        last_used_at=session.last_used_at,
        expires_at=session.expires_at,
        address=session.address,
        user_agent=session.user_agent,
        is_current=session.id == current,
    )
