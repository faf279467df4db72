"""What a route is: one table row that the dispatcher, the limits and the OpenAPI document are made from."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

from aiohttp import web

from control_api.errors import not_found, unauthorized
from control_api.principal import Access, Principal

PREFIX: Final = "/api/v1"
MIB: Final = 1024 * 1024

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")


class Limit(Enum):
    """Which budget a call is taken from; the figures are settings."""

    GENERAL = "general"
    """Per user, or per address for who has not signed in."""
    AUTHENTICATION = "authentication"
    """Per address, and per account where the service knows it."""
    UPLOAD = "upload"
    """Per user."""
    PROVIDER = "provider"
    """Per address: what a payment provider tells comes from few of them."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The longest JSON body, which the HTTP application holds to, and the longest raw one."""

    body_bytes: int = MIB
    upload_bytes: int = 100 * MIB

    def of(self, route: "Route") -> int:
        """The longest body that ``route`` takes."""
        if not route.upload_types:
            return self.body_bytes
        return min(self.upload_bytes, route.max_upload_bytes or self.upload_bytes)


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT, QueryT]):
    """One request, checked: ``body`` and ``query`` are of the route's types (None where it has none).

    ``path`` holds the parts of the path in braces, ``address`` is the client's. ``if_match`` is the version
    that the client knows (ETag ``"7"``), if it said so and the route takes it. ``max_bytes`` is for the
    handler that reads a raw body itself.
    """

    principal: Principal
    body: BodyT
    query: QueryT
    path: Mapping[str, str]
    address: str
    request: web.Request
    request_id: str
    if_match: int | None = None
    max_bytes: int = MIB

    @property
    def user_id(self) -> UUID:
        """Who asks, on routes that need somebody."""
        if self.principal.user_id is None:
            raise unauthorized()
        return self.principal.user_id

    def path_id(self, name: str, noun: str) -> UUID:
        """The id in the path. Something else is no id of anything: 404, as for an id that nobody has."""
        text = self.path[name]
        try:
            parsed = UUID(text)
        except ValueError:
            raise not_found(noun) from None
        if str(parsed) != text.lower():
            raise not_found(noun)
        return parsed


@dataclass(frozen=True, slots=True)
class Cookie:
    """``max_age`` in seconds; 0 deletes it. Always HttpOnly and SameSite=Lax, Secure behind HTTPS."""

    name: str
    value: str
    max_age: int
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with more than data: a handler may return this instead of the bare data.

    ``version`` becomes the ETag. With ``raw`` the bytes are sent as they are, as ``content_type``.
    """

    data: Any = None
    message: str | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Sequence[Cookie] = ()
    version: int | None = None
    raw: bytes | None = None
    content_type: str = "application/octet-stream"


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` is below PREFIX, with ``{name}`` parts.

    ``response`` is what the handler returns: a Data class, ``list[Data]`` for a Page, or None for no data.
    ``errors`` are (status, code) beyond those that every route may have (400, 401, 403, 413, 415, 429, 503).
    ``scope`` is what an API key must have (``rooms:write``); None closes the route to API keys.
    ``upload_types`` are the media types of a raw body that the handler reads from ``call.request`` itself, up
    to ``call.max_bytes``: ``max_upload_bytes`` where the settings do not allow even that.
    ``takes_if_match`` says that ``call.if_match`` is heeded, ``gives_etag`` that the answer has a version.
    ``has_own_keys`` says that the handler itself does once what is asked for under an ``Idempotency-Key``,
    and tells again what came of it: then the dispatcher keeps no answer.
    ``takes_refresh_cookie`` is for the routes where that cookie counts, whoever asks.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    access: Access = Access.PUBLIC
    body: type[Any] | None = None
    query: type[Any] | None = None
    response: Any = None
    status: int = HTTPStatus.OK
    errors: Sequence[tuple[int, str]] = ()
    limit: Limit = Limit.GENERAL
    scope: str | None = None
    needs_idempotency_key: bool = False
    has_own_keys: bool = False
    upload_types: Sequence[str] = ()
    max_upload_bytes: int | None = None
    takes_if_match: bool = False
    gives_etag: bool = False
    takes_refresh_cookie: bool = False
    response_types: Sequence[str] = ("application/json",)

    @property
    def operation_id(self) -> str:
        """Unique: the handler's noun and name, such as ``rooms_create``."""
        owner = getattr(self.handler, "__self__", None)
        noun = type(owner).__name__.removesuffix("Routes").lower() if owner is not None else "api"
        return f"{noun}_{self.handler.__name__}"

    @property
    def tag(self) -> str:
        return self.path.split("/")[1]


class Noun(Protocol):
    """What a routes module offers the application."""

    def routes(self) -> Sequence[Route]: ...
