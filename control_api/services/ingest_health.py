"""Where a room's encoder sends to, and how its stream comes in: for whoever runs the room."""

from dataclasses import dataclass
from uuid import UUID

from control_api.ports import IngestAddresses, IngestHealth, IngestMonitor
from control_api.principal import Principal
from control_api.services.rooms import RoomsService


@dataclass(frozen=True, slots=True)
class Ingest:
    """``health`` is None while nobody publishes to the room on this node."""

    rtmp_url: str
    whip_url: str
    health: IngestHealth | None


class IngestService:
    def __init__(self, rooms: RoomsService, monitor: IngestMonitor, addresses: IngestAddresses) -> None:
        self._rooms = rooms
        self._monitor = monitor
        self._addresses = addresses

    async def ingest(self, principal: Principal, room_id: UUID) -> Ingest:
        await self._rooms.managed(principal, room_id)
        return Ingest(
            self._addresses.rtmp_url(),
            self._addresses.whip_url(room_id),
            self._monitor.health(room_id),
        )
