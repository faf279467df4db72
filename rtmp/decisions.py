"""Asking the authorizer, and what its refusals are called on the wire."""

import asyncio

import structlog

from rtmp.context import ServerContext
from rtmp.ports import PlayGrant, PublishGrant, Refusal, RefusalReason
from rtmp.protocol.events import PublishRequested
from rtmp.protocol.server_session import Request

log = structlog.get_logger("mediaserver.rtmp")

Decision = PublishGrant | PlayGrant | Refusal

_PUBLISH_CODES = {
    RefusalReason.BAD_NAME: "NetStream.Publish.BadName",
    RefusalReason.REJECTED: "NetStream.Publish.Rejected",
    RefusalReason.UNAVAILABLE: "NetStream.Publish.Denied",
}
_PLAY_CODES = {
    RefusalReason.BAD_NAME: "NetStream.Play.StreamNotFound",
    RefusalReason.REJECTED: "NetStream.Play.Failed",
    RefusalReason.UNAVAILABLE: "NetStream.Play.Failed",
}


def refusal_code(request: Request, refusal: Refusal) -> str:
    """Return the NetStream status code for ``refusal``."""
    codes = _PUBLISH_CODES if isinstance(request, PublishRequested) else _PLAY_CODES
    return codes[refusal.reason]


async def decide(context: ServerContext, request: Request, address: str) -> Decision:
    """Ask the authorizer about ``request``; its failure or silence is a refusal, never an exception.

    A player with a grant is asked for at the playback, too, which may have nothing to play.
    """
    if context.is_draining:
        return Refusal(RefusalReason.UNAVAILABLE, "The server is going down.")
    is_publish = isinstance(request, PublishRequested)
    ask = context.authorizer.may_publish if is_publish else context.authorizer.may_play
    try:
        async with asyncio.timeout(context.limits.authorize_timeout):
            decision = await ask(request.app, request.name, request.query, address)
            if isinstance(decision, PlayGrant):
                return context.playback.refusal(decision) or decision
            return decision
    except TimeoutError:
        return Refusal(RefusalReason.UNAVAILABLE, "The server took too long to decide.")
    except Exception:
        log.exception("rtmp_authorizer_failed", address=address)
        return Refusal(RefusalReason.UNAVAILABLE, "The server cannot decide now.")
