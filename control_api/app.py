"""The control API as a part of an aiohttp application: routes, document, and what is said of the rest."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import hdrs, web
from aiohttp_session import AbstractStorage, session_middleware

from control_api.dispatch import OUTAGES, Dispatcher
from control_api.docs_page import CONTENT_SECURITY_POLICY, page
from control_api.errors import ApiError, unavailable
from control_api.openapi import document
from control_api.routing import PREFIX, Noun, Route
from storage.errors import StorageError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PREFLIGHT_SECONDS: Final = 86_400
ALLOWED_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, If-Match, X-Csrf-Token, X-Request-Id"
EXPOSED_HEADERS: Final = (
    "ETag, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Request-Id"
)


class ControlApi:
    """``add_to`` puts everything into an application. Pages of ``origins`` may call it with cookies."""

    def __init__(
        self,
        nouns: Sequence[Noun],
        dispatcher: Dispatcher,
        version: str,
        public_url: str,
        origins: Sequence[str] = (),
        sessions: AbstractStorage | None = None,
    ) -> None:
        """``sessions`` are those of pages; without, only programs can sign in."""
        self.routes: Final[list[Route]] = [route for noun in nouns for route in noun.routes()]
        self._dispatcher = dispatcher
        self._origins = frozenset(origins)
        described = document(self.routes, version, public_url, dispatcher.body_limits)
        self._document = msgspec.json.encode(described)
        self._page = page(self.routes, version)
        self._sessions = session_middleware(sessions) if sessions is not None else None

    def add_to(self, app: web.Application) -> None:
        for route in sorted(self.routes, key=_literal_first):
            app.router.add_route(route.method, PREFIX + route.path, self._dispatcher.handler(route))
        app.router.add_get("/openapi.json", self._openapi)
        app.router.add_get("/docs", self._docs)
        app.router.add_route("*", PREFIX + "/{rest:.*}", self._rest)
        app.on_response_prepare.append(self._allow_origin)
        app.middlewares.append(self._with_session)

    @web.middleware
    async def _with_session(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A page's session, for the API only: media has no use for one."""
        if self._sessions is None or not request.path.startswith(PREFIX):
            return await handler(request)
        try:
            response: web.StreamResponse = await self._sessions(request, handler)
        except (StorageError, *OUTAGES):
            # Sessions are saved when the dispatcher is done with the request.
            return self._dispatcher.refuse(request, unavailable())
        return response

    async def _openapi(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type="application/json")

    async def _docs(self, _request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return web.Response(body=self._page, content_type="text/html", charset="utf-8", headers=headers)

    async def _rest(self, request: web.Request) -> web.Response:
        """Preflights; methods that a path does not have; paths that are not there."""
        methods = await self._methods(request)
        if not methods:
            error = ApiError(HTTPStatus.NOT_FOUND, "not_found", f"There is nothing at {request.path}.")
            return await self._dispatcher.refuse_counted(request, error)
        allowed = ", ".join(sorted(methods | {hdrs.METH_OPTIONS}))
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(status=HTTPStatus.NO_CONTENT, headers=_preflight(allowed))
        error = ApiError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "method_not_allowed",
            f"{request.path} takes {allowed}.",
            headers={hdrs.ALLOW: allowed},
        )
        return await self._dispatcher.refuse_counted(request, error)

    async def _methods(self, request: web.Request) -> set[str]:
        """The methods that a route answers at the request's path."""
        found: set[str] = set()
        for resource in request.app.router.resources():
            if resource.canonical.startswith(PREFIX) and not resource.canonical.endswith("/{rest}"):
                _, methods = await resource.resolve(request)
                found |= methods
        return found

    async def _allow_origin(self, request: web.Request, response: web.StreamResponse) -> None:
        """CORS: without an entry in the list, other people's pages get nothing."""
        if not request.path.startswith(PREFIX):
            return
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin in self._origins:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS


def _preflight(allowed: str) -> dict[str, str]:
    return {
        hdrs.ALLOW: allowed,
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: allowed,
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOWED_HEADERS,
        hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
    }


def _literal_first(route: Route) -> list[bool]:
    """Sorts ``/users/me`` before ``/users/{id}``: aiohttp takes the first that fits."""
    return [part.startswith("{") for part in route.path.split("/")]
