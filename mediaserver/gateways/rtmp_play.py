"""RTMP players on the hub: a player is one more viewer of a broadcast.

The chunks are cut once per batch for all players whose media runs on the same message stream id, which in
practice is all of them.
"""

from functools import partial
from typing import Final

from mediaserver.containers.rtmp_chunks import RtmpChunkMuxer
from mediaserver.delivery.broadcast import Broadcast, Viewer
from mediaserver.delivery.framing import Framing
from mediaserver.delivery.live import LiveDelivery
from mediaserver.hub.stream import Stream
from rtmp.ports import PlaybackSession, PlayerConnection, PlayGrant, Refusal, RefusalReason

UNPUBLISHED: Final = "NetStream.Play.UnpublishNotify"


class RtmpPlayback:
    """Implements ``rtmp.ports.Playback``."""

    def __init__(self, delivery: LiveDelivery) -> None:
        self._delivery = delivery

    def refusal(self, grant: PlayGrant) -> Refusal | None:
        if self._delivery.hub.find_live(grant.room_id) is None:
            return Refusal(RefusalReason.BAD_NAME, "the room is not live")
        if self._delivery.is_full:
            return Refusal(RefusalReason.UNAVAILABLE, "viewer limit reached")
        return None

    def open(self, grant: PlayGrant, connection: PlayerConnection) -> PlaybackSession:
        """Raises LookupError if the room is not live."""
        stream = self._delivery.hub.find_live(grant.room_id)
        if stream is None:
            raise LookupError(grant.room_id)
        return _Watching(self._broadcast(stream, connection.message_stream_id), connection)

    def _broadcast(self, stream: Stream, message_stream_id: int) -> Broadcast:
        make_muxer = partial(RtmpChunkMuxer, message_stream_id)
        return self._delivery.broadcast(stream, f"rtmp-{message_stream_id}", make_muxer, "rtmp")


class _Watching:
    def __init__(self, broadcast: Broadcast, connection: PlayerConnection) -> None:
        self._broadcast = broadcast
        self._connection = connection
        self._viewer = Viewer(connection.transport, Framing.BARE, self._end)
        broadcast.join(self._viewer)

    def closed(self) -> None:
        self._broadcast.leave(self._viewer)

    def _end(self) -> None:
        self._connection.close(UNPUBLISHED, "the stream ended")
