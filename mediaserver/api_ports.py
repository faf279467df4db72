"""What the control API needs of the media plane, answered from the hub: implements control_api.ports."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog

from mediaserver.addresses import Addresses
from mediaserver.hub.hub import Hub
from storage.bus import BroadcastEnded, BroadcastStarted, Bus

logger = structlog.get_logger("mediaserver")

MAX_ENDED: Final = 10_000


def _now() -> datetime:
    return datetime.now(UTC)


class HubLiveRooms:
    """Implements control_api.ports.LiveRooms and mediaserver.hub.hub.HubListener."""

    def __init__(
        self,
        hub: Hub,
        now: Callable[[], datetime] = _now,
        audience: Callable[[UUID], int] | None = None,
    ) -> None:
        """``audience`` counts who is with a live room in any way; without it those who watch are counted."""
        self._hub = hub
        self._audience = audience or self.watcher_count
        self._now = now
        self._started: dict[str, datetime] = {}
        self._ended: dict[str, datetime] = {}
        hub.add_listener(self)

    def started(self, room_id: str) -> None:
        self._ended.pop(room_id, None)
        self._started[room_id] = self._now()

    def ended(self, room_id: str, reason: str) -> None:
        self._started.pop(room_id, None)
        self._ended[room_id] = self._now()
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def is_live(self, room_id: UUID) -> bool:
        return self._hub.find_live(str(room_id)) is not None

    def viewer_count(self, room_id: UUID) -> int:
        return self._audience(room_id)

    def watcher_count(self, room_id: UUID) -> int:
        """How many watch, which is what a full room is full of."""
        stream = self._hub.find_live(str(room_id))
        return stream.viewer_count if stream is not None else 0

    def started_at(self, room_id: UUID) -> datetime | None:
        return self._started.get(str(room_id))

    def ended_at(self, room_id: UUID) -> datetime | None:
        return self._ended.get(str(room_id))

    def viewer_counts(self) -> Mapping[UUID, int]:
        return {UUID(each.room_id): each.viewer_count for each in self._hub.streams() if each.tracks}


class HubStreamControl:
    """Implements control_api.ports.StreamControl."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def kick(self, room_id: UUID, reason: str) -> bool:
        was_there = self._hub.kick(str(room_id), reason)
        if was_there:
            logger.info("publisher_dropped", room_id=str(room_id), reason=reason)
        return was_there


class ServerAddresses:
    """Implements control_api.ports.IngestAddresses.

    The addresses are asked for each time: ports that the server chose are known only when it listens.
    """

    def __init__(self, addresses: Callable[[], Addresses]) -> None:
        self._addresses = addresses

    def rtmp_url(self) -> str:
        return self._addresses().rtmp_url

    def whip_url(self, room_id: UUID) -> str:
        return self._addresses().whip(str(room_id))


class BroadcastAnnouncer:
    """Tells the bus of this node's broadcasts as they start and end. Implements HubListener."""

    def __init__(self, hub: Hub, bus: Bus) -> None:
        self._bus = bus
        hub.add_listener(self)

    def started(self, room_id: str) -> None:
        self._bus.publish(BroadcastStarted(room_id))

    def ended(self, room_id: str, reason: str) -> None:
        self._bus.publish(BroadcastEnded(room_id))
