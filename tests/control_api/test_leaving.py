"""An account that is being deleted gets nothing new: what waited for the deletion is refused after it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from obstore.store import MemoryStore

from control_api.errors import ApiError
from control_api.outbound import Outbound
from control_api.principal import Principal
from control_api.room_schemas import NewRoom
from control_api.services.api_keys import ApiKeyService, Scope
from control_api.services.push_subscriptions import PushSubscriptionService
from control_api.services.rooms import RoomsService
from control_api.services.users import UserService
from control_api.services.webhooks import Webhooks
from storage.bus import Bus
from storage.database import Database
from storage.objects import Objects
from storage.repositories import Role, Users
from storage.repositories.account_data import AccountData
from storage.repositories.webhooks import EndpointSettings
from storage.stream_keys import StreamKeyDigester
from tests.control_api.people_world import FakePasswords
from tests.storage.chat_world import until_somebody_waits

ADDRESS = "192.0.2.1"


class SamePicture:
    async def convert(self, data: bytes, width: int, height: int) -> bytes:
        return data


class AnyKeys:
    public_key = ""

    def check_subscription(self, endpoint: str, p256dh: str, auth: str) -> None: ...


@pytest.fixture
async def alice(database: Database) -> UUID:
    return (await Users(database).add("alice", "alice@example.org", "hash")).id


@asynccontextmanager
async def deleted_meanwhile(database: Database, user_id: UUID, act: Awaitable[object]) -> AsyncIterator[None]:
    """``act`` begins while the account is being deleted, and must be refused once it is."""
    async with database.transaction() as transaction:
        await AccountData(transaction).remove(user_id)
        acting = asyncio.ensure_future(act)
        await until_somebody_waits(database)
    with pytest.raises(ApiError) as refused:
        await acting
    assert refused.value.code == "unauthorized"
    yield


def _new_room(database: Database, user_id: UUID) -> Awaitable[object]:
    return RoomsService(database, StreamKeyDigester(b"x" * 32)).create(user_id, NewRoom(title="A room"))


def _new_key(database: Database, user_id: UUID) -> Awaitable[object]:
    return ApiKeyService(database).create(user_id, "A key", [Scope.ROOMS_READ], None, ADDRESS)


def _new_endpoint(database: Database, user_id: UUID) -> Awaitable[object]:
    settings = EndpointSettings("https://example.com/hook", ["follow"], "", True)
    principal = Principal(user_id, Role.USER)
    return Webhooks(database, Outbound()).create(principal, user_id, False, settings, ADDRESS)


def _new_subscription(database: Database, user_id: UUID) -> Awaitable[object]:
    service = PushSubscriptionService(database, AnyKeys())
    return service.subscribe(user_id, "https://push.example.com/1", "key", "auth")


@pytest.mark.parametrize(
    ("act", "table"),
    [
        (_new_room, "rooms"),
        (_new_key, "api_keys"),
        (_new_endpoint, "webhook_endpoints"),
        (_new_subscription, "push_subscriptions"),
    ],
)
async def test_nothing_is_made_for_it(
    database: Database, alice: UUID, act: Callable[[Database, UUID], Awaitable[object]], table: str
) -> None:
    async with deleted_meanwhile(database, alice, act(database, alice)):
        assert await database.fetch_value(f"SELECT count(*) FROM {table}") == 0


async def test_its_profile_stays_empty(database: Database, alice: UUID) -> None:
    users = UserService(database, Bus(), Objects(MemoryStore()), SamePicture(), FakePasswords())
    async with deleted_meanwhile(database, alice, users.change(alice, "Alice Liddell", "I was here")):
        row = await database.fetch_row("SELECT display_name, bio FROM users")
        assert row is not None
        assert tuple(row) == ("Deleted user", "")


async def test_its_picture_is_not_kept(database: Database, alice: UUID) -> None:
    store = MemoryStore()
    users = UserService(database, Bus(), Objects(store), SamePicture(), FakePasswords())
    async with deleted_meanwhile(database, alice, users.set_avatar(alice, b"picture")):
        assert await database.fetch_value("SELECT avatar FROM users") is None
        assert store.list().collect() == []
