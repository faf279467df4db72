"""Signing up, in and out; passwords and addresses."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from aiohttp import hdrs
from msgspec import UNSET, Meta, UnsetType

from control_api.errors import invalid
from control_api.identity.cookies import no_refresh_cookie, refresh_cookie, refresh_token_in
from control_api.identity.recovery import AccountRecovery
from control_api.identity.rules import AnyPassword, Code, DisplayName, Email, NewPassword, Username
from control_api.identity.web_session import (
    ForgeryCheck,
    close_page_session,
    open_page_session,
    page_session_of,
)
from control_api.principal import Access
from control_api.routing import Call, Limit, Reply, Route
from control_api.schemas import Body, Data
from control_api.services.account_view import AccountView
from control_api.services.auth import AuthService, Client, Login, Registration, Welcome
from control_api.services.sessions import SessionService, SignedIn

MAX_USER_AGENT_LENGTH: Final = 300
_ASKED: Final = "If there is an account with this address, a code is on its way."

TwoFactorCode = Annotated[
    str, Meta(min_length=6, max_length=32, description="From the app, or a backup code.")
]


class RegisterBody(Body):
    email: Email
    username: Username
    password: NewPassword
    accept_terms: Annotated[bool, Meta(description="Must be true.", extra_json_schema={"const": True})]
    display_name: DisplayName | None = None


class LoginBody(Body):
    username: Annotated[str, Meta(min_length=3, max_length=254, description="User name or e-mail address.")]
    password: AnyPassword
    two_factor_code: TwoFactorCode | None = None
    remember_me: bool = False


class VerifyEmailBody(Body):
    """Without ``code``, another one is mailed."""

    email: Email
    code: Code | None = None


class ForgotBody(Body):
    email: Email


class ResetBody(Body):
    email: Email
    code: Code
    password: NewPassword


class ChangePasswordBody(Body):
    current_password: AnyPassword
    new_password: NewPassword


class Welcomed(Data):
    user: AccountView
    access_token: str


class LoginAnswer(Data):
    """Either ``user`` and ``accessToken``, or ``requiresTwoFactor``: then ask again with the code."""

    user: AccountView | UnsetType = UNSET
    access_token: str | UnsetType = UNSET
    requires_two_factor: bool | UnsetType = UNSET


class Refreshed(Data):
    access_token: str


class SessionState(Data):
    """``csrfToken`` is for pages that are signed in by cookie: X-CSRF-Token of what they change."""

    user: AccountView
    csrf_token: str | None


class AuthRoutes:
    def __init__(
        self,
        auth: AuthService,
        recovery: AccountRecovery,
        sessions: SessionService,
        forgery_check: ForgeryCheck | None = None,
    ) -> None:
        self._auth = auth
        self._recovery = recovery
        self._sessions = sessions
        self._forgery_check = forgery_check or ForgeryCheck()

    def routes(self) -> list[Route]:
        return [*self._signing_in(), *self._passwords_and_addresses()]

    def _signing_in(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/auth/register",
                self.register,
                "Make an account and sign in",
                body=RegisterBody,
                response=Welcomed,
                status=HTTPStatus.CREATED,
                errors=((409, "username_taken"), (409, "email_taken")),
                limit=Limit.AUTHENTICATION,
            ),
            Route(
                "POST",
                "/auth/login",
                self.login,
                "Sign in",
                body=LoginBody,
                response=LoginAnswer,
                errors=(
                    (401, "invalid_credentials"),
                    (401, "invalid_two_factor_code"),
                    (403, "account_suspended"),
                    (403, "account_banned"),
                ),
                limit=Limit.AUTHENTICATION,
            ),
            Route(
                "POST",
                "/auth/refresh",
                self.refresh,
                "Exchange the refresh cookie for a new one and an access token",
                response=Refreshed,
                errors=((401, "invalid_refresh_token"), (409, "refresh_just_used")),
                takes_refresh_cookie=True,
            ),
            Route("POST", "/auth/logout", self.logout, "Sign out"),
            Route(
                "GET",
                "/auth/session",
                self.session,
                "Who is signed in",
                access=Access.USER,
                response=SessionState,
            ),
        ]

    def _passwords_and_addresses(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/auth/verify-email",
                self.verify_email,
                "Verify an address by the mailed code, or have another code mailed",
                body=VerifyEmailBody,
                limit=Limit.AUTHENTICATION,
            ),
            Route(
                "POST",
                "/auth/password/forgot",
                self.forgot_password,
                "Have a code for a new password mailed",
                body=ForgotBody,
                limit=Limit.AUTHENTICATION,
            ),
            Route(
                "POST",
                "/auth/password/reset",
                self.reset_password,
                "Set a new password by the mailed code; ends all sessions",
                body=ResetBody,
                limit=Limit.AUTHENTICATION,
            ),
            Route(
                "PATCH",
                "/auth/password",
                self.change_password,
                "Change the password; ends all other sessions",
                access=Access.USER,
                body=ChangePasswordBody,
                errors=((403, "wrong_password"),),
                limit=Limit.AUTHENTICATION,
            ),
        ]

    async def register(self, call: Call[RegisterBody, None]) -> Reply:
        body = call.body
        if not body.accept_terms:
            raise invalid("acceptTerms", "must be true")
        self._forgery_check.check_origin(call.request)
        wanted = Registration(body.email, body.username, body.password, body.display_name or body.username)
        welcome = await self._auth.register(wanted, client_of(call))
        return await _signed_in(call, welcome, Welcomed)

    async def login(self, call: Call[LoginBody, None]) -> Reply:
        body = call.body
        self._forgery_check.check_origin(call.request)
        login = Login(body.username, body.password, body.two_factor_code, body.remember_me)
        welcome = await self._auth.login(login, client_of(call))
        if welcome is None:
            return Reply(LoginAnswer(requires_two_factor=True))
        return await _signed_in(call, welcome, LoginAnswer)

    async def refresh(self, call: Call[None, None]) -> Reply:
        self._forgery_check.check_origin(call.request)
        signed_in = await self._sessions.refresh(refresh_token_in(call.request), call.address)
        return Reply(Refreshed(access_token=signed_in.access_token), cookies=[_cookie(signed_in)])

    async def logout(self, call: Call[None, None]) -> Reply:
        self._forgery_check.check_origin(call.request)
        await self._sessions.close(refresh_token_in(call.request), call.principal.session_id, call.address)
        await close_page_session(call.request)
        return Reply(message="Signed out.", cookies=[no_refresh_cookie()])

    async def session(self, call: Call[None, None]) -> SessionState:
        page = await page_session_of(call.request)
        is_by_page = hdrs.AUTHORIZATION not in call.request.headers
        token = page.csrf_token if page is not None and is_by_page else None
        return SessionState(user=await self._auth.account(call.user_id), csrf_token=token)

    async def verify_email(self, call: Call[VerifyEmailBody, None]) -> Reply:
        if call.body.code is None:
            self._recovery.ask_verification(call.body.email)
            return Reply(message=_ASKED)
        await self._recovery.verify(call.body.email, call.body.code, call.address)
        return Reply(message="The address is verified.")

    async def forgot_password(self, call: Call[ForgotBody, None]) -> Reply:
        self._recovery.forgot(call.body.email, call.address)
        return Reply(message=_ASKED)

    async def reset_password(self, call: Call[ResetBody, None]) -> Reply:
        body = call.body
        await self._recovery.reset(body.email, body.code, body.password, call.address)
        return Reply(message="The password is set; sign in with it.", cookies=[no_refresh_cookie()])

    async def change_password(self, call: Call[ChangePasswordBody, None]) -> Reply:
        passwords = (call.body.current_password, call.body.new_password)
        await self._recovery.change(call.user_id, call.principal.session_id, passwords, call.address)
        return Reply(message="The password is changed.")


def client_of(call: Call[Any, Any]) -> Client:
    """Where a call comes from, as a session remembers it."""
    agent = call.request.headers.get(hdrs.USER_AGENT, "")
    return Client(call.address, agent[:MAX_USER_AGENT_LENGTH])


async def _signed_in(
    call: Call[Any, Any], welcome: Welcome, answer: type[Welcomed] | type[LoginAnswer]
) -> Reply:
    signed_in = welcome.signed_in
    await open_page_session(call.request, signed_in.user_id, signed_in.session_id)
    data = answer(user=welcome.user, access_token=signed_in.access_token)
    return Reply(data, cookies=[_cookie(signed_in)])


def _cookie(signed_in: SignedIn) -> Any:
    return refresh_cookie(signed_in.refresh_token, signed_in.lifetime)
