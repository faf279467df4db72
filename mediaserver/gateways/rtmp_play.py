"""RTMP players on the hub: a player is one more viewer of a broadcast.

The chunks are cut once per batch for all players whose media runs on the same message stream id, which in
practice is all of them.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from mediaserver.authorizer import ROOM_FULL, WatchGrant
from mediaserver.containers.rtmp_chunks import RtmpChunkMuxer
from mediaserver.delivery.broadcast import Broadcast, Viewer
from mediaserver.delivery.framing import Framing
from mediaserver.delivery.live import LiveDelivery
from mediaserver.hub.stream import Stream
from rtmp.ports import PlaybackSession, PlayerConnection, PlayGrant, Refusal, RefusalReason

UNPUBLISHED: Final = "NetStream.Play.UnpublishNotify"
FAILED: Final = "NetStream.Play.Failed"


class RtmpPlayback:
    """Implements ``rtmp.ports.Playback``."""

    def __init__(self, delivery: LiveDelivery) -> None:
        self._delivery = delivery

    def refusal(self, grant: PlayGrant) -> Refusal | None:
        stream = self._delivery.hub.find_live(grant.room_id)
        if stream is None:
            return Refusal(RefusalReason.BAD_NAME, "the room is not live")
        if self._delivery.is_full:
            return Refusal(RefusalReason.UNAVAILABLE, "viewer limit reached")
        most = grant.max_viewers if isinstance(grant, WatchGrant) else None
        return ROOM_FULL if most is not None and stream.viewer_count >= most else None

    def open(self, grant: PlayGrant, connection: PlayerConnection) -> PlaybackSession:
        """Raises LookupError if the room is not live."""
        stream = self._delivery.hub.find_live(grant.room_id)
        if stream is None:
            raise LookupError(grant.room_id)
        viewer_id = grant.viewer_id if isinstance(grant, WatchGrant) else None
        session = self._delivery.sessions.open(grant.room_id, viewer_id)
        leave = partial(self._delivery.sessions.leave, session)
        session.on_close = partial(connection.close, FAILED, "you may not watch this room any more")
        return _Watching(self._broadcast(stream, connection.message_stream_id), connection, leave)

    def _broadcast(self, stream: Stream, message_stream_id: int) -> Broadcast:
        make_muxer = partial(RtmpChunkMuxer, message_stream_id)
        return self._delivery.broadcast(stream, f"rtmp-{message_stream_id}", make_muxer, "rtmp")


class _Watching:
    def __init__(self, broadcast: Broadcast, connection: PlayerConnection, leave: Callable[[], None]) -> None:
        self._broadcast = broadcast
        self._connection = connection
        self._leave = leave
        self._viewer = Viewer(connection.transport, Framing.BARE, self._end)
        broadcast.join(self._viewer)

    def closed(self) -> None:
        self._leave()
        self._broadcast.leave(self._viewer)

    def _end(self) -> None:
        self._connection.close(UNPUBLISHED, "the stream ended")
