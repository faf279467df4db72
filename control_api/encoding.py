"""Answers: the envelope, errors in it or as RFC 9457 problem details, cookies and entity tags."""

from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web

from control_api.decoding import JSON_TYPE
from control_api.errors import ApiError
from control_api.pagination import Page
from control_api.routing import Cookie, Reply

PROBLEM_TYPE: Final = "application/problem+json"
SAFE_HEADERS: Final = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def success(result: Any, status: int, is_secure: bool) -> web.Response:
    """What a handler returned, as a response with ``status``. Cookies are Secure if ``is_secure``."""
    reply = result if isinstance(result, Reply) else Reply(result)
    status = reply.status or status
    if reply.raw is not None:
        response = web.Response(body=reply.raw, status=status, headers=SAFE_HEADERS)
        response.headers[hdrs.CONTENT_TYPE] = reply.content_type
    else:
        response = _json(envelope(reply), status)
    response.headers.update(reply.headers)
    if reply.version is not None:
        response.headers[hdrs.ETAG] = f'"{reply.version}"'
    for cookie in reply.cookies:
        _set_cookie(response, cookie, is_secure)
    return response


def envelope(reply: Reply) -> dict[str, Any]:
    body: dict[str, Any] = {"success": True}
    if isinstance(reply.data, Page):
        body["data"] = reply.data.items
        body["meta"] = {"nextCursor": reply.data.next_cursor}
    else:
        body["data"] = reply.data
    if reply.message is not None:
        body["message"] = reply.message
    return body


def failure(error: ApiError, request: web.Request, request_id: str) -> web.Response:
    """``error`` in the envelope, or as problem details for those who ask for them."""
    details = [{"field": detail.field, "message": detail.message} for detail in error.details]
    if PROBLEM_TYPE in request.headers.get(hdrs.ACCEPT, ""):
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(error.status).phrase,
            "status": int(error.status),
            "detail": error.message,
            "code": error.code,
            "errors": details,
            "requestId": request_id,
        }
        response = _json(body, error.status, PROBLEM_TYPE)
    else:
        body = {"success": False, "error": error.message, "code": error.code}
        response = _json(body | {"details": details, "requestId": request_id}, error.status)
    response.headers.update(error.headers)
    return response


def _json(body: Any, status: int, content_type: str = JSON_TYPE) -> web.Response:
    encoded = msgspec.json.encode(body)
    return web.Response(body=encoded, status=status, content_type=content_type, headers=SAFE_HEADERS)


def _set_cookie(response: web.Response, cookie: Cookie, is_secure: bool) -> None:
    response.set_cookie(
        cookie.name,
        cookie.value,
        max_age=cookie.max_age,
        path=cookie.path,
        httponly=True,
        secure=is_secure,
        samesite="Lax",
    )
