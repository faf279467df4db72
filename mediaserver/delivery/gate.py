"""The one check in front of every HTTP delivery door."""

from typing import Final, Protocol

from aiohttp import hdrs, web

from mediaserver.authorizer import ROOM_FULL, Authorizer, RoomAccess, WatchRefusal
from mediaserver.delivery.client_address import ClientAddress
from rtmp.ports import Refusal, RefusalReason

RETRY_AFTER_SECONDS = 2
MAX_TOKEN_LENGTH = 4096
NO_STORE: Final = {hdrs.CACHE_CONTROL: "no-store"}


class PlaybackGate(Protocol):
    """Decides whether a request may watch a room."""

    async def access(self, request: web.Request, room_ref: str) -> RoomAccess:
        """The room, what may be told of it, and who asks.

        ``room_ref`` is what stood in the path: an id or a slug. Raises web.HTTPNotFound for an unknown room,
        HTTPUnauthorized for a missing or expired token, HTTPForbidden for another one or one whose user may
        not watch, and HTTPServiceUnavailable when nobody can tell. The text begins with a code.
        """


class AuthorizedGate:
    """A PlaybackGate that asks the authorizer."""

    def __init__(self, authorizer: Authorizer, client_address: ClientAddress) -> None:
        self._authorizer = authorizer
        self._client_address = client_address

    async def access(self, request: web.Request, room_ref: str) -> RoomAccess:
        token = token_of(request)
        answer = await self._authorizer.may_watch(room_ref, token, self._client_address.of(request))
        if isinstance(answer, Refusal):
            raise as_http(answer)
        return answer


def token_of(request: web.Request) -> str | None:
    """The bearer token, or the one in the address, if there is either. Raises HTTPBadRequest."""
    scheme, _, bearer = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    token = bearer.strip() if scheme.lower() == "bearer" else request.query.get("token")
    if token is not None and len(token) > MAX_TOKEN_LENGTH:
        raise web.HTTPBadRequest(text=f"token: longer than {MAX_TOKEN_LENGTH} characters")
    return token or None


def refuse_when_full(access: RoomAccess, viewers: int) -> None:
    """For one who is about to watch beside ``viewers`` others. Raises HTTPForbidden when that is too many."""
    if access.max_viewers is not None and viewers >= access.max_viewers:
        raise as_http(ROOM_FULL)


def as_http(refusal: Refusal) -> web.HTTPException:
    """The answer to a request that is refused."""
    text = refusal.description
    if refusal.reason is RefusalReason.BAD_NAME:
        return web.HTTPNotFound(text=text)
    if refusal.reason is RefusalReason.UNAVAILABLE:
        return web.HTTPServiceUnavailable(text=text, headers={hdrs.RETRY_AFTER: str(RETRY_AFTER_SECONDS)})
    if not isinstance(refusal, WatchRefusal):
        return web.HTTPForbidden(text=text)
    text = f"{refusal.code}: {text}"
    if refusal.needs_token:
        return web.HTTPUnauthorized(text=text, headers={hdrs.WWW_AUTHENTICATE: "Bearer", **NO_STORE})
    return web.HTTPForbidden(text=text, headers=NO_STORE)
