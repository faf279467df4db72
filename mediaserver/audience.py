"""Who is with a room: those who watch its stream, and those who are in its chat.

The count that is shown is the union of both, by the rule of chat.presence. What a door lets in, and what the
analytics call watching, are those who watch alone.
"""

from collections.abc import Callable
from uuid import UUID

from chat.ports import Watchers
from chat.presence import RoomPresence
from mediaserver.hub.hub import Hub
from mediaserver.playback_sessions import PlaybackSessions

NOBODY = Watchers(frozenset(), 0)


class StreamWatchers:
    """Implements chat.ports.Audience: who watches the streams of this node."""

    def __init__(self, hub: Hub, sessions: PlaybackSessions) -> None:
        self._hub = hub
        self._sessions = sessions

    def watchers(self, room_id: UUID) -> Watchers:
        stream = self._hub.find_live(str(room_id))
        if stream is None:
            return NOBODY
        signed_in, connections = self._sessions.signed_in(str(room_id))
        return Watchers(signed_in, max(0, stream.viewer_count - connections))


class Audience:
    """``presence_of`` gives who is in a room's chat, None where nobody is."""

    def __init__(
        self, hub: Hub, presence_of: Callable[[UUID], RoomPresence | None], watchers: StreamWatchers
    ) -> None:
        self._hub = hub
        self._presence_of = presence_of
        self._watchers = watchers

    def count(self, room_id: UUID) -> int:
        """How many are with a room that is live here; 0 for another."""
        stream = self._hub.find_live(str(room_id))
        if stream is None:
            return 0
        presence = self._presence_of(room_id)
        return (
            presence.count(self._watchers.watchers(room_id)) if presence is not None else stream.viewer_count
        )
