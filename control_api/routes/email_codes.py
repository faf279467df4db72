"""Signing in with a code that is mailed: ``/auth/otp``."""

from http import HTTPStatus
from typing import Final

from control_api.identity.cookies import refresh_cookie
from control_api.identity.rules import Code, Email
from control_api.identity.web_session import ForgeryCheck, open_page_session
from control_api.routes.auth import LoginAnswer, TwoFactorCode, client_of
from control_api.routing import Call, Limit, Reply, Route
from control_api.schemas import Body
from control_api.services.email_codes import CodeLogin, EmailLogin

_ASKED: Final = "If there is an account with this address, a code is on its way."


class AskForCode(Body):
    email: Email


class CodeLoginBody(Body):
    email: Email
    code: Code
    two_factor_code: TwoFactorCode | None = None
    remember_me: bool = False


class EmailCodeRoutes:
    def __init__(self, email_login: EmailLogin, forgery_check: ForgeryCheck | None = None) -> None:
        self._email_login = email_login
        self._forgery_check = forgery_check or ForgeryCheck()

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/auth/otp/send",
                self.send,
                "Have a code for signing in mailed",
                body=AskForCode,
                limit=Limit.AUTHENTICATION,
            ),
            Route(
                "POST",
                "/auth/otp/login",
                self.login,
                "Sign in with a mailed code",
                body=CodeLoginBody,
                response=LoginAnswer,
                errors=[
                    (HTTPStatus.UNAUTHORIZED, "invalid_credentials"),
                    (HTTPStatus.UNAUTHORIZED, "invalid_two_factor_code"),
                    (HTTPStatus.FORBIDDEN, "account_inactive"),
                ],
                limit=Limit.AUTHENTICATION,
            ),
        ]

    async def send(self, call: Call[AskForCode, None]) -> Reply:
        self._email_login.send(call.body.email, call.address)
        return Reply(message=_ASKED)

    async def login(self, call: Call[CodeLoginBody, None]) -> Reply:
        body = call.body
        self._forgery_check.check_origin(call.request)
        login = CodeLogin(body.email, body.code, body.two_factor_code, body.remember_me)
        welcome = await self._email_login.login(login, client_of(call))
        if welcome is None:
            return Reply(LoginAnswer(requires_two_factor=True))
        signed_in = welcome.signed_in
        await open_page_session(call.request, signed_in.user_id, signed_in.session_id)
        cookie = refresh_cookie(signed_in.refresh_token, signed_in.lifetime)
        return Reply(LoginAnswer(user=welcome.user, access_token=signed_in.access_token), cookies=[cookie])
