"""The one check in front of every HTTP delivery door."""

from typing import Protocol

from aiohttp import hdrs, web

from mediaserver.authorizer import Authorizer, RoomAccess
from mediaserver.delivery.client_address import ClientAddress
from rtmp.ports import Refusal, RefusalReason

RETRY_AFTER_SECONDS = 2
MAX_TOKEN_LENGTH = 4096


class PlaybackGate(Protocol):
    """Decides whether a request may watch a room."""

    async def may_watch(self, request: web.Request, room_ref: str) -> str:
        """The room's canonical id.

        ``room_ref`` is what stood in the path: an id or a slug. Raises web.HTTPNotFound for an unknown room,
        HTTPUnauthorized for a missing token, HTTPForbidden for a wrong one and HTTPServiceUnavailable when
        nobody can tell.
        """


class AuthorizedGate:
    """A PlaybackGate that asks the authorizer."""

    def __init__(self, authorizer: Authorizer, client_address: ClientAddress) -> None:
        self._authorizer = authorizer
        self._client_address = client_address

    async def may_watch(self, request: web.Request, room_ref: str) -> str:
        return (await self.access(request, room_ref)).room_id

    async def access(self, request: web.Request, room_ref: str) -> RoomAccess:
        """The room and what may be told of it. Raises as ``PlaybackGate.may_watch``."""
        token = _token(request)
        answer = await self._authorizer.may_watch(room_ref, token, self._client_address.of(request))
        if isinstance(answer, Refusal):
            raise _as_http(answer, has_token=token is not None)
        return answer


def _token(request: web.Request) -> str | None:
    scheme, _, bearer = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    token = bearer.strip() if scheme.lower() == "bearer" else request.query.get("token")
    if token is not None and len(token) > MAX_TOKEN_LENGTH:
        raise web.HTTPBadRequest(text=f"token: longer than {MAX_TOKEN_LENGTH} characters")
    return token or None


def _as_http(refusal: Refusal, has_token: bool) -> web.HTTPException:
    text = refusal.description
    if refusal.reason is RefusalReason.BAD_NAME:
        return web.HTTPNotFound(text=text)
    if refusal.reason is RefusalReason.UNAVAILABLE:
        return web.HTTPServiceUnavailable(text=text, headers={hdrs.RETRY_AFTER: str(RETRY_AFTER_SECONDS)})
    if has_token:
        return web.HTTPForbidden(text=text)
    return web.HTTPUnauthorized(text=text, headers={hdrs.WWW_AUTHENTICATE: "Bearer"})
