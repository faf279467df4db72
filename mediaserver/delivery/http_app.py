"""The HTTP application: what every answer has in common.

Media doors are open to any origin, since players run on other people's pages; everything else is same-origin.
"""

import uuid
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import hdrs, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RawHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

MEDIA_PREFIXES: Final = ("/live/", "/hls/")
DEFAULT_MAX_BODY_BYTES: Final = 1024 * 1024
MAX_REQUEST_ID: Final = 64
HANDSHAKE_HEADERS: Final = (
    hdrs.UPGRADE,
    hdrs.CONNECTION,
    hdrs.SEC_WEBSOCKET_KEY,
    hdrs.SEC_WEBSOCKET_VERSION,
    hdrs.SEC_WEBSOCKET_PROTOCOL,
)
REQUEST_ID_HEADER: Final = "X-Request-Id"
REQUEST_ID: Final = web.RequestKey("request_id", str)
PREFLIGHT_MAX_AGE_SECONDS: Final = 86_400

logger = structlog.get_logger("mediaserver.http")


def create_http_app(max_body_bytes: int = DEFAULT_MAX_BODY_BYTES) -> web.Application:
    """An application without routes: CORS for media, request ids, and no traceback in any answer."""
    middlewares = [_request_context, _readable_handshake, _media_preflight]
    app = web.Application(middlewares=middlewares, client_max_size=max_body_bytes)
    app.on_response_prepare.append(_add_common_headers)
    return app


def with_readable_expectation(handle: RawHandler) -> RawHandler:
    """``handle``, but for an ``Expect`` that aiohttp fails at before any route or middleware is asked.

    It repeats what it does not know in its 417, and encodes that unchecked.
    """

    async def checked(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get(hdrs.EXPECT, "").isascii():
            return await handle(request)
        response = web.Response(status=417, text="Expect: only 100-continue is known\n")
        await _add_common_headers(request, response)
        return response

    return checked


@web.middleware
async def _request_context(request: web.Request, handler: Handler) -> web.StreamResponse:
    request_id = _request_id(request)
    request[REQUEST_ID] = request_id
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except ConnectionError:
            raise  # the peer left; there is nobody to answer
        except Exception:
            logger.exception("request_failed", method=request.method, path=request.path)
            return web.Response(status=500, text=f"internal error; request id {request_id}\n")


@web.middleware
async def _readable_handshake(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what aiohttp's WebSockets would fail at: they encode these headers as ASCII, unchecked."""
    if hdrs.UPGRADE in request.headers:
        for name in HANDSHAKE_HEADERS:
            if not request.headers.get(name, "").isascii():
                raise web.HTTPBadRequest(text=f"{name}: has characters that are not ASCII")
    return await handler(request)


@web.middleware
async def _media_preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method != hdrs.METH_OPTIONS or not request.path.startswith(MEDIA_PREFIXES):
        return await handler(request)
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, HEAD, OPTIONS",
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Range",
            hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_MAX_AGE_SECONDS),
        },
    )


async def _add_common_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    headers = response.headers
    headers[hdrs.SERVER] = "mediaserver"
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if REQUEST_ID in request:
        headers[REQUEST_ID_HEADER] = request[REQUEST_ID]
    if request.path.startswith(MEDIA_PREFIXES):
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = f"{REQUEST_ID_HEADER}, Retry-After"


def _request_id(request: web.Request) -> str:
    """The caller's id if it is printable and short, so that it cannot forge log lines; else a new one."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    if given and len(given) <= MAX_REQUEST_ID and given.replace("-", "").isalnum() and given.isascii():
        return given
    return uuid.uuid4().hex
