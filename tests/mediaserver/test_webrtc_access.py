"""The stream key publishes to its own room only; who may watch is asked as everywhere."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from control_api.playback_grants import PlaybackGrants, PublishGrants
from control_api.services.publish_tokens import PublishTokens
from control_api.services.rooms import RoomsService
from mediaserver.authorizer import Authorizer
from mediaserver.config.settings import AuthorizationSettings
from mediaserver.delivery.broadcast import BroadcastCounters, BroadcastOptions
from mediaserver.delivery.live import LiveDelivery
from mediaserver.hub.gop_cache import GopCacheLimits
from mediaserver.hub.hub import Hub
from mediaserver.playback_sessions import SessionReview
from mediaserver.webrtc_access import WebRtcAccess
from sfu.ports import PublishGrant, Refusal, RefusalReason, ViewGrant
from storage.bus import Bus, ChangesMissed
from storage.database import Database
from storage.repositories import Rooms, StreamKeys, Users, UserState, Visibility
from storage.repositories.users import Role
from storage.stream_keys import StreamKeyDigester, new_stream_key
from tests.control_api.rooms_world import FakeMedia
from tests.helpers.waiting import eventually

DIGESTER = StreamKeyDigester(b"secret")
GRANTS = PlaybackGrants(b"secret")
PUBLISH_GRANTS = PublishGrants(b"secret")
STALE_GRANTS = PublishGrants(b"secret", -1)
ADDRESS = "192.0.2.1"


class World:
    """Two rooms of one owner, and the access to them."""

    def __init__(self, database: Database, authorizer: Authorizer) -> None:
        self.database = database
        self.authorizer = authorizer
        self.live = LiveDelivery(Hub(), BroadcastOptions(), GopCacheLimits())
        self.sessions = self.live.sessions
        tokens = PublishTokens(database, RoomsService(database, DIGESTER), PUBLISH_GRANTS, FakeMedia())
        self.access = WebRtcAccess(authorizer, self.live, tokens)
        self.owner = self.room = self.other = UUID(int=0)
        self.key = ""

    async def populate(self) -> None:
        self.owner = (await Users(self.database).add("alice", "a@example.com", "hash")).id
        self.room = await Rooms(self.database).add(self.owner, "A room", "my-room")
        self.other = await Rooms(self.database).add(self.owner, "Another", "other-room")
        self.key = new_stream_key()
        await StreamKeys(self.database).set(self.room, DIGESTER.digest(self.key))

    async def publish(self, room: str, bearer: str | None) -> PublishGrant | tuple[RefusalReason, str]:
        answer = await self.access.authorize_publish(room, bearer, ADDRESS)
        return (answer.reason, answer.code) if isinstance(answer, Refusal) else answer

    async def set_low_latency(self, is_on: bool) -> None:
        await self.database.execute("UPDATE rooms SET low_latency = $2 WHERE id = $1", self.room, is_on)

    async def view(self, room: str, token: str | None = None) -> ViewGrant | tuple[RefusalReason, str]:
        answer = await self.access.authorize_view(room, token, ADDRESS)
        return (answer.reason, answer.code) if isinstance(answer, Refusal) else answer


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    bus = Bus()
    async with Authorizer(database, DIGESTER, bus, AuthorizationSettings(cache_seconds=0), GRANTS) as who:
        world = World(database, who)
        await world.populate()
        yield world


@pytest.mark.parametrize("name", ["my-room", "id"])
async def test_the_key_publishes_to_its_room(world: World, name: str) -> None:
    room = str(world.room) if name == "id" else name
    assert await world.publish(room, world.key) == PublishGrant(str(world.room))


async def test_the_key_publishes_to_no_other_room(world: World) -> None:
    refused = (RefusalReason.FORBIDDEN, "wrong_room")
    assert await world.publish("other-room", world.key) == refused
    assert await world.publish(str(world.other), world.key) == refused
    assert await world.publish("no-such-room", world.key) == refused


async def test_without_the_key_nothing_is_told_of_the_room(world: World) -> None:
    for room in ("my-room", "no-such-room"):
        assert await world.publish(room, None) == (RefusalReason.NEEDS_TOKEN, "token_required")
        assert await world.publish(room, new_stream_key()) == (RefusalReason.NEEDS_TOKEN, "invalid_key")
    assert await world.publish("not/a room", world.key) == (RefusalReason.NO_SUCH_ROOM, "no_such_room")


async def test_a_publish_token_publishes_to_its_room_while_its_user_may(world: World) -> None:
    token = PUBLISH_GRANTS.sign(world.room, world.owner).token
    grant = PublishGrant(str(world.room), world.owner)
    assert await world.publish("my-room", token) == grant
    assert await world.access.may_still_publish(grant)
    assert await world.publish("other-room", token) == (RefusalReason.FORBIDDEN, "wrong_room")
    await Users(world.database).set_state(world.owner, UserState.SUSPENDED)
    assert await world.publish("my-room", token) == (RefusalReason.FORBIDDEN, "forbidden")
    assert not await world.access.may_still_publish(grant)


async def test_an_administrator_publishes_elsewhere_only_while_one(world: World) -> None:
    users = Users(world.database)
    admin = (await users.add("root", "root@example.com", "hash", role=Role.ADMIN)).id
    token = PUBLISH_GRANTS.sign(world.room, admin).token
    grant = await world.access.authorize_publish("my-room", token, ADDRESS)
    assert grant == PublishGrant(str(world.room), admin)
    assert await world.access.may_still_publish(grant)
    await world.database.execute("UPDATE users SET role = 'user' WHERE id = $1", admin)
    assert not await world.access.may_still_publish(grant)


async def test_other_tokens_do_not_publish(world: World) -> None:
    stale = STALE_GRANTS.sign(world.room, world.owner).token
    assert await world.publish("my-room", stale) == (RefusalReason.NEEDS_TOKEN, "token_expired")
    for token in ("nonsense", GRANTS.sign(world.room, world.owner).token):
        assert await world.publish("my-room", token) == (RefusalReason.NEEDS_TOKEN, "invalid_key")


async def test_a_suspended_owner_does_not_publish(world: World) -> None:
    await Users(world.database).set_state(world.owner, UserState.SUSPENDED)
    assert await world.publish("my-room", world.key) == (RefusalReason.FORBIDDEN, "forbidden")


async def test_open_rooms_are_watched_by_all_and_others_with_a_token(world: World) -> None:
    assert await world.view("my-room") == ViewGrant(str(world.room))
    assert await world.view("nowhere") == (RefusalReason.NO_SUCH_ROOM, "no_such_room")
    await Rooms(world.database).set_visibility(world.room, Visibility.PRIVATE)
    assert await world.view(str(world.room)) == (RefusalReason.NEEDS_TOKEN, "token_required")
    token = GRANTS.sign(world.room, world.owner).token
    assert await world.view(str(world.room), token) == ViewGrant(str(world.room), world.owner)


async def test_a_viewer_is_counted_in_and_made_to_leave(world: World) -> None:
    sessions = world.sessions
    told: list[str] = []
    gone = world.access.joined(ViewGrant("room", world.owner), lambda: told.append("leave"), is_program=True)
    assert sessions.users("room") == [world.owner]
    assert sessions.close("room", [world.owner]) == 1
    assert told == ["leave"]
    gone()
    assert sessions.users("room") == []


async def test_a_room_says_whether_it_has_low_latency(world: World) -> None:
    await world.set_low_latency(False)
    assert await world.view("my-room") == ViewGrant(str(world.room), low_latency=False)
    token = GRANTS.sign(world.room, world.owner).token
    assert await world.view("my-room", token) == ViewGrant(str(world.room), world.owner, low_latency=False)
    assert await world.view("other-room") == ViewGrant(str(world.other))


async def test_without_low_latency_those_who_watch_the_program_leave(world: World) -> None:
    bus = Bus()
    told: list[str] = []
    review = SessionReview(world.sessions, world.authorizer, bus)
    grant = ViewGrant(str(world.room))
    world.access.joined(grant, lambda: told.append("program"), is_program=True)
    world.access.joined(grant, lambda: told.append("participant"), is_program=False)
    world.access.joined(ViewGrant(str(world.other)), lambda: told.append("other"), is_program=True)
    await world.set_low_latency(False)
    bus.publish(ChangesMissed())
    await eventually(lambda: told and not review.is_busy)
    assert told == ["program"]
    await review.close()


async def test_who_only_asks_is_no_viewer(world: World) -> None:
    grant = await world.view("my-room")
    assert isinstance(grant, ViewGrant)
    gone = world.access.joined(grant, lambda: None, is_program=True)
    assert world.live.viewers == 0
    gone()


async def test_viewers_of_all_doors_have_one_limit(world: World) -> None:
    world.live.max_viewers = 2
    grant = await world.view("my-room")
    assert isinstance(grant, ViewGrant)
    gone = world.access.connected(grant)
    assert gone is not None
    assert (world.live.viewers, world.live.is_full) == (1, False)
    flv = world.live.counters["flv"] = BroadcastCounters(viewers=1)
    assert world.live.is_full
    assert await world.view("my-room") == (RefusalReason.UNAVAILABLE, "server_full")
    assert world.access.connected(grant) is None
    assert await world.view("nowhere") == (RefusalReason.NO_SUCH_ROOM, "no_such_room")
    gone()
    assert await world.view("my-room") == grant
    flv.viewers = 2
    assert await world.view("my-room") == (RefusalReason.UNAVAILABLE, "server_full")
    assert world.live.counters["whep"] == BroadcastCounters(viewers_joined=1)
