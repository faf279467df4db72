"""The pages' sessions: aiohttp-session over a table, and what keeps other sites from using them.

Rules:

* The cookie holds a random key of 256 bits and nothing else; the table holds its digest. Signing in makes a
  new key, so one that somebody planted before is worth nothing.
* A cookie comes along with whatever a page of another site makes the browser send. So an unsafe request
  counts as the user's only with the session's CSRF token in a header, which no other site can know, and when
  the browser says that it comes from one of our pages.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from aiohttp import hdrs, web
from aiohttp_session import STORAGE_KEY, AbstractStorage, Session, SessionData, get_session, new_session

from control_api.errors import forbidden
from storage.database import Executor
from storage.repositories.sessions import WebSessions

COOKIE: Final = "session"
KEY_BYTES: Final = 32
MAX_KEY_LENGTH: Final = 64
CSRF_HEADER: Final = "X-CSRF-Token"
LIFETIME: Final = timedelta(days=365)
SAFE_METHODS: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_USER, _SESSION, _CSRF = "user", "session", "csrf"


def new_key() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(KEY_BYTES)


class TableStorage(AbstractStorage):
    """Keeps sessions in the database. ``is_secure``: send the cookie over HTTPS only."""

    def __init__(
        self, database: Executor, is_secure: bool = False, key_factory: Callable[[], str] = new_key
    ) -> None:
        super().__init__(
            cookie_name=COOKIE,
            max_age=int(LIFETIME.total_seconds()),
            secure=is_secure,
            httponly=True,
            samesite="Lax",
        )
        self._sessions = WebSessions(database)
        self._key_factory = key_factory

    async def load_session(self, request: web.Request) -> Session:
        key = self.load_cookie(request)
        if not key or len(key) > MAX_KEY_LENGTH:
            return Session(None, data=None, new=True, max_age=self.max_age)
        data = _stored(await self._sessions.find(_digest(key)))
        # A key that is not in the table is never taken over, whoever made it up.
        if data is None:
            return Session(None, data=None, new=True, max_age=self.max_age)
        return Session(key, data=data, new=False, max_age=self.max_age)

    async def save_session(
        self, _request: web.Request, response: web.StreamResponse, session: Session
    ) -> None:
        key: str | None = session.identity
        if session.empty:
            if key is not None:
                await self._sessions.delete(_digest(key))
            self.save_cookie(response, "", max_age=session.max_age)
            return
        key = key or self._key_factory()
        signed_in = session.get(_SESSION)
        await self._sessions.put(
            _digest(key),
            UUID(signed_in) if signed_in else None,
            json.dumps(self._get_session_data(session)),
            LIFETIME,
        )
        self.save_cookie(response, key, max_age=session.max_age)


@dataclass(frozen=True, slots=True)
class PageSession:
    """Who is signed in on a page. ``csrf_token`` is for the page's scripts."""

    user_id: UUID
    session_id: UUID
    csrf_token: str


async def open_page_session(request: web.Request, user_id: UUID, session_id: UUID) -> None:
    """Sign the browser in, if a page of ours asks; a program gets no cookie that it did not want.

    Browsers say ``Sec-Fetch-Site`` over HTTPS and to localhost only, but ``Origin`` with every POST.
    """
    if STORAGE_KEY not in request or not _is_from_our_page(request):
        return
    session = await new_session(request)
    session[_USER] = str(user_id)
    session[_SESSION] = str(session_id)
    session[_CSRF] = new_key()


async def close_page_session(request: web.Request) -> None:
    """Sign the browser out."""
    if STORAGE_KEY in request and request.cookies.get(COOKIE):
        (await get_session(request)).invalidate()


async def page_session_of(request: web.Request) -> PageSession | None:
    if STORAGE_KEY not in request or not request.cookies.get(COOKIE):
        return None
    session: Any = await get_session(request)
    try:
        return PageSession(UUID(session[_USER]), UUID(session[_SESSION]), session[_CSRF])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _is_from_our_page(request: web.Request) -> bool:
    fetch_site = request.headers.get("Sec-Fetch-Site")
    if fetch_site is not None:
        return fetch_site == "same-origin"
    return _host_of(request.headers.get(hdrs.ORIGIN)) == request.host.lower()


def _host_of(origin: str | None) -> str:
    try:
        return urlsplit(origin or "").netloc.lower()
    except ValueError:
        return ""


class ForgeryCheck:
    """``origins`` are those of our pages beside the one that a request is sent to."""

    def __init__(self, origins: Sequence[str] = ()) -> None:
        self._hosts = frozenset(urlsplit(origin).netloc.lower() for origin in origins)

    def is_wanted(self, request: web.Request, csrf_token: str) -> bool:
        """Whether the cookie of a request with this session token may count.

        False without a CSRF header: such a request is nobody's. Raises ApiError 403 for a wrong one.
        """
        if request.method in SAFE_METHODS:
            return True
        self.check_origin(request)
        given = request.headers.get(CSRF_HEADER)
        if given is None:
            return False
        if not hmac.compare_digest(given.encode("utf-8", "replace"), csrf_token.encode()):
            raise forbidden("csrf_token_invalid", f"The header {CSRF_HEADER} is not this session's.")
        return True

    def check_origin(self, request: web.Request) -> None:
        """Raises ApiError 403 for what a page of another site sent. Programs say nothing of this."""
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            if not self._is_ours(request.headers.get(hdrs.ORIGIN), request):
                raise forbidden("foreign_origin", "Another site's page cannot do this.")
        elif hdrs.ORIGIN in request.headers and not self._is_ours(request.headers[hdrs.ORIGIN], request):
            raise forbidden("foreign_origin", "Another site's page cannot do this.")

    def _is_ours(self, origin: str | None, request: web.Request) -> bool:
        """By host: behind a proxy the scheme that arrives here need not be the browser's."""
        host = _host_of(origin)
        return bool(host) and (host == request.host.lower() or host in self._hosts)


def _stored(text: str | None) -> SessionData | None:
    """The row's ``data``; None for what aiohttp-session could not have written."""
    data: Any = json.loads(text) if text is not None else None
    if not isinstance(data, dict) or not isinstance(data.get("session"), dict):
        return None
    return SessionData(created=int(data.get("created", 0)), session=data["session"])


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
