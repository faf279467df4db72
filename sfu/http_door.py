"""What WHIP and WHEP have in common: methods, limits, and what may be done with a session (RFC 9725 4).

Rules:

* The limit per address comes first, before anything of a request is read.
* A session is for whoever opened it: the same bearer comes with every request, or another one that is let in.
* Everything is answered in a way that pages of any origin can read.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import hdrs, web
from msgspec import Struct

from sfu import http_messages as messages
from sfu.errors import SfuError, TooManyTransports, TransportClosed
from sfu.http_messages import Problem
from sfu.http_sessions import (
    CONNECT_SECONDS,
    HURRIED_AFTER,
    HURRIED_SECONDS,
    MAX_SESSIONS,
    HttpSession,
    HttpSessions,
)
from sfu.ports import Refusal
from sfu.protocol.errors import ProtocolError
from sfu.protocol.ortc import UnsupportedParameters
from sfu.protocol.parameters import DtlsParameters
from sfu.protocol.sdp import Fragment, MalformedDescription, Offer, parse_fragment, parse_offer
from sfu.source_budget import SourceBudget, network_of

logger = structlog.get_logger("mediaserver.sfu.http")

PATCHES_PER_SECOND: Final = 5.0
PATCH_BURST: Final = 50.0

Handler = Callable[[web.Request], Awaitable[web.Response]]


class DoorOptions(Struct, frozen=True, kw_only=True):
    """Limits of one protocol; `posts_per_second`, `post_burst` and `hurried_after` count for each address.

    Beyond `hurried_after` sessions that wait for their peers, further ones wait `hurried_seconds`; who has
    waited so long makes room where all places are taken.
    """

    most_sessions: int = MAX_SESSIONS
    connect_seconds: float = CONNECT_SECONDS
    hurried_after: int = HURRIED_AFTER
    hurried_seconds: float = HURRIED_SECONDS
    posts_per_second: float
    post_burst: float
    ice_servers: tuple[messages.IceServer, ...] = ()


class HttpDoor(ABC):
    """The handlers. `client_address` tells whose request it is, behind proxies too."""

    def __init__(
        self, prefix: str, options: DoorOptions, client_address: Callable[[web.Request], str]
    ) -> None:
        self.sessions = HttpSessions(options.most_sessions)
        self._prefix = prefix
        self._options = options
        self._client_address = client_address
        self._opening = 0
        self._is_draining = False
        self._posts = SourceBudget(options.posts_per_second, options.post_burst)
        self._patches = SourceBudget(PATCHES_PER_SECOND, PATCH_BURST)

    def close(self) -> None:
        """End all sessions."""
        self.sessions.close()

    def drain(self) -> None:
        """Take no more sessions, and end those there are as if their peers had; they go to another server."""
        self._is_draining = True
        for session in self.sessions.all():
            try:
                self._end(session)
            except Exception:
                logger.exception("session_not_drained", room_id=session.room_id)
                session.close()

    def close_room(self, room_id: str) -> None:
        """End the sessions of a room."""
        self.sessions.close_room(room_id)

    @abstractmethod
    async def _open(self, request: web.Request, address: str) -> tuple[HttpSession, str]:
        """Return a new session, and the answer. Raises Problem, and what the core raises."""

    @abstractmethod
    async def _authorize(self, room: str, token: str | None, address: str) -> str | Refusal:
        """Return the id of a room that somebody may be in, with this token."""

    def _end(self, session: HttpSession) -> None:
        """Do as a peer says that ends its session."""
        session.close()

    async def endpoint(self, request: web.Request) -> web.Response:
        """Answer where sessions are opened."""
        return await _dispatch(request, {hdrs.METH_OPTIONS: self._greet, hdrs.METH_POST: self._post})

    async def session(self, request: web.Request) -> web.Response:
        """Answer under a session's own address."""
        handlers: dict[str, Handler] = {
            hdrs.METH_OPTIONS: self._greet_session,
            hdrs.METH_PATCH: self._patch,
            hdrs.METH_DELETE: self._delete,
        }
        return await _dispatch(request, handlers)

    async def _greet(self, request: web.Request) -> web.Response:
        return messages.preflight(
            (hdrs.METH_OPTIONS, hdrs.METH_POST), {messages.ACCEPT_POST: messages.SDP_TYPE}
        )

    async def _greet_session(self, request: web.Request) -> web.Response:
        methods = (hdrs.METH_OPTIONS, hdrs.METH_PATCH, hdrs.METH_DELETE)
        return messages.preflight(methods, {messages.ACCEPT_PATCH: messages.FRAGMENT_TYPE})

    async def _post(self, request: web.Request) -> web.Response:
        address = self._client_address(request)
        source = network_of(address)
        if not self._posts.spend(source, _now()):
            raise messages.retry_later(
                HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", "too many requests of one address", 1
            )
        self._refuse_while_draining()
        if len(self.sessions) + self._opening >= self.sessions.most and not self.sessions.make_room(
            self._options.hurried_seconds
        ):
            raise messages.retry_later(
                HTTPStatus.SERVICE_UNAVAILABLE, "server_full", "the server has as many sessions as it may"
            )
        self._opening += 1
        try:
            session, description = await self._open(request, address)
            if self.sessions.add(session, source) > self._options.hurried_after:
                session.hurry(self._options.hurried_seconds)
        finally:
            self._opening -= 1
        if self._is_draining:
            self._end(session)
            self._refuse_while_draining()
        return self._created(request, session, description)

    def _refuse_while_draining(self) -> None:
        if self._is_draining:
            raise messages.retry_later(HTTPStatus.SERVICE_UNAVAILABLE, "draining", "the server is stopping")

    def _created(self, request: web.Request, session: HttpSession, description: str) -> web.Response:
        room = request.match_info["room"]
        response = web.Response(
            status=HTTPStatus.CREATED, text=description, content_type=messages.SDP_TYPE, charset="utf-8"
        )
        response.headers[hdrs.CONTENT_TYPE] = messages.SDP_TYPE
        response.headers[hdrs.LOCATION] = f"/{self._prefix}/{room}/session/{session.id}"
        response.headers[hdrs.ETAG] = session.entity_tag
        response.headers[messages.ACCEPT_PATCH] = messages.FRAGMENT_TYPE
        for server in self._options.ice_servers:
            response.headers.add(hdrs.LINK, messages.link_of(server))
        return response

    async def _patch(self, request: web.Request) -> web.Response:
        session = await self._find(request)
        if not self._patches.spend(session.id, _now()):
            raise messages.retry_later(
                HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", "too many requests of one session", 1
            )
        text = await messages.read_text(request, messages.FRAGMENT_TYPE, messages.MAX_FRAGMENT_BYTES)
        if session.is_closed:
            raise _no_such_session()
        _check_precondition(request, session)
        fragment = _fragment(text, session)
        if fragment.ice is None or not session.is_restart(fragment.ice):
            # The server is ICE-lite: it answers checks, wherever they come from.
            return web.Response(status=HTTPStatus.NO_CONTENT)
        body = session.restart_ice(fragment.ice)
        response = web.Response(text=body, headers={hdrs.ETAG: session.entity_tag})
        response.headers[hdrs.CONTENT_TYPE] = messages.FRAGMENT_TYPE
        return response

    async def _delete(self, request: web.Request) -> web.Response:
        self._end(await self._find(request))
        return web.Response()

    async def _find(self, request: web.Request) -> HttpSession:
        session = self.sessions.find(request.match_info["session"])
        if session is None:
            raise _no_such_session()
        bearer = messages.bearer_of(request)
        if not session.is_bearer(bearer):
            room, address = request.match_info["room"], self._client_address(request)
            answer = await self._authorize(room, bearer, address)
            if isinstance(answer, Refusal):
                raise messages.refused(answer)
            if answer != session.room_id or session.is_closed:
                raise _no_such_session()
        return session

    async def _read_offer(self, request: web.Request) -> tuple[str, Offer]:
        text = await messages.read_text(request, messages.SDP_TYPE, messages.MAX_OFFER_BYTES)
        try:
            return text, parse_offer(text)
        except MalformedDescription as error:
            raise messages.malformed(error) from error


