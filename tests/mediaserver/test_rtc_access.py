"""What participants of ``/rtc`` may do, by who they are and what they show."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from chat.errors import Refusal as ChatRefusal
from chat.ports import Identity
from control_api.playback_grants import PlaybackGrants, PublishGrants
from control_api.services.playback import PlaybackAccess
from control_api.services.publish_tokens import PublishTokens
from control_api.services.rooms import RoomsService
from mediaserver.authorizer import Authorizer
from mediaserver.chat_ports import RoomAdmission
from mediaserver.config.settings import AuthorizationSettings
from mediaserver.rtc_access import Principal, RtcAccess
from sfu.room_errors import Refusal
from sfu.room_ports import Grants
from storage.bus import Bus
from storage.database import Database
from storage.repositories import Role, Rooms, Users, UserState, Visibility
from storage.repositories.chat_people import ChatPeople
from storage.shared_state import LocalState
from storage.stream_keys import StreamKeyDigester
from tests.control_api.rooms_world import FakeMedia

DIGESTER = StreamKeyDigester(b"secret")
PLAYBACK = PlaybackGrants(b"secret")
PUBLISH = PublishGrants(b"secret")
ADDRESS = "192.0.2.1"
CONNECTIONS = 20


class Names:
    """A SignIn that believes what the request says."""

    def __init__(self, database: Database) -> None:
        self._users = Users(database)
        self.address = ADDRESS
        self.identified = 0

    def address_of(self, request: web.Request) -> str:
        return self.address

    async def identify(self, request: web.Request) -> Identity | None:
        self.identified += 1
        name = request.query.get("name")
        if name == "forged":
            raise ChatRefusal("invalid_token", "The token is no good.")
        user = await self._users.find_by_name(name) if name else None
        return Identity(user.id, user.username, user.display_name) if user else None

    async def is_valid(self, identity: Identity) -> bool:
        return True


class World:
    """A room of alice's; bob is somebody, mia its moderator, carol the site's."""

    def __init__(self, database: Database, authorizer: Authorizer) -> None:
        tokens = PublishTokens(database, RoomsService(database, DIGESTER), PUBLISH, FakeMedia())
        admission = RoomAdmission(database, PlaybackAccess(database))
        self.database = database
        self.sign_in = Names(database)
        self.access = RtcAccess(
            database, self.sign_in, authorizer, admission, tokens, LocalState(), CONNECTIONS
        )
        self.people: dict[str, UUID] = {}
        self.room = UUID(int=0)

    async def populate(self) -> None:
        users = Users(self.database)
        for name, role in (
            ("alice", Role.USER),
            ("bob", Role.USER),
            ("mia", Role.USER),
            ("carol", Role.MODERATOR),
        ):
            self.people[name] = (await users.add(name, f"{name}@example.com", "hash", role)).id
        self.room = await Rooms(self.database).add(self.people["alice"], "A room", "kitchen")
        await ChatPeople(self.database).add_moderator(self.room, self.people["mia"], self.people["alice"])

    async def principal(self, name: str | None) -> Principal:
        return await self.access.admit(make_mocked_request("GET", f"/rtc?name={name}" if name else "/rtc"))

    async def grants(self, name: str | None, token: str | None = None, room: str = "kitchen") -> Grants:
        return await self.access.authorize(room, token, await self.principal(name))

    async def code(self, name: str | None, token: str | None = None, room: str = "kitchen") -> str:
        with pytest.raises(Refusal) as refused:
            await self.grants(name, token, room)
        return refused.value.code


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    settings = AuthorizationSettings(cache_seconds=0)
    async with Authorizer(database, DIGESTER, Bus(), settings, PLAYBACK) as authorizer:
        world = World(database, authorizer)
        await world.populate()
        yield world


@pytest.mark.parametrize(
    ("name", "rights"),
    [
        ("alice", {"can_publish", "can_moderate", "is_host"}),
        ("bob", set()),
        ("mia", {"can_moderate"}),
        ("carol", {"can_moderate"}),
        (None, set()),
    ],
)
async def test_rights_follow_the_role(world: World, name: str | None, rights: set[str]) -> None:
    grants = await world.grants(name)
    had = {right for right in ("can_publish", "can_moderate", "is_host") if getattr(grants, right)}
    assert had == rights
    assert grants.can_subscribe
    assert grants.room_id == str(world.room)


async def test_guests_differ_and_people_are_the_same_each_time(world: World) -> None:
    first, second = await world.grants(None), await world.grants(None)
    assert first.identity != second.identity
    assert first.identity.startswith("guest:")
    assert first.is_guest
    assert not (await world.grants("bob")).is_guest
    assert (await world.grants("bob")).identity == str(world.people["bob"])


async def test_a_publish_token_makes_its_bearer_a_host_while_its_user_may_publish(world: World) -> None:
    token = PUBLISH.sign(world.room, world.people["alice"]).token
    assert (await world.grants(None, token)).is_host
    other = await Rooms(world.database).add(world.people["bob"], "Other", "cellar")
    assert not (await world.grants(None, token, str(other))).is_host
    await Users(world.database).set_state(world.people["alice"], UserState.SUSPENDED)
    assert await world.code(None, token) == "room_not_found"


async def test_closed_rooms_open_by_account_or_token(world: World) -> None:
    await Rooms(world.database).set_visibility(world.room, Visibility.PRIVATE)
    assert await world.code(None) == "token_required"
    assert await world.code("bob") == "room_not_found"
    assert await world.code("bob", room=str(world.room)) == "private_room"
    assert (await world.grants("alice")).is_host
    assert (await world.grants("mia")).can_moderate
    token = PLAYBACK.sign(world.room, world.people["mia"]).token
    assert not (await world.grants(None, token)).can_moderate, "a playback token only opens the door"


async def test_what_is_wrong_is_named(world: World) -> None:
    assert await world.code(None, room="nowhere") == "room_not_found"
    assert await world.code("bob", room="nowhere") == "room_not_found"
    assert await world.code("bob", room="a/b\0") == "room_not_found"
    with pytest.raises(Refusal, match="no good") as refused:
        await world.principal("forged")
    assert refused.value.code == "invalid_token"


async def test_a_token_lends_the_name_of_whom_it_was_made_for(world: World) -> None:
    token = PLAYBACK.sign(world.room, world.people["mia"]).token
    grants = await world.grants(None, token)
    assert (grants.identity, grants.name) == (str(world.people["mia"]), "mia")
    hosting = await world.grants(None, PUBLISH.sign(world.room, world.people["alice"]).token)
    assert hosting.identity == str(world.people["alice"])


async def test_rights_are_reviewed_without_the_token(world: World) -> None:
    host = await world.grants(None, PUBLISH.sign(world.room, world.people["alice"]).token)
    guest, mia = await world.grants(None), await world.grants("mia")
    nobody = await world.principal(None)
    assert await world.access.review(host, nobody) == host
    assert await world.access.review(mia, await world.principal("mia")) == mia
    assert not (await world.access.review(guest, nobody)).can_moderate
    await ChatPeople(world.database).remove_moderator(world.room, world.people["mia"])
    assert not (await world.access.review(mia, await world.principal("mia"))).can_moderate
    await Rooms(world.database).set_visibility(world.room, Visibility.PRIVATE)
    for name, grants in ((None, guest), ("mia", mia)):
        with pytest.raises(Refusal):
            await world.access.review(grants, await world.principal(name))
    await Users(world.database).set_state(world.people["alice"], UserState.SUSPENDED)
    with pytest.raises(Refusal):
        await world.access.review(host, await world.principal(None))


@pytest.mark.parametrize(
    ("address", "neighbour", "stranger"),
    [("192.0.2.1", "192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")],
)
async def test_an_address_connects_only_so_often(
    world: World, address: str, neighbour: str, stranger: str
) -> None:
    world.sign_in.address = address
    for _ in range(CONNECTIONS):
        await world.principal(None)
    world.sign_in.address = neighbour
    with pytest.raises(Refusal) as refused:
        await world.principal("bob")
    assert refused.value.code == "rate_limited"
    assert refused.value.retry_after
    assert world.sign_in.identified == CONNECTIONS, "nothing else is asked for them"
    world.sign_in.address = stranger
    await world.principal(None)


async def test_the_room_knows_where_people_come_from(world: World) -> None:
    host = PUBLISH.sign(world.room, world.people["alice"]).token
    for grants in (
        await world.grants(None),
        await world.grants("bob"),
        await world.grants("alice"),
        await world.grants(None, host),
    ):
        assert grants.address == ADDRESS
        assert (await world.access.review(grants, await world.principal(None))).address == ADDRESS


async def test_the_room_knows_who_has_to_find_a_place(world: World) -> None:
    await world.database.execute("UPDATE rooms SET max_viewers = 5")
    for name, most in ((None, 5), ("bob", 5), ("alice", None)):
        grants = await world.grants(name)
        assert grants.max_viewers == most
        assert (await world.access.review(grants, await world.principal(name))).max_viewers == most
