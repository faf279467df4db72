"""Who gets a playback token, and what the others are told."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request

from control_api.errors import ApiError
from control_api.playback_grants import PlaybackGrants
from control_api.principal import Principal
from control_api.routes.playback import PlaybackRoutes
from control_api.routing import Call
from control_api.services.playback import Denial, PlaybackAccess, PlaybackBases, PlaybackService
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Role, Rooms, Users, UserState, Visibility
from storage.repositories.chat_people import ChatPeople
from tests.control_api.serving import serve
from tests.control_api.subscribed import end, subscribe

GRANTS = PlaybackGrants(b"secret")
BASES = PlaybackBases("https://video.example", "rtmp://video.example:1935/live")


class Crowd:
    def __init__(self) -> None:
        self.viewers = 0

    def watcher_count(self, room_id: UUID) -> int:
        return self.viewers


@dataclass
class World:
    """A room of alice's, and bob, who would watch."""

    database: Database
    service: PlaybackService
    crowd: Crowd
    owner: UUID
    viewer: UUID
    room: UUID

    async def change(self, visibility: Visibility = Visibility.PUBLIC, **columns: object) -> None:
        await Rooms(self.database).set_visibility(self.room, visibility)
        for name, value in columns.items():
            await self.database.execute(f"UPDATE rooms SET {name} = $1 WHERE id = $2", value, self.room)

    async def relate(self, table: str, first: UUID, second: UUID) -> None:
        await self.database.execute(f"INSERT INTO {table} VALUES ($1, $2)", first, second)

    async def denial_to(self, user: UUID | None) -> str | None:
        try:
            await self.service.issue(Principal(user), self.room)
        except ApiError as error:
            assert error.status is HTTPStatus.FORBIDDEN
            return error.code
        return None

    async def everybody(self) -> tuple[str | None, str | None, str | None]:
        """What nobody in particular, bob and the owner are told."""
        return (
            await self.denial_to(None),
            await self.denial_to(self.viewer),
            await self.denial_to(self.owner),
        )


@pytest.fixture
async def world(database: Database) -> World:
    owner = await Users(database).add("alice", "alice@example.com", "hash")
    viewer = await Users(database).add("bob", "bob@example.com", "hash")
    room = await Rooms(database).add(owner.id, "A room", "kitchen")
    crowd = Crowd()
    service = PlaybackService(PlaybackAccess(database), GRANTS, crowd, lambda: BASES)
    return World(database, service, crowd, owner.id, viewer.id, room)


@pytest.mark.parametrize("visibility", [Visibility.PUBLIC, Visibility.UNLISTED])
async def test_open_rooms_are_for_everyone(world: World, visibility: Visibility):
    await world.change(visibility)
    assert await world.everybody() == (None, None, None)


async def test_a_room_for_followers(world: World):
    await world.change(Visibility.FOLLOWERS)
    assert await world.everybody() == ("followers_only", "followers_only", None)
    await world.relate("follows", world.owner, world.viewer)
    assert await world.denial_to(world.viewer) == "followers_only", (
        "the owner follows them, not they the owner"
    )
    await world.relate("follows", world.viewer, world.owner)
    assert await world.denial_to(world.viewer) is None


async def test_a_room_for_subscribers(world: World):
    await world.change(Visibility.SUBSCRIBERS)
    assert await world.everybody() == ("subscribers_only", "subscribers_only", None)
    await subscribe(world.database, world.owner, world.viewer)
    assert await world.denial_to(world.viewer) == "subscribers_only", "it is the other way round"
    subscription = await subscribe(world.database, world.viewer, world.owner)
    assert await world.denial_to(world.viewer) is None
    await end(world.database, subscription)
    assert await world.denial_to(world.viewer) == "subscribers_only"


async def test_a_private_room(world: World):
    await world.change(Visibility.PRIVATE)
    assert await world.everybody() == ("private_room", "private_room", None)


async def test_an_age_restricted_room_needs_an_account(world: World):
    await world.change(age_restricted=True)
    assert await world.everybody() == ("age_restricted", None, None)


async def test_a_full_room(world: World):
    await world.change(max_viewers=2)
    world.crowd.viewers = 1
    assert await world.everybody() == (None, None, None)
    world.crowd.viewers = 2
    assert await world.everybody() == ("room_full", "room_full", None)


