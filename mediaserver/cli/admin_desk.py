"""The services that ``mediaserver admin`` works with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from control_api.errors import not_found
from control_api.services.admin_users import OPERATOR, AdminUserService
from control_api.services.categories import CategoriesService
from control_api.services.notifications import Notifications
from control_api.services.reports import ReportService
from control_api.services.rooms import RoomsService
from control_api.services.streams import StreamsService
from mediaserver.accounts import Accounts
from mediaserver.addresses import Addresses
from mediaserver.config import Settings
from storage.bus import Bus
from storage.database import Database
from storage.passwords import Passwords
from storage.repositories import User, Users
from storage.repositories.audit import AuditLog
from storage.repositories.categories import Categories, Category
from storage.repositories.rooms import RoomDetails
from storage.stream_keys import StreamKeyDigester


@dataclass(frozen=True, slots=True)
class Desk:
    """``user``, ``room`` and ``category`` raise ApiError 404."""

    database: Database
    addresses: Addresses
    accounts: Accounts
    users: AdminUserService
    rooms: RoomsService
    streams: StreamsService
    reports: ReportService
    categories: CategoriesService
    audit: AuditLog

    @classmethod
    def of(cls, settings: Settings, database: Database, secret: bytes, passwords: Passwords) -> Self:
        # Nobody listens to this bus: servers hear of changes from the database.
        bus = Bus()
        digester, elsewhere = StreamKeyDigester(secret), _Elsewhere()
        rooms = RoomsService(database, digester, max_rooms=None)
        return cls(
            database,
            Addresses.of(settings),
            Accounts(database, digester, passwords),
            AdminUserService(database, bus),
            rooms,
            StreamsService(database, rooms, elsewhere, elsewhere),
            ReportService(database, Notifications(database, bus)),
            CategoriesService(database),
            AuditLog(database),
        )

    async def user(self, name: str) -> User:
        """In whatever state."""
        user = await Users(self.database).find_by_name(name)
        if user is None:
            raise not_found("user")
        return user

    async def room(self, reference: str) -> RoomDetails:
        """By id or slug."""
        return await self.rooms.find(OPERATOR, reference)

    async def category(self, slug: str) -> Category:
        category = await Categories(self.database).find_by_slug(slug)
        if category is None:
            raise not_found("category")
        return category


class _Elsewhere:
    """LiveRooms and StreamControl of a process in which nothing runs: all streams are on other nodes."""

    def is_live(self, room_id: UUID) -> bool:
        return False

    def viewer_count(self, room_id: UUID) -> int:
        return 0

    def started_at(self, room_id: UUID) -> datetime | None:
        return None

    def ended_at(self, room_id: UUID) -> datetime | None:
        return None

    def viewer_counts(self) -> Mapping[UUID, int]:
        return {}

    def kick(self, room_id: UUID, reason: str) -> bool:
        return False
