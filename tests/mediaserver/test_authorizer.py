"""Who may publish and watch; changes count at once, and an outage is survived."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from control_api.playback_grants import PlaybackGrants
from control_api.services.playback import Denial
from mediaserver.authorizer import (
    NO_SUCH_APPLICATION,
    NO_SUCH_KEY,
    NO_SUCH_ROOM,
    NOT_OPEN,
    OWNER_INACTIVE,
    TOKEN_EXPIRED,
    TOKEN_INVALID,
    UNAVAILABLE,
    Authorizer,
    RoomAccess,
    WatchGrant,
    refusal_of,
)
from mediaserver.config.settings import AuthorizationSettings
from rtmp.ports import PublishGrant, Refusal
from storage.bus import (
    Bus,
    ChangesMissed,
    RoomChanged,
    RoomOwnerChanged,
    RoomRelationChanged,
    StreamKeyRotated,
    UserChanged,
    UserFollowed,
)
from storage.database import Database
from storage.notifications import Notifications
from storage.repositories import Role, Rooms, StreamKeys, Users, UserState, Visibility
from storage.stream_keys import StreamKeyDigester, new_stream_key
from tests.helpers.waiting import eventually

DIGESTER = StreamKeyDigester(b"secret")
LONG = AuthorizationSettings(cache_seconds=3600, negative_cache_seconds=3600)
ADDRESS = "192.0.2.1"
GRANTS = PlaybackGrants(b"secret")


class World:
    """A database with one user and one room, and an authorizer over it."""

    def __init__(self, database: Database, authorizer: Authorizer, bus: Bus) -> None:
        self.database = database
        self.authorizer = authorizer
        self.bus = bus
        self.room_id = UUID(int=0)
        self.owner_id = UUID(int=0)
        self.key = ""

    async def populate(self) -> None:
        owner = await Users(self.database).add("alice", "a@example.com", "hash")
        self.owner_id = owner.id
        self.room_id = await Rooms(self.database).add(owner.id, "A room", "my-room")
        await self.rotate()

    async def rotate(self) -> None:
        self.key = new_stream_key()
        await StreamKeys(self.database).set(self.room_id, DIGESTER.digest(self.key))

    async def publish(self, key: str | None = None) -> PublishGrant | Refusal:
        return await self.authorizer.may_publish("live", self.key if key is None else key, {}, ADDRESS)

    async def watch(self, room_ref: str, token: str | None = None) -> RoomAccess | Refusal:
        return await self.authorizer.may_watch(room_ref, token, ADDRESS)

    async def add_viewer(self) -> UUID:
        return (await Users(self.database).add("bob", "b@example.com", "hash")).id

    async def follow(self, viewer: UUID) -> None:
        await self.database.execute("INSERT INTO follows VALUES ($1, $2)", viewer, self.owner_id)

    def token(self, viewer: UUID | None, room_id: UUID | None = None) -> str:
        return GRANTS.sign(room_id or self.room_id, viewer).token


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    bus = Bus()
    async with Authorizer(database, DIGESTER, bus, LONG, GRANTS) as authorizer:
        world = World(database, authorizer, bus)
        await world.populate()
        yield world


@pytest.fixture
async def notified(world: World) -> AsyncIterator[World]:
    """The same, told of changes by the database."""
    notifications = Notifications(world.database, world.bus)
    task = asyncio.create_task(notifications.run())
    async with asyncio.timeout(10):
        await notifications.listening.wait()
    yield world
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_right_key_opens_its_room(world: World) -> None:
    assert await world.publish() == PublishGrant(str(world.room_id))
    grant = await world.authorizer.may_publish("live/", world.key, {"x": "y"}, ADDRESS)
    assert grant == PublishGrant(str(world.room_id))


@pytest.mark.parametrize("key", ["", "demo", "0" * 40, "../" * 20, "x" * 100_000, "0" * 39 + "\0"])
async def test_a_wrong_key_does_not(world: World, key: str) -> None:
    assert await world.publish(key) == NO_SUCH_KEY
    assert await world.publish(key) == NO_SUCH_KEY


async def test_the_room_is_not_a_key_and_the_key_not_a_room(world: World) -> None:
    assert await world.publish(str(world.room_id)) == NO_SUCH_KEY
    assert await world.watch(world.key) == NO_SUCH_ROOM


async def test_other_applications_are_refused(world: World) -> None:
    assert await world.authorizer.may_publish("vod", world.key, {}, ADDRESS) == NO_SUCH_APPLICATION
    assert await world.authorizer.may_play("vod", "my-room", {}, ADDRESS) == NO_SUCH_APPLICATION


async def test_a_room_is_watched_by_id_and_by_slug(world: World) -> None:
    room_id = str(world.room_id)
    expected = RoomAccess(room_id, "my-room", "A room", "alice", is_listed=True, owner_id=world.owner_id)
    assert await world.watch(room_id) == expected
    assert await world.watch("MY-ROOM") == expected
    assert await world.authorizer.may_play("live", "my-room", {}, ADDRESS) == WatchGrant(room_id)
    for other in ("other-room", str(UUID(int=1)), "../my-room", "my-room/", "", "x" * 100_000):
        assert await world.watch(other) == NO_SUCH_ROOM


async def test_low_latency_is_the_rooms_own_and_counts_at_once(notified: World) -> None:
    room_id = str(notified.room_id)
    access = await notified.watch(room_id)
    assert isinstance(access, RoomAccess) and access.low_latency
    assert await notified.authorizer.has_low_latency(room_id)
    changed: list[RoomChanged] = []
    notified.bus.subscribe(RoomChanged, changed.append)
    await notified.database.execute("UPDATE rooms SET low_latency = false")
    assert not await notified.authorizer.has_low_latency(room_id)
    await eventually(lambda: changed)
    access = await notified.watch(room_id)
    assert isinstance(access, RoomAccess) and not access.low_latency
    assert not await notified.authorizer.has_low_latency(str(UUID(int=1)))


@pytest.mark.parametrize("visibility", Visibility)
async def test_visibility_decides_who_watches(world: World, visibility: Visibility) -> None:
    await Rooms(world.database).set_visibility(world.room_id, visibility)
    is_open = visibility in (Visibility.PUBLIC, Visibility.UNLISTED)
    access = await world.watch("my-room")
    assert isinstance(access, RoomAccess) is is_open
    if isinstance(access, RoomAccess):
        assert access.is_listed is (visibility is Visibility.PUBLIC)
    if not is_open:
        assert await world.watch("my-room") == NOT_OPEN


@pytest.mark.parametrize("state", [state for state in UserState if state is not UserState.ACTIVE])
async def test_only_an_active_owner_publishes(world: World, state: UserState) -> None:
    await Users(world.database).set_state(world.owner_id, state)
    assert await world.publish() == OWNER_INACTIVE


async def test_a_temporary_key_opens_its_room_beside_the_real_one(world: World) -> None:
    key = world.authorizer.issue_temporary_key(str(world.room_id))
    assert await world.publish(key) == PublishGrant(str(world.room_id))
    assert await world.publish() == PublishGrant(str(world.room_id))


async def test_a_rotated_key_stops_working_at_once(notified: World) -> None:
    rotated: list[StreamKeyRotated] = []
    notified.bus.subscribe(StreamKeyRotated, rotated.append)
    old = notified.key
    assert isinstance(await notified.publish(), PublishGrant)
    await notified.rotate()
    await eventually(lambda: rotated)
    assert rotated == [StreamKeyRotated(str(notified.room_id))]
    assert await notified.publish(old) == NO_SUCH_KEY
    assert isinstance(await notified.publish(), PublishGrant)


async def test_a_ban_and_a_visibility_count_at_once(notified: World) -> None:
    changes: list[RoomOwnerChanged] = []
    notified.bus.subscribe(RoomOwnerChanged, changes.append)
    assert isinstance(await notified.publish(), PublishGrant)
    assert isinstance(await notified.watch("my-room"), RoomAccess)
    await Rooms(notified.database).set_visibility(notified.room_id, Visibility.PRIVATE)
    await Users(notified.database).set_state(notified.owner_id, UserState.BANNED)
    await eventually(lambda: changes)
    assert await notified.publish() == OWNER_INACTIVE
    assert await notified.watch("my-room") == NO_SUCH_ROOM


async def test_a_new_room_is_found_although_it_was_asked_for_before(notified: World) -> None:
    assert await notified.watch("new-room") == NO_SUCH_ROOM
    await Rooms(notified.database).add(notified.owner_id, "New", "new-room")
    async with asyncio.timeout(10):
        while await notified.watch("new-room") == NO_SUCH_ROOM:  # noqa: ASYNC110 (nothing says it)
            await asyncio.sleep(0.005)


async def test_what_changed_while_nobody_listened_is_found_out(world: World) -> None:
    """The key and the account of those who were let in are checked again after a gap."""
    events: list[object] = []
    world.bus.subscribe(StreamKeyRotated, events.append)
    world.bus.subscribe(RoomOwnerChanged, events.append)
    room_id = str(world.room_id)
    await world.publish()

    world.bus.publish(ChangesMissed())
    await world.rotate()
    world.bus.publish(ChangesMissed())
    await eventually(lambda: events)
    assert events == [StreamKeyRotated(room_id)]

    await world.publish()
    await Users(world.database).set_state(world.owner_id, UserState.SUSPENDED)
    world.bus.publish(ChangesMissed())
    await eventually(lambda: len(events) == 2)
    assert events[1] == RoomOwnerChanged(room_id, is_active=False)


async def test_an_outage_is_survived_by_what_is_known(database_url: str) -> None:
    bus = Bus()
    settings = AuthorizationSettings(cache_seconds=0, negative_cache_seconds=0)
    database = Database(database_url)
    async with Authorizer(database, DIGESTER, bus, settings) as authorizer:
        world = World(database, authorizer, bus)
        async with database:
            await world.populate()
            assert isinstance(await world.publish(), PublishGrant)
            assert isinstance(await world.watch("my-room"), RoomAccess)

        # The pool is closed now: every question fails.
        assert isinstance(await world.publish(), PublishGrant)
        assert isinstance(await world.watch("my-room"), RoomAccess)
        assert await world.publish(new_stream_key()) == UNAVAILABLE
        assert await world.watch("other-room") == UNAVAILABLE

        authorizer.apply(AuthorizationSettings(cache_seconds=0, stale_seconds=0))
        assert await world.publish() == UNAVAILABLE
        assert await world.watch("my-room") == UNAVAILABLE


async def test_a_thousand_viewers_at_once_are_few_questions(world: World) -> None:
    answers = await asyncio.gather(*(world.watch("my-room") for _ in range(1000)))
    assert {type(answer) for answer in answers} == {RoomAccess}


# Tokens


async def test_a_token_opens_its_room_to_its_user(world: World) -> None:
    bob = await world.add_viewer()
    await Rooms(world.database).set_visibility(world.room_id, Visibility.FOLLOWERS)
    await world.follow(bob)
    access = await world.watch("my-room", world.token(bob))
    assert isinstance(access, RoomAccess)
    assert access.viewer_id == bob
    query = {"token": world.token(bob)}
    grant = await world.authorizer.may_play("live", "my-room", query, ADDRESS)
    assert grant == WatchGrant(str(world.room_id), bob)
    assert await world.watch("my-room") == NOT_OPEN
    assert await world.authorizer.may_play("live", "my-room", {}, ADDRESS) == NOT_OPEN


async def test_a_token_opens_no_other_room(world: World) -> None:
    other = await Rooms(world.database).add(world.owner_id, "Other", None, Visibility.PRIVATE)
    assert await world.watch(str(other), world.token(world.owner_id)) == TOKEN_INVALID
    assert isinstance(await world.watch(str(other), world.token(world.owner_id, other)), RoomAccess)


async def test_expired_and_foreign_tokens_are_told_apart(world: World) -> None:
    await Rooms(world.database).set_visibility(world.room_id, Visibility.PRIVATE)
    old = PlaybackGrants(b"secret", lifetime_seconds=-1).sign(world.room_id, world.owner_id).token
    foreign = PlaybackGrants(b"other").sign(world.room_id, world.owner_id).token
    assert await world.watch("my-room", old) == TOKEN_EXPIRED
    for token in (foreign, "", "x", "a.b.c", "\udcff", "x" * 100_000):
        assert await world.watch("my-room", token) == TOKEN_INVALID


async def test_a_useless_token_does_no_harm_in_an_open_room(world: World) -> None:
    old = PlaybackGrants(b"secret", lifetime_seconds=-1).sign(world.room_id, None).token
    for token in (old, "x"):
        access = await world.watch("my-room", token)
        assert isinstance(access, RoomAccess)
        assert access.viewer_id is None


async def test_an_age_restricted_room_needs_a_token(world: World) -> None:
    bob = await world.add_viewer()
    await world.database.execute("UPDATE rooms SET age_restricted = true")
    assert await world.watch("my-room") == NOT_OPEN
    assert await world.watch("my-room", world.token(None)) == refusal_of(Denial.AGE_RESTRICTED)
    assert isinstance(await world.watch("my-room", world.token(bob)), RoomAccess)


async def test_how_many_may_watch_is_told_unless_it_does_not_matter(world: World) -> None:
    bob = await world.add_viewer()
    await world.database.execute("UPDATE rooms SET max_viewers = 5")
    for token, expected in (
        (None, 5),
        (world.token(bob), 5),
        (world.token(None), 5),
        (world.token(world.owner_id), None),
    ):
        access = await world.watch("my-room", token)
        assert isinstance(access, RoomAccess)
        assert access.max_viewers == expected


async def test_who_may_not_watch_any_more_is_refused_with_an_old_token(notified: World) -> None:
    """Nothing but the database is told, and the answers are kept for an hour."""
    bob = await notified.add_viewer()
    database, token = notified.database, notified.token(bob)

    async def is_told(expected: Denial | None) -> None:
        async with asyncio.timeout(10):
            while True:
                access = await notified.watch("my-room", token)
                if access == (expected and refusal_of(expected)) or (
                    expected is None and isinstance(access, RoomAccess)
                ):
                    return
                await asyncio.sleep(0.005)

    await is_told(None)
    await Rooms(database).set_visibility(notified.room_id, Visibility.FOLLOWERS)
    await is_told(Denial.FOLLOWERS_ONLY)
    await notified.follow(bob)
    notified.bus.publish(UserFollowed(str(bob), str(notified.owner_id)))
    await is_told(None)
    await database.execute("DELETE FROM follows")
    await is_told(Denial.FOLLOWERS_ONLY)
    await Users(database).set_role(bob, Role.ADMIN)
    await is_told(None)
    await Users(database).set_role(bob, Role.USER)
    await is_told(Denial.FOLLOWERS_ONLY)
    await Rooms(database).set_visibility(notified.room_id, Visibility.PUBLIC)
    await is_told(None)
    await database.execute("INSERT INTO blocks VALUES ($1, $2)", notified.owner_id, bob)
    await is_told(Denial.BLOCKED)
    await database.execute("DELETE FROM blocks")
    notified.bus.publish(RoomRelationChanged(str(bob), str(notified.owner_id)))
    await is_told(None)
    await Users(database).set_state(bob, UserState.BANNED)
    await is_told(Denial.ACCOUNT_SUSPENDED)


async def test_a_token_costs_no_query_each_time(world: World) -> None:
    bob = await world.add_viewer()
    await world.watch("my-room", world.token(bob))
    await Users(world.database).set_state(bob, UserState.BANNED)  # nobody tells
    assert isinstance(await world.watch("my-room", world.token(bob)), RoomAccess)
    world.bus.publish(UserChanged(str(bob)))
    assert await world.watch("my-room", world.token(bob)) == refusal_of(Denial.ACCOUNT_SUSPENDED)


async def test_those_who_may_not_watch_are_picked_out(world: World) -> None:
    bob = await world.add_viewer()
    room = str(world.room_id)
    everyone = [None, bob, world.owner_id]
    assert await world.authorizer.may_not_watch(room, everyone) == set()
    await Rooms(world.database).set_visibility(world.room_id, Visibility.PRIVATE)
    assert await world.authorizer.may_not_watch(room, everyone) == {None, bob}
    await Rooms(world.database).delete(world.room_id)
    assert await world.authorizer.may_not_watch(room, everyone) == set(everyone)


async def test_without_grants_no_token_counts(database: Database) -> None:
    bus = Bus()
    async with Authorizer(database, DIGESTER, bus, LONG) as authorizer:
        world = World(database, authorizer, bus)
        await world.populate()
        await Rooms(database).set_visibility(world.room_id, Visibility.PRIVATE)
        assert await world.watch("my-room", world.token(world.owner_id)) == TOKEN_INVALID


async def test_a_room_of_a_suspended_owner_is_not_there(world: World) -> None:
    """Neither for those who come nor for those who watch, but for administrators."""
    bob = await world.add_viewer()
    root = (await Users(world.database).add("root", "r@example.com", "hash", Role.ADMIN)).id
    everybody = [None, bob, root]
    assert isinstance(await world.watch("my-room"), RoomAccess)
    assert not await world.authorizer.may_not_watch(str(world.room_id), everybody)

    await Users(world.database).set_state(world.owner_id, UserState.SUSPENDED)
    world.bus.publish(RoomOwnerChanged(str(world.room_id), is_active=False))
    assert await world.watch("my-room") == NO_SUCH_ROOM
    assert await world.watch("my-room", world.token(bob)) == NO_SUCH_ROOM
    assert await world.watch("my-room", world.token(None)) == NO_SUCH_ROOM
    assert isinstance(await world.watch("my-room", world.token(root)), RoomAccess)
    assert await world.authorizer.may_not_watch(str(world.room_id), everybody) == {None, bob}

    await Users(world.database).set_state(world.owner_id, UserState.ACTIVE)
    world.bus.publish(RoomOwnerChanged(str(world.room_id), is_active=True))
    assert isinstance(await world.watch("my-room"), RoomAccess)
