"""Changes made by anyone to the database, told on the bus at once.

Triggers (see migrations) send a small JSON object on one channel. The listener has a connection of its own,
connects again by itself, and says ``ChangesMissed`` whenever it begins to listen, because PostgreSQL keeps
nothing for those who do not.
"""

import asyncio
import json
from typing import Any, Final

import structlog

from storage.bus import (
    Bus,
    ChangesMissed,
    Event,
    RoomChanged,
    RoomDeleted,
    RoomOwnerChanged,
    RoomRelationChanged,
    StreamKeyRotated,
    UserChanged,
)
from storage.database import Database
from storage.errors import DatabaseUnavailable

logger = structlog.get_logger("mediaserver.storage")

CHANNEL: Final = "mediaserver"
PROBE_SECONDS: Final = 10.0
PROBE_TIMEOUT_SECONDS: Final = 5.0
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0


class Notifications:
    """``run`` is the one task; ``listening`` is set while a connection listens."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._pause = FIRST_PAUSE_SECONDS
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except DatabaseUnavailable as error:
                self.listening.clear()
                logger.warning("notifications_lost", error=str(error), retry_seconds=self._pause)
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)

    async def _listen(self) -> None:
        async with self._database.dedicated_connection() as connection:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._received)
            self._pause = FIRST_PAUSE_SECONDS
            self._bus.publish(ChangesMissed())
            self.listening.set()
            while not await _is_set_within(lost, PROBE_SECONDS):
                # A link that died without a word is only noticed by using it.
                await connection.execute("SELECT 1", timeout=PROBE_TIMEOUT_SECONDS)
            raise DatabaseUnavailable("PostgreSQL: the listening connection was closed")

    def _received(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        event = parse_notification(payload)
        if event is None:
            logger.warning("notification_unknown", payload=payload[:200])
        else:
            self._bus.publish(event)


def parse_notification(payload: str) -> Event | None:
    """The event a trigger told of, or None for something that a newer version may have sent."""
    try:
        match json.loads(payload):
            case {"kind": "stream_key", "room_id": str(room_id)}:
                return StreamKeyRotated(room_id)
            case {"kind": "room", "room_id": str(room_id)}:
                return RoomChanged(room_id)
            case {"kind": "room_deleted", "room_id": str(room_id)}:
                return RoomDeleted(room_id)
            case {"kind": "owner", "room_id": str(room_id), "is_active": bool(is_active)}:
                return RoomOwnerChanged(room_id, is_active)
            case {"kind": "user", "user_id": str(user_id)}:
                return UserChanged(user_id)
            case {"kind": "relation", "user_id": str(user_id), "owner_id": str(owner_id)}:
                return RoomRelationChanged(user_id, owner_id)
    except (ValueError, RecursionError):
        pass
    return None


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
