"""All about people behind the real dispatcher, with a bus that tests listen to."""

import io
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from obstore.store import MemoryStore
from PIL import Image

from control_api.images import Images
from control_api.routes.admin_users import AdminUserRoutes
from control_api.routes.avatars import AvatarRoutes
from control_api.routes.creators import CreatorRoutes
from control_api.routes.reports import ReportRoutes
from control_api.routes.social import SocialRoutes
from control_api.routes.users import UserRoutes
from control_api.routing import Route
from control_api.services.account_export import AccountExport
from control_api.services.account_view import AccountViews
from control_api.services.admin_users import AdminUserService
from control_api.services.creators import CreatorService
from control_api.services.notifications import Notifications
from control_api.services.reports import ReportService
from control_api.services.social import SocialService
from control_api.services.users import UserService
from storage.bus import Bus, Event, RoomDeleted, RoomRelationChanged, UserChanged, UserFollowed
from storage.database import Database
from storage.objects import Objects
from storage.passwords import TooManyHashes
from storage.repositories import Role, User, Users
from tests.control_api.sample import Sample
from tests.control_api.serving import serve

PASSWORD = "right password"


@dataclass
class FakePasswords:
    """Only PASSWORD is right, for accounts that have a hash."""

    is_busy: bool = False

    async def is_correct(self, password: str, password_hash: str | None) -> bool:
        if self.is_busy:
            raise TooManyHashes("busy")
        return password == PASSWORD and password_hash == "hash"


@dataclass
class _All:
    parts: Sequence[Any]

    def routes(self) -> list[Route]:
        return [route for part in self.parts for route in part.routes()]


@dataclass
class PeopleWorld:
    """``alice`` and ``bob`` are users, ``mod``, ``admin`` and ``root`` have the roles of their names."""

    database: Database
    sample: Sample
    people: dict[str, User]
    objects: Objects
    passwords: FakePasswords
    events: list[Event] = field(default_factory=list)

    async def call(self, method: str, path: str, user: str | None = None, **options: Any) -> tuple[int, Any]:
        """(status, data), or (status, code) of what is refused."""
        status, body, _ = await self.sample.call(method, path, user, **options)
        return status, body["data"] if body["success"] else body["code"]

    async def page(self, path: str, user: str | None = None) -> tuple[list[Any], str | None]:
        status, body, _ = await self.sample.call("GET", path, user)
        assert status == 200, body
        return body["data"], body["meta"]["nextCursor"]

    def id(self, name: str) -> str:
        return str(self.people[name].id)

    async def told(self, name: str) -> list[tuple[str, object]]:
        """Kind and data of the notifications of somebody."""
        rows = await self.database.fetch(
            "SELECT kind, data::text FROM notifications WHERE user_id = $1 ORDER BY id", self.people[name].id
        )
        return [(kind, json.loads(data)) for kind, data in rows]

    async def audited(self) -> list[str]:
        return [row[0] for row in await self.database.fetch("SELECT action FROM audit_log ORDER BY id")]


async def people_world(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> PeopleWorld:
    users = Users(database)
    roles = {"alice": Role.USER, "bob": Role.USER, "mod": Role.MODERATOR, "admin": Role.ADMIN}
    people = {
        name: await users.add(name, f"{name}@example.com", "hash", role)
        for name, role in (roles | {"root": Role.SUPERADMIN}).items()
    }
    bus, objects, passwords = Bus(), Objects(MemoryStore()), FakePasswords()
    notifications = Notifications(database, bus)
    service = UserService(database, bus, objects, Images(), passwords)
    noun = _All(
        [
            UserRoutes(service, AccountExport(database, objects), AccountViews()),
            AvatarRoutes(service),
            SocialRoutes(SocialService(database, bus)),
            ReportRoutes(ReportService(database, notifications)),
            CreatorRoutes(CreatorService(database, bus, notifications)),
            AdminUserRoutes(AdminUserService(database, bus)),
        ]
    )
    sample = await serve(noun, database, aiohttp_client, *people.values())
    world = PeopleWorld(database, sample, people, objects, passwords)
    for kind in (RoomDeleted, RoomRelationChanged, UserChanged, UserFollowed):
        bus.subscribe(kind, world.events.append)
    return world


@pytest.fixture
async def world(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> PeopleWorld:
    return await people_world(database, aiohttp_client)


def picture(kind: str = "PNG") -> bytes:
    output = io.BytesIO()
    Image.new("RGB", (70, 50), (1, 2, 3)).save(output, kind)
    return output.getvalue()
