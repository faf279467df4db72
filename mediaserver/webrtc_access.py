"""Who may publish and watch over WebRTC, answered by the authorizer for the doors of the SFU."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from control_api.playback_grants import Grant, TokenFault
from control_api.services.publish_tokens import PublishTokens
from mediaserver.authorizer import APPLICATION, Authorizer, RoomAccess, WatchRefusal
from mediaserver.delivery.broadcast import BroadcastCounters
from mediaserver.delivery.live import LiveDelivery
from mediaserver.room_refs import parse_room_ref
from rtmp.ports import Refusal as RtmpRefusal
from rtmp.ports import RefusalReason as RtmpReason
from sfu.ports import PublishGrant, Refusal, RefusalReason, ViewGrant
from storage.errors import DatabaseUnavailable
from storage.stream_keys import is_stream_key

NO_SUCH_ROOM: Final = Refusal(RefusalReason.NO_SUCH_ROOM, "no_such_room", "no such room")
NO_KEY: Final = Refusal(
    RefusalReason.NEEDS_TOKEN, "token_required", "send the room's stream key as a bearer token"
)
NO_SUCH_KEY: Final = Refusal(RefusalReason.NEEDS_TOKEN, "invalid_key", "no such stream key")
OTHER_ROOM: Final = Refusal(RefusalReason.FORBIDDEN, "wrong_room", "the key is of another room")
KEY_EXPIRED: Final = Refusal(
    RefusalReason.NEEDS_TOKEN, "token_expired", "the publish token has expired; get another one"
)
NOT_ALLOWED: Final = Refusal(
    RefusalReason.FORBIDDEN, "forbidden", "you may not publish to this room any more"
)
UNAVAILABLE: Final = Refusal(
    RefusalReason.UNAVAILABLE, "unavailable", "the database cannot be reached; try again shortly"
)
SERVER_FULL: Final = Refusal(RefusalReason.UNAVAILABLE, "server_full", "viewer limit reached")
PROTOCOL: Final = "whep"


class WebRtcAccess:
    """Implements sfu.ports.PublishAccess and sfu.ports.ViewAccess.

    Viewers count with those of the other doors, from when they are connected: asking costs them nothing.
    """

    def __init__(self, authorizer: Authorizer, live: LiveDelivery, publish_tokens: PublishTokens) -> None:
        self._authorizer = authorizer
        self._live = live
        self._viewers = live.counters.setdefault(PROTOCOL, BroadcastCounters())
        self._publish_tokens = publish_tokens

    async def authorize_publish(self, room: str, bearer: str | None, address: str) -> PublishGrant | Refusal:
        """The bearer is the room's stream key, as an encoder's token field holds it, or a publish token."""
        if parse_room_ref(room) is None:
            return NO_SUCH_ROOM
        if bearer is None:
            return NO_KEY
        if not is_stream_key(bearer):
            return await self._by_token(room, bearer)
        grant = await self._authorizer.may_publish(APPLICATION, bearer, {}, address)
        if isinstance(grant, RtmpRefusal):
            return _publish_refusal(grant)
        if not await self._authorizer.is_room(room, grant.room_id):
            return OTHER_ROOM
        return PublishGrant(grant.room_id)

    async def _by_token(self, room: str, token: str) -> PublishGrant | Refusal:
        grant = self._publish_tokens.check(token)
        if grant is TokenFault.EXPIRED:
            return KEY_EXPIRED
        if not isinstance(grant, Grant):
            return NO_SUCH_KEY
        if not await self._authorizer.is_room(room, str(grant.room_id)):
            return OTHER_ROOM
        try:
            still_counts = await self._publish_tokens.still_counts(grant)
        except DatabaseUnavailable:
            return UNAVAILABLE
        return PublishGrant(str(grant.room_id), grant.user_id) if still_counts else NOT_ALLOWED

    async def may_still_publish(self, grant: PublishGrant) -> bool:
        try:
            token = Grant(UUID(grant.room_id), grant.user_id, expires_at=0)
            return grant.user_id is None or await self._publish_tokens.still_counts(token)
        except DatabaseUnavailable:
            return True  # nobody is sent away because nobody can tell

    async def authorize_view(self, room: str, token: str | None, address: str) -> ViewGrant | Refusal:
        answer = await self._authorizer.may_watch(room, token, address)
        if not isinstance(answer, RoomAccess):
            return _view_refusal(answer)
        if self._live.is_full:
            return SERVER_FULL
        return ViewGrant(answer.room_id, answer.viewer_id, answer.max_viewers, answer.low_latency)

    def joined(self, grant: ViewGrant, leave: Callable[[], None], *, is_program: bool) -> Callable[[], None]:
        sessions = self._live.sessions
        session = sessions.open(grant.room_id, grant.viewer_id, is_real_time=is_program)
        session.on_close = leave
        return lambda: sessions.leave(session)

    def connected(self, grant: ViewGrant) -> Callable[[], None] | None:
        viewers = self._viewers
        if self._live.is_full:
            return None
        viewers.viewers += 1
        viewers.viewers_joined += 1

        def left() -> None:
            viewers.viewers -= 1

        return left


def _publish_refusal(refusal: RtmpRefusal) -> Refusal:
    if refusal.reason is RtmpReason.UNAVAILABLE:
        return UNAVAILABLE
    if refusal.reason is RtmpReason.BAD_NAME:
        # Not "no such room": who has no key must not learn which rooms there are.
        return NO_SUCH_KEY
    return Refusal(RefusalReason.FORBIDDEN, "forbidden", refusal.description)


def _view_refusal(refusal: RtmpRefusal) -> Refusal:
    if refusal.reason is RtmpReason.BAD_NAME:
        return NO_SUCH_ROOM
    if refusal.reason is RtmpReason.UNAVAILABLE:
        return UNAVAILABLE
    if isinstance(refusal, WatchRefusal):
        reason = RefusalReason.NEEDS_TOKEN if refusal.needs_token else RefusalReason.FORBIDDEN
        return Refusal(reason, refusal.code, refusal.description)
    return Refusal(RefusalReason.FORBIDDEN, "forbidden", refusal.description)
