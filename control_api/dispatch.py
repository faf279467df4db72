"""From an HTTP request to a handler and back: the same steps, in the same order, for every route.

1. Who asks (a credential that is there but wrong is an error, and counts against the address).
2. Is it too often.
3. May such a one call the route at all.
4. What is asked, checked against the route's Structs.
5. The handler; what it returns, or raises, as an envelope.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Protocol

import structlog
from aiohttp import hdrs, web

from control_api.decoding import NUL, read_body, read_query
from control_api.encoding import failure, success
from control_api.errors import ApiError, conflict, forbidden, invalid, unauthorized, unavailable
from control_api.idempotency import Idempotency
from control_api.principal import ANONYMOUS, Principal
from control_api.routing import BodyLimits, Call, Limit, Route
from storage.errors import Conflict, DatabaseUnavailable, InvalidValue

logger = structlog.get_logger("mediaserver.api")

OUTAGES: Final = (DatabaseUnavailable, TimeoutError)


class Authenticator(Protocol):
    async def principal(self, request: web.Request, address: str) -> Principal:
        """Who asks; ANONYMOUS without a credential. ApiError 401 for a wrong one, 403 for a forgery."""


class RateLimiter(Protocol):
    async def check(self, limit: Limit, principal: Principal, address: str) -> dict[str, str]:
        """Count a call; the headers that tell what is left. Raises ApiError 429."""


@dataclass(frozen=True, slots=True)
class DispatchOptions:
    """``address_of`` is the client's IP address, ``request_id_of`` the id of the request in logs and answers.

    ``is_secure`` says whether browsers come over HTTPS: then cookies are for HTTPS only.
    """

    address_of: Callable[[web.Request], str]
    request_id_of: Callable[[web.Request], str]
    is_secure: bool = False
    body_limits: BodyLimits = field(default_factory=BodyLimits)


class Dispatcher:
    def __init__(
        self,
        authenticator: Authenticator,
        rate_limiter: RateLimiter,
        idempotency: Idempotency,
        options: DispatchOptions,
    ) -> None:
        self._authenticator = authenticator
        self._rate_limiter = rate_limiter
        self._idempotency = idempotency
        self._options = options

    @property
    def body_limits(self) -> BodyLimits:
        return self._options.body_limits

    def handler(self, route: Route) -> Callable[[web.Request], Any]:
        """An aiohttp handler for ``route``."""

        async def handle(request: web.Request) -> web.Response:
            return await self._guarded(request, lambda headers: self._answer(route, request, headers))

        return handle

    async def refuse_counted(self, request: web.Request, error: ApiError) -> web.Response:
        """``error`` for what no route answers; it counts like a call, so that nobody probes for free."""

        async def answer(headers: dict[str, str]) -> web.Response:
            address = self._options.address_of(request)
            try:
                principal = await self._authenticator.principal(request, address)
            except ApiError:
                principal = ANONYMOUS
            headers.update(await self._rate_limiter.check(Limit.GENERAL, principal, address))
            raise error

        return await self._guarded(request, answer)

    def refuse(self, request: web.Request, error: ApiError) -> web.Response:
        return failure(error, request, self._options.request_id_of(request))

    async def _guarded(
        self, request: web.Request, answer: Callable[[dict[str, str]], Awaitable[web.Response]]
    ) -> web.Response:
        """What ``answer`` returns or raises, with the headers that it notes."""
        headers: dict[str, str] = {}
        try:
            response = await answer(headers)
        except ApiError as error:
            response = self.refuse(request, error)
        except ConnectionError:
            raise  # the peer left; there is nobody to answer
        except Exception as error:
            response = self.refuse(request, _as_api_error(error))
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response

    async def _answer(self, route: Route, request: web.Request, headers: dict[str, str]) -> web.Response:
        address = self._options.address_of(request)
        principal = await self._principal(route, request, address, headers)
        headers.update(await self._rate_limiter.check(route.limit, principal, address))
        _check_access(route, principal)
        call = await self._call(route, request, principal, address)

        async def act() -> web.Response:
            return success(await route.handler(call), route.status, self._options.is_secure)

        keeps_answer = route.needs_idempotency_key and not route.has_own_keys
        return await (self._idempotency.answer(call, act) if keeps_answer else act())

    async def _principal(
        self, route: Route, request: web.Request, address: str, headers: dict[str, str]
    ) -> Principal:
        try:
            return await self._authenticator.principal(request, address)
        except ApiError:
            headers.update(await self._rate_limiter.check(route.limit, ANONYMOUS, address))
            raise

    async def _call(
        self, route: Route, request: web.Request, principal: Principal, address: str
    ) -> Call[Any, Any]:
        path = dict(request.match_info)
        for name, value in path.items():
            if NUL in value or not value.isprintable():
                raise invalid(name, "holds a character that cannot be")
        if route.upload_types and request.content_type not in route.upload_types:
            raise ApiError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                f"Send one of {', '.join(route.upload_types)}.",
            )
        return Call(
            principal=principal,
            query=read_query(request, route.query),
            body=await read_body(request, route.body),
            path=path,
            address=address,
            request=request,
            request_id=self._options.request_id_of(request),
            if_match=_version(request.headers.get(hdrs.IF_MATCH)) if route.takes_if_match else None,
            max_bytes=self._options.body_limits.of(route),
        )


def _check_access(route: Route, principal: Principal) -> None:
    if not route.access.admits(principal.role):
        if principal.is_anonymous:
            raise unauthorized()
        raise forbidden("forbidden", f"This needs the role {route.access.value}.")
    if not principal.has_scope(route.scope):
        if route.scope is None:
            raise forbidden("missing_scope", "API keys cannot do this.")
        raise forbidden("missing_scope", f"The API key needs the scope {route.scope}.")


def _version(if_match: str | None) -> int | None:
    """The version that a client knows: None where it does not say, -1 for a tag that was never given out."""
    if if_match is None or if_match.strip() == "*":
        return None
    tag = if_match.strip().removeprefix("W/").strip('"')
    return int(tag) if tag.isascii() and tag.isdigit() and len(tag) < 10 else -1


def _as_api_error(error: Exception) -> ApiError:
    """What nobody below turned into an ApiError."""
    if isinstance(error, OUTAGES):
        logger.warning("api_unavailable", error=str(error))
        return unavailable()
    if isinstance(error, Conflict):
        return conflict("conflict", f"Taken already ({error.constraint}).")
    if isinstance(error, InvalidValue):
        return invalid(error.constraint or "body", "is not allowed")
    logger.error("api_failed", exc_info=error)
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong on the server.")
