"""The second factor: ``/auth/2fa``."""

from http import HTTPStatus

from control_api.errors import invalid
from control_api.identity.rules import AnyPassword
from control_api.principal import Access
from control_api.routes.auth import TwoFactorCode
from control_api.routing import Call, Limit, Route
from control_api.schemas import Body, Data
from control_api.services.two_factor import TwoFactorService


class FirstCode(Body):
    code: TwoFactorCode


class Disabling(Body):
    """One of the two."""

    password: AnyPassword | None = None
    code: TwoFactorCode | None = None


class SetupData(Data):
    """``qr_code`` is an SVG picture of ``otpauth_url`` as a data URL."""

    secret: str
    otpauth_url: str
    qr_code: str


class BackupCodes(Data):
    """Each is good once, in the place of a code from the app. Shown this once."""

    backup_codes: list[str]


class TwoFactorRoutes:
    def __init__(self, two_factor: TwoFactorService) -> None:
        self._two_factor = two_factor

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/auth/2fa/setup",
                self.set_up,
                "Get a secret for an authenticator app; good for 10 minutes",
                Access.USER,
                response=SetupData,
                errors=[(HTTPStatus.CONFLICT, "two_factor_already_enabled")],
            ),
            Route(
                "POST",
                "/auth/2fa/verify",
                self.verify,
                "Turn the second factor on with the app's first code",
                Access.USER,
                body=FirstCode,
                response=BackupCodes,
                limit=Limit.AUTHENTICATION,
                errors=[
                    (HTTPStatus.CONFLICT, "two_factor_already_enabled"),
                    (HTTPStatus.CONFLICT, "two_factor_not_set_up"),
                ],
            ),
            Route(
                "POST",
                "/auth/2fa/disable",
                self.disable,
                "Turn the second factor off with the password or a code",
                Access.USER,
                body=Disabling,
                limit=Limit.AUTHENTICATION,
                errors=[
                    (HTTPStatus.FORBIDDEN, "wrong_password"),
                    (HTTPStatus.CONFLICT, "two_factor_not_enabled"),
                ],
            ),
        ]

    async def set_up(self, call: Call[None, None]) -> SetupData:
        setup = await self._two_factor.set_up(call.user_id)
        return SetupData(secret=setup.secret, otpauth_url=setup.otpauth_url, qr_code=setup.qr_code)

    async def verify(self, call: Call[FirstCode, None]) -> BackupCodes:
        codes = await self._two_factor.confirm(call.user_id, call.body.code, call.address)
        return BackupCodes(backup_codes=codes)

    async def disable(self, call: Call[Disabling, None]) -> None:
        password, code = call.body.password, call.body.code
        if password is not None and code is None:
            await self._two_factor.disable_by_password(call.user_id, password, call.address)
        elif code is not None and password is None:
            await self._two_factor.disable_by_code(call.user_id, code, call.address)
        else:
            raise invalid("code", "give either the password or a code")
