"""Requests and answers of WHIP and WHEP: bodies, bearers, problems (RFC 9457) and headers for browsers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import hdrs, web
from msgspec import Struct

from sfu.ports import Refusal, RefusalReason
from sfu.protocol.sdp import MalformedDescription

SDP_TYPE: Final = "application/sdp"
FRAGMENT_TYPE: Final = "application/trickle-ice-sdpfrag"
ACCEPT_POST: Final = "Accept-Post"
ACCEPT_PATCH: Final = "Accept-Patch"
PROBLEM_TYPE: Final = "application/problem+json"
MAX_OFFER_BYTES: Final = 65_536
MAX_FRAGMENT_BYTES: Final = 32_768
MAX_BEARER_LENGTH: Final = 4_096
BODY_SECONDS: Final = 10.0
RETRY_AFTER_SECONDS: Final = 2
PREFLIGHT_SECONDS: Final = 86_400

_OPEN_TO_BROWSERS: Final = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "Location, Link, ETag, Accept-Post, Accept-Patch, Retry-After",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Content-Type-Options": "nosniff",
}
_PREFLIGHT: Final = {
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, If-Match",
    hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
}
_STATUS: Final = {
    RefusalReason.NO_SUCH_ROOM: HTTPStatus.NOT_FOUND,
    RefusalReason.NEEDS_TOKEN: HTTPStatus.UNAUTHORIZED,
    RefusalReason.FORBIDDEN: HTTPStatus.FORBIDDEN,
    RefusalReason.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}


class IceServer(Struct, frozen=True, kw_only=True):
    """A STUN or TURN server that clients are told of, such as `turn:turn.example.net?transport=udp`."""

    url: str
    username: str = ""
    credential: str = ""


class _ProblemDetails(Struct, omit_defaults=True):
    title: str
    status: int
    detail: str
    code: str
    line: int | None = None
    type: str = "about:blank"


class Problem(Exception):
    """A request that is refused; `line` is the line of its body that is to blame."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        line: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.line = line
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """Return the answer."""
        details = _ProblemDetails(self.status.phrase, self.status, self.detail, self.code, self.line)
        return web.Response(
            body=msgspec.json.encode(details),
            status=self.status,
            content_type=PROBLEM_TYPE,
            headers=self.headers,
        )


def retry_later(status: HTTPStatus, code: str, detail: str, seconds: int = RETRY_AFTER_SECONDS) -> Problem:
    """Return a problem that goes away by itself."""
    return Problem(status, code, detail, headers={hdrs.RETRY_AFTER: str(seconds)})


def refused(refusal: Refusal) -> Problem:
    """Return what is answered to somebody who may not."""
    headers: dict[str, str] = {}
    if refusal.reason is RefusalReason.NEEDS_TOKEN:
        headers = {hdrs.WWW_AUTHENTICATE: "Bearer"}
    elif refusal.reason is RefusalReason.UNAVAILABLE:
        headers = {hdrs.RETRY_AFTER: str(RETRY_AFTER_SECONDS)}
    return Problem(_STATUS[refusal.reason], refusal.code, refusal.description, headers=headers)


def malformed(error: MalformedDescription) -> Problem:
    """Return what is answered to a description that cannot be read."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "malformed_description",
        f"line {error.line}: {error.reason}",
        line=error.line,
    )


def bearer_of(request: web.Request) -> str | None:
    """Return the token of the Authorization header, if it is of the kind `Bearer`. Raises Problem."""
    scheme, _, bearer = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    bearer = bearer.strip()
    if scheme.lower() != "bearer" or not bearer:
        return None
    return _checked(bearer)


def token_of(request: web.Request) -> str | None:
    """Return the bearer or, for players that cannot set headers, the token in the address. Raises Problem."""
    return bearer_of(request) or _checked(request.query.get("token", "")) or None


def _checked(token: str) -> str:
    if len(token) > MAX_BEARER_LENGTH:
        raise Problem(HTTPStatus.BAD_REQUEST, "token_too_long", f"longer than {MAX_BEARER_LENGTH} characters")
    return token


async def read_text(request: web.Request, content_type: str, most: int) -> str:
    """Return the body. Raises Problem for another type, more than `most` bytes, or one that does not come."""
    if request.content_type != content_type:
        accepted = ACCEPT_POST if content_type == SDP_TYPE else ACCEPT_PATCH
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            f"the body is to be {content_type}",
            headers={accepted: content_type},
        )
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _read(request, most)
    except TimeoutError:
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "timeout", "the body did not come in time") from None
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise malformed(MalformedDescription(line, "not UTF-8")) from None


async def _read(request: web.Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", f"the body is longer than {most} bytes"
            )
    return bytes(body)


def media_line(text: str, index: int) -> int | None:
    """Return the number of the line that begins the media section of an index, counted from 1."""
    lines = (number for number, line in enumerate(text.split("\n"), 1) if line.startswith("m="))
    return next((line for place, line in enumerate(lines) if place == index), None)


def preflight(methods: Sequence[str], headers: Mapping[str, str]) -> web.Response:
    """Return the answer to OPTIONS (RFC 9725 4.2: 200, with what may be posted)."""
    allowed = ", ".join(methods)
    response = web.Response(headers={hdrs.ALLOW: allowed, hdrs.ACCESS_CONTROL_ALLOW_METHODS: allowed})
    response.headers.update(_PREFLIGHT)
    response.headers.update(headers)
    return response


def open_to_browsers(response: web.Response) -> web.Response:
    """Let pages of any origin read an answer and the headers that WHIP and WHEP need."""
    response.headers.update(_OPEN_TO_BROWSERS)
    return response


def link_of(server: IceServer) -> str:
    """Return the value of a Link header (RFC 9725 4.6)."""
    link = f'<{server.url}>; rel="ice-server"'
    if server.username:
        link += f"; username={_quoted(server.username)}; credential={_quoted(server.credential)}"
        link += '; credential-type="password"'
    return link


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
