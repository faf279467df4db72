"""From a request to the Principal who makes it, whichever way somebody signed in."""

from typing import Final

from aiohttp import hdrs, web

from control_api.errors import ApiError, unauthorized
from control_api.identity.ports import ApiKeyLookup, NoApiKeys
from control_api.identity.session_states import SessionStates
from control_api.identity.tokens import AccessTokens, TokenRefused
from control_api.identity.web_session import ForgeryCheck, page_session_of
from control_api.principal import ANONYMOUS, Principal
from control_api.routing import PREFIX

API_KEY_PREFIX: Final = "msk_"
# A token that ran out is what brings people to these; it must not be in their way.
_SIGNING_IN: Final = frozenset(
    f"{PREFIX}/auth/{name}" for name in ("register", "login", "otp/login", "refresh", "logout")
)


class Authenticator:
    """A bearer access token, a bearer API key, or a page's cookie, in this order."""

    def __init__(
        self,
        access_tokens: AccessTokens,
        states: SessionStates,
        api_keys: ApiKeyLookup | None = None,
        forgery_check: ForgeryCheck | None = None,
    ) -> None:
        self._access_tokens = access_tokens
        self._states = states
        self._api_keys = api_keys or NoApiKeys()
        self._forgery_check = forgery_check or ForgeryCheck()

    async def principal(self, request: web.Request, address: str) -> Principal:
        """Who asks; ANONYMOUS when nobody says so. Raises ApiError 401 for a credential that is not good.

        A cookie that no longer counts is no error: the browser sends it whether it wants to or not.
        """
        credential = request.headers.get(hdrs.AUTHORIZATION)
        if credential is None:
            return await self._of_page(request)
        try:
            return await self._of_bearer(credential)
        except ApiError:
            if request.path in _SIGNING_IN:
                return ANONYMOUS
            raise

    async def of_access_token(self, token: str) -> Principal:
        """Raises ApiError 401; also for doors that take the token elsewhere than in the header."""
        try:
            claims = self._access_tokens.read(token)
        except TokenRefused as error:
            if error.is_expired:
                raise unauthorized("token_expired", "The access token ran out; refresh it.") from error
            raise unauthorized("invalid_token", "The access token is not valid.") from error
        role = await self._states.role_of(claims.user_id, claims.session_id)
        if role is None:
            raise unauthorized("session_ended", "The session is over; sign in again.")
        return Principal(claims.user_id, role, claims.session_id)

    async def _of_bearer(self, credential: str) -> Principal:
        scheme, _, token = credential.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise unauthorized("invalid_token", "Authorization takes a bearer token.")
        if not token.startswith(API_KEY_PREFIX):
            return await self.of_access_token(token)
        principal = await self._api_keys.principal_of(token)
        if principal is None:
            raise unauthorized("invalid_api_key", "The API key is not valid.")
        return principal

    async def _of_page(self, request: web.Request) -> Principal:
        page = await page_session_of(request)
        if page is None:
            return ANONYMOUS
        role = await self._states.role_of(page.user_id, page.session_id)
        if role is None or not self._forgery_check.is_wanted(request, page.csrf_token):
            return ANONYMOUS
        return Principal(page.user_id, role, page.session_id)
