"""The one check in front of every HTTP delivery door."""

from typing import Protocol

from aiohttp import web


class PlaybackGate(Protocol):
    """Decides whether a request may watch a room."""

    async def may_watch(self, request: web.Request, room_ref: str) -> str:
        """The room's canonical id.

        ``room_ref`` is what stood in the path: an id or a slug. Raises web.HTTPNotFound for an unknown room,
        HTTPUnauthorized for a missing token, HTTPForbidden for a wrong one and HTTPServiceUnavailable when
        nobody can tell.
        """
