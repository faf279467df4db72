"""The identity part of the API behind the real dispatcher, over HTTP."""

import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web
from aiohttp_session import session_middleware

from control_api.app import ControlApi
from control_api.dispatch import Dispatcher, DispatchOptions
from control_api.idempotency import Idempotency
from control_api.identity.authenticator import Authenticator
from control_api.identity.errands import Errands
from control_api.identity.recovery import AccountRecovery, RecoveryParts
from control_api.identity.session_states import SessionStates
from control_api.identity.throttle import LoginThrottle
from control_api.identity.tokens import AccessTokens, RefreshTokens
from control_api.identity.web_session import ForgeryCheck, TableStorage
from control_api.principal import Principal
from control_api.routes.audit import AuditRoutes
from control_api.routes.auth import AuthRoutes
from control_api.routes.sessions import SessionRoutes
from control_api.routing import Limit
from control_api.services.account_view import AccountViews
from control_api.services.auth import AuthParts, AuthService
from control_api.services.email_codes import OneTimeCodes
from control_api.services.sessions import SessionService
from storage.bus import Bus
from storage.database import Database
from storage.passwords import Passwords
from storage.shared_state import LocalState

SECRET = b"the secret of this installation, 32 bytes or more"
PASSWORD = "correct horse battery"


@dataclass
class Mailbox:
    """Keeps mail instead of sending it."""

    mails: list[tuple[str, str, str]] = field(default_factory=list)

    async def send(self, to: str, subject: str, text: str) -> None:
        self.mails.append((to, subject, text))

    def code(self, subject: str) -> str:
        """The code in the newest mail with this subject."""
        text = next(text for _, about, text in reversed(self.mails) if about == subject)
        found = re.search(r"\b\d{6}\b", text)
        assert found
        return found[0]


@dataclass
class Factor:
    """A second factor for everybody in ``codes``."""

    codes: dict[UUID, str] = field(default_factory=dict)

    async def is_required(self, user_id: UUID) -> bool:
        return user_id in self.codes

    async def verify(self, user_id: UUID, code: str) -> bool:
        return self.codes[user_id] == code


class Unlimited:
    async def check(self, _limit: Limit, _principal: Principal, _address: str) -> dict[str, str]:
        return {}


@dataclass
class Naps:
    """Sleeps that are only noted."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any
    cookies: Any

    @property
    def data(self) -> Any:
        assert self.body["success"], self.body
        return self.body["data"]

    @property
    def code(self) -> str:
        assert not self.body["success"], self.body
        return str(self.body["code"])


class House:
    """``call`` asks over HTTP; everything inside can be reached as well."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.bus = Bus()
        self.mailbox, self.factor, self.naps, self.errands = Mailbox(), Factor(), Naps(), Errands()
        self.passwords = Passwords()
        self.state = LocalState()
        self.access_tokens = AccessTokens(SECRET)
        self.refresh_tokens = RefreshTokens(SECRET)
        self.sessions = SessionService(database, self.bus, self.access_tokens, self.refresh_tokens)
        throttle = self.throttle = LoginThrottle(self.state, sleep=self.naps)
        codes = OneTimeCodes(database, SECRET)
        self.recovery = AccountRecovery(
            database,
            RecoveryParts(self.passwords, codes, self.mailbox, self.state, throttle, self.errands, self.bus),
        )
        self.auth = AuthService(
            database,
            AuthParts(
                self.passwords,
                self.sessions,
                self.recovery,
                self.factor,
                throttle,
                self.errands,
                AccountViews(),
            ),
        )
        self.states = SessionStates(database, self.bus)
        self.client: Any = None

    def application(self) -> web.Application:
        forgery_check = ForgeryCheck()
        authenticator = Authenticator(self.access_tokens, self.states, forgery_check=forgery_check)
        options = DispatchOptions(lambda request: request.remote or "", lambda _: "the-request-id")
        dispatcher = Dispatcher(authenticator, Unlimited(), Idempotency(self.database), options)
        nouns = [
            AuthRoutes(self.auth, self.recovery, self.sessions, forgery_check),
            SessionRoutes(self.sessions),
            AuditRoutes(self.database),
        ]
        app = web.Application(middlewares=[session_middleware(TableStorage(self.database))])
        ControlApi(nouns, dispatcher, "1.2.3", "http://localhost").add_to(app)
        return app

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        token: str | None = None,
        refresh: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """``token`` is an access token, ``refresh`` a refresh token; no cookie is kept by itself."""
        sent = dict(headers or {})
        if token is not None:
            sent[hdrs.AUTHORIZATION] = f"Bearer {token}"
        if refresh is not None:
            sent[hdrs.COOKIE] = f"refresh={refresh}"
        options: dict[str, Any] = {} if body is None else {"json": body}
        async with self.client.request(method, f"/api/v1{path}", headers=sent, **options) as response:
            return Answer(response.status, await response.json(), response.headers, response.cookies)

    async def register(self, name: str = "alice", **changes: object) -> Answer:
        body = {
            "email": f"{name}@example.org",
            "username": name,
            "password": PASSWORD,
            "displayName": name.title(),
            "acceptTerms": True,
        }
        return await self.call("POST", "/auth/register", body | changes)

    async def login(self, name: str = "alice", password: str = PASSWORD, **more: object) -> Answer:
        return await self.call("POST", "/auth/login", {"username": name, "password": password, **more})

    async def close(self) -> None:
        await self.errands.close()
        self.passwords.close()


def refresh_of(answer: Answer) -> str:
    """The refresh token that an answer set."""
    return str(answer.cookies["refresh"].value)
