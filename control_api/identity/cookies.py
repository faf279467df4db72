"""The refresh token's cookie: sent to the addresses that exchange it, and to no other."""

from datetime import timedelta
from typing import Final

from aiohttp import web

from control_api.routing import PREFIX, Cookie

REFRESH_COOKIE: Final = "refresh"
REFRESH_PATH: Final = f"{PREFIX}/auth"
MAX_REFRESH_LENGTH: Final = 128


def refresh_cookie(token: str, lifetime: timedelta) -> Cookie:
    return Cookie(REFRESH_COOKIE, token, int(lifetime.total_seconds()), REFRESH_PATH)


def no_refresh_cookie() -> Cookie:
    """Deletes it."""
    return Cookie(REFRESH_COOKIE, "", 0, REFRESH_PATH)


def refresh_token_in(request: web.Request) -> str | None:
    """The token that the browser sent, if it can be one."""
    token = request.cookies.get(REFRESH_COOKIE)
    return token if token and len(token) <= MAX_REFRESH_LENGTH and token.isascii() else None
