"""What the OpenAPI document says of every operation alike: how to sign in, and the headers of answers."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from control_api.identity.authenticator import API_KEY_PREFIX
from control_api.identity.cookies import REFRESH_COOKIE
from control_api.identity.web_session import COOKIE, CSRF_HEADER, SAFE_METHODS
from control_api.principal import Access
from control_api.routing import Route

DESCRIPTION: Final = """Answers are an envelope, or RFC 9457 problem details for those who accept
`application/problem+json`. Send `X-Request-Id` to find a request again in answers and logs; without, the
server makes one up. Lists go on at `meta.nextCursor`. An `ETag` sent back as `If-Match` guards a change
against overwriting somebody else's."""

_ACCESS_TOKEN: Final = "accessToken"
_API_KEY: Final = "apiKey"
_PAGE_SESSION: Final = "pageSession"
_CSRF_TOKEN: Final = "csrfToken"
_REFRESH_TOKEN: Final = "refreshToken"

SECURITY_SCHEMES: Final[Mapping[str, Any]] = {
    _ACCESS_TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token, as signing in and POST /auth/refresh give out.",
    },
    _API_KEY: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": f"{API_KEY_PREFIX}…",
        "description": "An API key with the scope that the operation names; others are closed to API keys.",
    },
    _PAGE_SESSION: {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "The session of a page of this server. It counts where there is no bearer token.",
    },
    _CSRF_TOKEN: {
        "type": "apiKey",
        "in": "header",
        "name": CSRF_HEADER,
        "description": "Beside the session's cookie, to change something: csrfToken of GET /auth/session.",
    },
    _REFRESH_TOKEN: {
        "type": "apiKey",
        "in": "cookie",
        "name": REFRESH_COOKIE,
        "description": "The refresh token, which is sent to /auth alone and is good for one use.",
    },
}


def security(route: Route) -> list[dict[str, list[str]]]:
    """Every way to call ``route``, each with what it needs; the empty one is without signing in."""
    if route.takes_refresh_cookie:
        return [{_REFRESH_TOKEN: []}]
    page: dict[str, list[str]] = {_PAGE_SESSION: []}
    if changes_something(route):
        page[_CSRF_TOKEN] = []
    ways: list[dict[str, list[str]]] = [{_ACCESS_TOKEN: []}, page]
    if route.scope is not None:
        ways.insert(1, {_API_KEY: [route.scope]})
    # Also public routes tell more to somebody they know.
    return [{}, *ways] if route.access is Access.PUBLIC else ways


def changes_something(route: Route) -> bool:
    """Whether other sites' pages must be kept from calling it with a cookie."""
    return route.method not in SAFE_METHODS


def _header(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "schema": schema}


_COUNT: Final = {"type": "integer", "minimum": 0}
_SECONDS: Final = {"type": "integer", "minimum": 1}

HEADERS: Final[Mapping[str, Any]] = {
    "X-Request-Id": _header("The id of the request in answers and logs.", {"type": "string"}),
    "RateLimit-Limit": _header("Calls in a window of the budget that this one was taken from.", _COUNT),
    "RateLimit-Remaining": _header("Calls that are left of it.", _COUNT),
    "RateLimit-Reset": _header("Seconds until calls come free again.", _SECONDS),
    "Retry-After": _header("Seconds to wait before asking again.", _SECONDS),
    "ETag": _header('The version of what is answered, such as "7".', {"type": "string"}),
    "WWW-Authenticate": _header("How to sign in.", {"type": "string"}),
}
_EVERYWHERE: Final = ("X-Request-Id", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_BY_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After",),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After",),
}

IF_MATCH: Final[Mapping[str, Any]] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag that you know. The call is refused with 412 if it is no longer the current one.",
    "schema": {"type": "string"},
}


def headers(route: Route, status: int) -> dict[str, Any]:
    """The headers of the answer with ``status``, as references to HEADERS."""
    names = (*_EVERYWHERE, *_BY_STATUS.get(status, ()))
    if route.gives_etag and status == route.status:
        names = (*names, "ETag")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
