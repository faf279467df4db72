"""Who is with a room: those who watch its stream, and those who are in its chat.

The count that is shown is the union of both, by the rule of chat.presence. What a door lets in, and what the
analytics call watching, are those who watch alone.
"""

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

import structlog

from chat.errors import Refusal
from chat.hub import Hub as ChatHub
from chat.ports import Watchers
from chat.presence import RoomPresence
from chat.slices import sliced
from mediaserver.hub.hub import Hub
from mediaserver.playback_sessions import PlaybackSessions
from storage.errors import StorageError

logger = structlog.get_logger("mediaserver.chat")

NOBODY = Watchers(frozenset(), 0)
LOOK_SECONDS: Final = 1.0
ROOMS_AT_ONCE: Final = 100


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


class LiveRooms:
    """Opens the chats of the rooms that are live here, and keeps them open though nobody is in them.

    Otherwise other nodes would not be told who watches, nor this one who chats there. ``run`` is its task.
    """

    def __init__(self, streams: Hub, chat: ChatHub) -> None:
        self._streams = streams
        self._chat = chat

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except StorageError as error:
                logger.warning("chat_of_live_rooms_closed", error=str(error))

    async def look(self) -> None:
        """Raises StorageError."""
        for streams in sliced(self._streams.streams(), ROOMS_AT_ONCE):
            for stream in streams:
                if self._streams.find_live(stream.room_id) is not None:
                    await self._keep(UUID(stream.room_id))
            await asyncio.sleep(0)

    async def _keep(self, room_id: UUID) -> None:
        room = self._chat.find(room_id)
        if room is None:
            try:
                room = await self._chat.open(room_id)
            except Refusal:
                # Deleted at this moment; its stream ends, too.
                return
        if room.empty_since is not None:
            room.empty_since = asyncio.get_running_loop().time()
