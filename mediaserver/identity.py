"""Who somebody is: the services of signing up and in, wired together."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from control_api.identity.errands import Errands
from control_api.identity.ports import Wallets
from control_api.identity.recovery import AccountRecovery, RecoveryParts
from control_api.identity.session_states import SessionStates
from control_api.identity.throttle import LoginLimits, LoginThrottle
from control_api.identity.tokens import AccessTokens, Algorithm, RefreshTokens
from control_api.identity.web_session import ForgeryCheck
from control_api.mail import Mailer
from control_api.routes.api_keys import ApiKeyRoutes
from control_api.routes.audit import AuditRoutes
from control_api.routes.auth import AuthRoutes
from control_api.routes.email_codes import EmailCodeRoutes
from control_api.routes.sessions import SessionRoutes
from control_api.routes.two_factor import TwoFactorRoutes
from control_api.routing import Noun
from control_api.services.account_view import AccountViews
from control_api.services.api_keys import ApiKeyLookup, ApiKeyService
from control_api.services.auth import AuthParts, AuthService
from control_api.services.email_codes import EmailLogin, EmailLoginParts, OneTimeCodes
from control_api.services.sessions import SessionService
from control_api.services.two_factor import TwoFactorService
from mediaserver.config import Settings
from mediaserver.config.settings import ApiSettings
from storage.bus import Bus
from storage.database import Database
from storage.passwords import Passwords
from storage.shared_state import SharedState

# So many times the attempts that are allowed on one account from one address.
ATTEMPTS_FROM_ANYWHERE: Final = 10
ATTEMPTS_ON_ANYBODY: Final = 20


class Identity:
    """Close it after use."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        passwords: Passwords,
        secret: bytes,
        state: SharedState,
        mail: Mailer,
        settings: Settings,
        wallets: Wallets | None = None,
    ) -> None:
        api = settings.api
        self._database = database
        self._errands = Errands()
        codes = OneTimeCodes(database, secret)
        self.throttle: Final = LoginThrottle(state, login_limits(api))
        self.access_tokens: Final = AccessTokens(
            secret,
            Algorithm(api.access_token_algorithm.value),
            timedelta(seconds=api.access_token_seconds),
        )
        self.states: Final = SessionStates(database, bus)
        self.api_keys: Final = ApiKeyLookup(database)
        self.sessions: Final = SessionService(database, bus, self.access_tokens, RefreshTokens(secret))
        self._recovery = AccountRecovery(
            database, RecoveryParts(passwords, codes, mail, state, self.throttle, self._errands, bus)
        )
        self._two_factor = TwoFactorService(database, secret, self._recovery, state, mail)
        self._auth = AuthService(
            database,
            AuthParts(
                passwords,
                self.sessions,
                self._recovery,
                self._two_factor,
                self.throttle,
                self._errands,
                AccountViews(wallets),
            ),
        )
        self._email_login = EmailLogin(
            database,
            EmailLoginParts(codes, self._auth, self._two_factor, self.throttle, state, self._errands, mail),
        )

    def nouns(self, forgery_check: ForgeryCheck) -> Sequence[Noun]:
        database = self._database
        return [
            AuthRoutes(self._auth, self._recovery, self.sessions, forgery_check),
            SessionRoutes(self.sessions),
            EmailCodeRoutes(self._email_login, forgery_check),
            TwoFactorRoutes(self._two_factor),
            ApiKeyRoutes(ApiKeyService(database)),
            AuditRoutes(database),
        ]

    async def close(self) -> None:
        await self._errands.close()


def login_limits(api: ApiSettings) -> LoginLimits:
    """One setting scales all budgets: who allows more attempts at an account allows more at all of them."""
    attempts = api.authentications_per_window
    return LoginLimits(
        attempts, account=ATTEMPTS_FROM_ANYWHERE * attempts, address=ATTEMPTS_ON_ANYBODY * attempts
    )
