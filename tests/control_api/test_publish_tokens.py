"""Who gets a token to publish with, and how long it counts."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from control_api.playback_grants import Grant, PlaybackGrants, PublishGrants, TokenFault
from control_api.routes.publish_tokens import PublishTokenRoutes
from control_api.services.publish_tokens import PublishTokens
from control_api.services.rooms import RoomsService
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Role, Rooms, Users, UserState, Visibility
from tests.control_api.rooms_world import DIGESTER, FakeMedia
from tests.control_api.sample import Sample
from tests.control_api.serving import serve

GRANTS = PublishGrants(b"secret")


@dataclass
class World:
    """A room of alice's; bob is somebody, carol an administrator."""

    database: Database
    tokens: PublishTokens
    sample: Sample
    room: UUID
    people: dict[str, UUID]

    async def ask(self, who: str | None, room: UUID | None = None) -> tuple[int, dict[str, Any]]:
        path = f"/rooms/{room or self.room}/publish-token"
        status, body, _ = await self.sample.call("POST", path, who)
        return status, body

    async def counts(self, who: str, room: UUID | None = None) -> bool:
        signed = GRANTS.sign(room or self.room, self.people[who])
        grant = GRANTS.check(signed.token)
        assert isinstance(grant, Grant)
        return await self.tokens.still_counts(grant)


@pytest.fixture
async def world(database: Database, aiohttp_client: Any) -> World:
    users = Users(database)
    people = [
        await users.add(name, f"{name}@example.com", "hash", role)
        for name, role in (("alice", Role.USER), ("bob", Role.USER), ("carol", Role.ADMIN))
    ]
    room = await Rooms(database).add(people[0].id, "A room", "kitchen")
    tokens = PublishTokens(database, RoomsService(database, DIGESTER), GRANTS, FakeMedia())
    sample = await serve(PublishTokenRoutes(tokens), database, aiohttp_client, *people)
    return World(database, tokens, sample, room, {user.username: user.id for user in people})


@pytest.mark.parametrize("who", ["alice", "carol"])
async def test_owners_and_administrators_get_one(world: World, who: str):
    status, body = await world.ask(who)
    assert status == 200
    data = body["data"]
    assert data.keys() == {"token", "expiresAt", "whipUrl"}
    assert str(world.room) in data["whipUrl"]
    grant = world.tokens.check(data["token"])
    assert isinstance(grant, Grant)
    assert (grant.room_id, grant.user_id) == (world.room, world.people[who])
    assert await world.tokens.still_counts(grant)


async def test_nobody_else_does(world: World):
    assert (await world.ask(None))[0] == 401
    status, body = await world.ask("bob")
    assert (status, body["code"]) == (403, "not_room_owner")


async def test_a_private_room_is_none_for_others(world: World):
    await Rooms(world.database).set_visibility(world.room, Visibility.PRIVATE)
    status, body = await world.ask("bob")
    assert (status, body["code"]) == (404, "room_not_found")
    assert (await world.ask("alice"))[0] == 200


async def test_a_room_that_is_not_there(world: World):
    status, body = await world.ask("alice", new_id())
    assert (status, body["code"]) == (404, "room_not_found")


async def test_a_token_counts_only_while_its_holder_may_publish(world: World):
    assert await world.counts("alice")
    assert await world.counts("carol")
    assert not await world.counts("bob")
    assert not await world.counts("alice", new_id())
    await Users(world.database).set_role(world.people["carol"], Role.USER)
    assert not await world.counts("carol")
    await Users(world.database).set_role(world.people["carol"], Role.ADMIN)
    await Users(world.database).set_state(world.people["alice"], UserState.SUSPENDED)
    assert not await world.counts("alice")
    assert not await world.counts("carol"), "nobody publishes to the room of somebody who is suspended"


async def test_a_token_of_nobody_never_counts(world: World):
    assert not await world.tokens.still_counts(Grant(world.room, None, 0))


def test_watching_and_publishing_are_two_things():
    room, user = new_id(), new_id()
    playback = PlaybackGrants(b"secret")
    assert GRANTS.check(playback.sign(room, user).token) is TokenFault.INVALID
    assert playback.check(GRANTS.sign(room, user).token) is TokenFault.INVALID
    assert PublishGrants(b"another").check(GRANTS.sign(room, user).token) is TokenFault.INVALID


def test_a_token_expires():
    now = 1_000_000.0
    grants = PublishGrants(b"secret", 60, lambda: now)
    token = grants.sign(new_id(), new_id()).token
    assert isinstance(grants.check(token), Grant)
    now += 61
    assert grants.check(token) is TokenFault.EXPIRED