@pytest.mark.parametrize("visibility", Visibility)
async def test_who_was_blocked_stays_out_of_every_room(world: World, visibility: Visibility):
    await world.change(visibility)
    await world.relate("follows", world.viewer, world.owner)
    await subscribe(world.database, world.viewer, world.owner)
    await world.relate("blocks", world.owner, world.viewer)
    is_private = visibility is Visibility.PRIVATE
    assert await world.denial_to(world.viewer) == ("private_room" if is_private else "blocked")


async def test_a_private_room_tells_that_it_is_private_and_nothing_else(world: World):
    """Whoever has its id gets the same answer, whatever else is true of the room, its owner and them."""

    async def answer(user: UUID | None) -> tuple[object, ...]:
        with pytest.raises(ApiError) as raised:
            await world.service.issue(Principal(user), world.room)
        error = raised.value
        return error.status, error.code, error.message, error.details, tuple(error.headers)

    expected = (HTTPStatus.FORBIDDEN, "private_room", "This room is private.", (), ())
    await world.change(Visibility.PRIVATE)
    assert {await answer(None), await answer(world.viewer)} == {expected}
    await world.change(Visibility.PRIVATE, max_viewers=1, age_restricted=True)
    world.crowd.viewers = 5
    await world.relate("follows", world.viewer, world.owner)
    await subscribe(world.database, world.viewer, world.owner)
    assert {await answer(None), await answer(world.viewer)} == {expected}
    await world.relate("blocks", world.owner, world.viewer)
    assert {await answer(None), await answer(world.viewer)} == {expected}


async def test_a_block_counts_in_one_direction(world: World):
    await world.relate("blocks", world.viewer, world.owner)
    assert await world.denial_to(world.viewer) is None


@pytest.mark.parametrize("state", [state for state in UserState if state is not UserState.ACTIVE])
async def test_an_account_that_is_not_active_watches_nothing(world: World, state: UserState):
    await Users(world.database).set_state(world.viewer, state)
    assert await world.denial_to(world.viewer) == "account_suspended"


async def test_not_even_the_owner_with_a_banned_account(world: World):
    await Users(world.database).set_state(world.owner, UserState.BANNED)
    assert await world.denial_to(world.owner) == "account_suspended"


async def test_an_account_that_is_gone_watches_nothing(world: World):
    assert await world.denial_to(new_id()) == "account_suspended"


@pytest.mark.parametrize(
    ("role", "denial"),
    [(Role.MODERATOR, "private_room"), (Role.ADMIN, None), (Role.SUPERADMIN, None)],
)
async def test_administrators_always_may(world: World, role: Role, denial: str | None):
    await world.change(Visibility.PRIVATE, max_viewers=1, age_restricted=True)
    world.crowd.viewers = 5
    await Users(world.database).set_role(world.viewer, role)
    assert await world.denial_to(world.viewer) == denial


@pytest.mark.parametrize("visibility", Visibility)
async def test_a_moderator_of_the_room_always_may(world: World, visibility: Visibility):
    await world.change(visibility, max_viewers=1, age_restricted=True)
    world.crowd.viewers = 5
    await ChatPeople(world.database).add_moderator(world.room, world.viewer, world.owner)
    assert await world.everybody() == (await world.denial_to(None), None, None)
    assert await world.denial_to(None) is not None


async def test_a_moderator_of_another_room_is_nobody_here(world: World):
    await world.change(Visibility.PRIVATE)
    other = await Rooms(world.database).add(world.owner, "Another room", "bath")
    await ChatPeople(world.database).add_moderator(other, world.viewer, world.owner)
    assert await world.denial_to(world.viewer) == "private_room"


async def test_a_moderator_whom_the_owner_blocked_stays_out(world: World):
    await ChatPeople(world.database).add_moderator(world.room, world.viewer, world.owner)
    await world.relate("blocks", world.owner, world.viewer)
    assert await world.denial_to(world.viewer) == "blocked"
    await world.change(Visibility.PRIVATE)
    assert await world.denial_to(world.viewer) == "private_room"


async def test_a_suspended_moderator_watches_nothing(world: World):
    await ChatPeople(world.database).add_moderator(world.room, world.viewer, world.owner)
    await Users(world.database).set_state(world.viewer, UserState.SUSPENDED)
    assert await world.denial_to(world.viewer) == "account_suspended"


async def test_not_even_a_moderator_knows_a_room_of_somebody_who_was_banned(world: World):
    await ChatPeople(world.database).add_moderator(world.room, world.viewer, world.owner)
    await Users(world.database).set_state(world.owner, UserState.BANNED)
    with pytest.raises(ApiError) as raised:
        await world.service.issue(Principal(world.viewer), world.room)
    assert raised.value.code == "room_not_found"