def peer_of(offer: Offer) -> DtlsParameters:
    """Return whom to expect, in the role that the answer leaves to the peer."""
    role = "client" if offer.answer_role == "server" else "server"
    return DtlsParameters(fingerprints=offer.dtls.fingerprints, role=role)  # type: ignore[arg-type]


async def _dispatch(request: web.Request, handlers: Mapping[str, Handler]) -> web.Response:
    try:
        handler = handlers.get(request.method)
        if handler is None:
            raise Problem(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "method_not_allowed",
                f"{request.method} has no meaning here",
                headers={hdrs.ALLOW: ", ".join(handlers)},
            )
        response = await handler(request)
    except Problem as problem:
        response = problem.response()
    except (SfuError, ProtocolError) as error:
        response = _refused_by_core(error).response()
    return messages.open_to_browsers(response)


def _refused_by_core(error: SfuError | ProtocolError) -> Problem:
    if isinstance(error, TooManyTransports | TransportClosed):
        return messages.retry_later(
            HTTPStatus.SERVICE_UNAVAILABLE, error.code, str(error) or "the room is full"
        )
    if isinstance(error, SfuError):
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, str(error) or error.code)
    if isinstance(error, UnsupportedParameters):
        return Problem(HTTPStatus.NOT_ACCEPTABLE, "unsupported_media", str(error))
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_media", str(error))


def _check_precondition(request: web.Request, session: HttpSession) -> None:
    """RFC 9725 4.3.1: without a tag 428, with another one 412; the standard's own example quotes the star."""
    header = request.headers.get(hdrs.IF_MATCH)
    if header is None:
        raise Problem(
            HTTPStatus.PRECONDITION_REQUIRED,
            "precondition_required",
            "If-Match with the entity tag is missing",
        )
    tags = {tag.strip() for tag in header.split(",")}
    if not tags & {"*", '"*"', session.entity_tag}:
        raise Problem(
            HTTPStatus.PRECONDITION_FAILED,
            "stale_entity_tag",
            "ICE was restarted: this is of another session",
        )


def _fragment(text: str, session: HttpSession) -> Fragment:
    try:
        fragment = parse_fragment(text)
    except MalformedDescription as error:
        raise messages.malformed(error) from error
    if not session.names(fragment.mids):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "unknown_mid", "the offer has no section of this mid")
    return fragment


def _no_such_session() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "no_such_session", "there is no such session, or no more")


def _now() -> float:
    return asyncio.get_running_loop().time()