async def test_a_room_that_is_not_there(world: World):
    with pytest.raises(ApiError) as raised:
        await world.service.issue(Principal(world.viewer), new_id())
    assert (raised.value.status, raised.value.code) == (HTTPStatus.NOT_FOUND, "room_not_found")


async def test_a_room_of_somebody_who_was_banned_is_not_there(world: World):
    await Users(world.database).set_state(world.owner, UserState.BANNED)
    for user in (None, world.viewer):
        with pytest.raises(ApiError) as raised:
            await world.service.issue(Principal(user), world.room)
        assert raised.value.code == "room_not_found"
    await Users(world.database).set_role(world.viewer, Role.ADMIN)
    assert await world.denial_to(world.viewer) is None


async def test_many_are_judged_in_one_query(world: World):
    await world.change(Visibility.FOLLOWERS)
    await world.relate("follows", world.viewer, world.owner)
    gone = new_id()
    access = PlaybackAccess(world.database)
    verdicts = await access.verdicts(world.room, [None, world.viewer, world.owner, gone])
    assert {verdict.user_id: verdict.denial for verdict in verdicts} == {
        None: Denial.FOLLOWERS_ONLY,
        world.viewer: None,
        world.owner: None,
        gone: Denial.ACCOUNT_SUSPENDED,
    }
    assert await access.verdicts(new_id(), [None, world.viewer]) == []


# The route


def call(path_id: str, user: UUID | None) -> Call[Any, Any]:
    request = make_mocked_request("POST", "/")
    return Call(Principal(user), None, None, {"id": path_id}, "192.0.2.1", request, "request")


async def test_the_answer_has_the_token_in_every_address(world: World):
    [route] = PlaybackRoutes(world.service).routes()
    assert (route.method, route.path) == ("POST", "/rooms/{id}/playback-token")
    answer = msgspec.to_builtins(await route.handler(call(str(world.room), world.viewer)))
    assert answer.keys() == {"token", "expiresAt", "urls"}
    grant = GRANTS.verify(answer["token"])
    assert grant is not None
    assert (grant.room_id, grant.user_id) == (world.room, world.viewer)
    expires_at = datetime.fromisoformat(answer["expiresAt"])
    assert timedelta(minutes=14) < expires_at - datetime.now(UTC) <= timedelta(minutes=15)
    bare = {}
    for name, address in answer["urls"].items():
        parts = urlsplit(address)
        assert parse_qs(parts.query) == {"token": [answer["token"]]}
        bare[name] = parts._replace(query="").geturl()
    assert bare == {
        "flv": f"https://video.example/live/{world.room}.flv",
        "wsFlv": f"wss://video.example/live/{world.room}.flv",
        "mp4": f"https://video.example/live/{world.room}.mp4",
        "hls": f"https://video.example/hls/{world.room}/index.m3u8",
        "whep": f"https://video.example/whep/{world.room}",
        "rtmp": f"rtmp://video.example:1935/live/{world.room}",
    }


@pytest.mark.parametrize("path_id", ["kitchen", "", "%00", "../x", "{" + str(UUID(int=1)) + "}"])
async def test_what_is_no_id_is_no_room(world: World, path_id: str):
    [route] = PlaybackRoutes(world.service).routes()
    with pytest.raises(ApiError) as raised:
        await route.handler(call(path_id, None))
    assert raised.value.code == "room_not_found"


async def test_every_refusal_is_documented(world: World):
    [route] = PlaybackRoutes(world.service).routes()
    assert {code for _, code in route.errors} == {"room_not_found", *(denial.value for denial in Denial)}


async def test_over_http(world: World, database: Database, aiohttp_client: Any):
    alice, bob = [await Users(database).find_by_name(name) for name in ("alice", "bob")]
    assert alice is not None
    assert bob is not None
    await world.change(Visibility.FOLLOWERS)
    sample = await serve(PlaybackRoutes(world.service), database, aiohttp_client, alice, bob)
    path = f"/rooms/{world.room}/playback-token"
    status, body, headers = await sample.call("POST", path, "alice")
    assert status == 200
    assert GRANTS.verify(body["data"]["token"]) is not None
    assert headers["Cache-Control"] == "no-store"
    for user in (None, "bob"):
        status, body, _ = await sample.call("POST", path, user)
        assert (status, body["code"]) == (403, "followers_only")
    status, body, _ = await sample.call("POST", f"/rooms/{new_id()}/playback-token", "bob")
    assert (status, body["code"]) == (404, "room_not_found")
