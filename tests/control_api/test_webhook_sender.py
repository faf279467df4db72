"""Webhooks on their way to a receiver that may fail, hang, redirect or answer too much."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from control_api.services.webhook_sender import (
    SCHEDULE,
)
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Broadcasts, Role, Rooms, Users, UserState
from storage.repositories.webhook_deliveries import DeliveryState
from tests.control_api.webhook_sending import World, at_work, make_world
from tests.helpers.waiting import eventually


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with make_world(database) as world:
        yield world


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    async with at_work(world):
        yield world


async def test_a_broadcast_is_told_of_when_it_starts_and_ends(running: World) -> None:
    issued = await running.endpoint()
    room_id = await Rooms(running.database).add(running.alice.id, "Täglich", "daily")
    broadcasts = Broadcasts(running.database)
    broadcast_id = new_id()
    started_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for _ in range(2):
        await broadcasts.open(broadcast_id, room_id, "node", started_at)
    await eventually(lambda: len(running.receiver.received) == 1)
    for _ in range(2):
        await broadcasts.close(broadcast_id, started_at + timedelta(hours=1), 7, "left")
    await eventually(lambda: len(running.receiver.received) == 2)
    started, ended = running.receiver.received
    room = {
        "id": str(room_id),
        "slug": "daily",
        "title": "Täglich",
        "visibility": "public",
        "ownerId": str(running.alice.id),
    }
    assert started.event["type"] == "room.started"
    assert datetime.fromisoformat(started.event["timestamp"]).tzinfo is not None
    assert started.event["data"] == {
        "room": room,
        "broadcastId": str(broadcast_id),
        "startedAt": "2026-01-02T03:04:05.000Z",
    }
    assert ended.event["type"] == "room.ended"
    assert ended.event["data"] == started.event["data"] | {
        "endedAt": "2026-01-02T04:04:05.000Z",
        "peakViewers": 7,
        "endReason": "left",
    }
    assert started.headers["content-type"] == "application/json"
    assert started.is_signed_with(issued.secret) and ended.is_signed_with(issued.secret)
    assert started.headers["webhook-id"] != ended.headers["webhook-id"]


async def test_a_follow_is_told_of(running: World) -> None:
    await running.endpoint(events=["follow"])
    await running.database.execute(
        "INSERT INTO follows (follower_id, user_id) VALUES ($1, $2)", running.bob.id, running.alice.id
    )
    await eventually(lambda: running.receiver.received)
    data = running.receiver.received[0].event["data"]
    assert data.pop("followedAt").endswith("Z")
    assert data == {
        "userId": str(running.alice.id),
        "follower": {"id": str(running.bob.id), "username": "bob", "displayName": "bob"},
    }


async def test_what_was_rolled_back_is_not_told(running: World) -> None:
    await running.endpoint()
    with suppress(RuntimeError):
        async with running.database.transaction() as transaction:
            await running.webhooks.enqueue("follow", running.alice.id, {"n": 0}, transaction)
            raise RuntimeError
    await running.happen()
    await eventually(lambda: running.receiver.received)
    assert [one.event["data"] for one in running.receiver.received] == [{"n": 1}]


async def test_what_happened_first_is_sent_first(world: World) -> None:
    await world.endpoint()
    for number in range(20):
        await world.webhooks.enqueue("room.started", world.alice.id, number)
    task = asyncio.create_task(world.sender().run())
    await eventually(lambda: len(world.receiver.received) == 20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [one.event["data"] for one in world.receiver.received] == list(range(20))


async def test_only_who_wants_it_hears_of_it(world: World) -> None:
    mine = await world.endpoint()
    everything = await world.endpoint(world.root, is_server_wide=True)
    silent = [
        await world.endpoint(world.bob),
        await world.endpoint(events=["follow"]),
        await world.endpoint(world.root),
    ]
    await world.happen()
    await world.sender().spread()
    assert len(await world.deliveries(mine)) == len(await world.deliveries(everything)) == 1
    assert [await world.deliveries(one) for one in silent] == [[], [], []]


async def test_nothing_is_kept_of_what_nobody_wants(world: World) -> None:
    await world.endpoint(world.bob)
    await world.happen()
    assert await world.database.fetch_value("SELECT count(*) FROM webhook_outbox") == 0


async def test_owners_who_may_not_hear_of_it_any_more_do_not(world: World) -> None:
    mine = await world.endpoint()
    everything = await world.endpoint(world.root, is_server_wide=True)
    await world.happen()
    await Users(world.database).set_state(world.alice.id, UserState.BANNED)
    await Users(world.database).set_role(world.root.id, Role.USER)
    await world.sender().spread()
    assert await world.deliveries(mine) == await world.deliveries(everything) == []
    assert await world.database.fetch_value("SELECT count(*) FROM webhook_outbox") == 0


async def test_delivered_is_delivered(running: World) -> None:
    issued = await running.endpoint()
    await running.happen()
    delivery = await running.settled(issued)
    assert (delivery.state, delivery.last_status, delivery.last_error) == (DeliveryState.DELIVERED, 204, None)


@pytest.mark.parametrize("status", [307, 400, 404, 429, 500, 503])
async def test_any_other_answer_is_a_failure(running: World, status: int) -> None:
    running.receiver.answers(status, headers={"Location": "/elsewhere"})
    issued = await running.endpoint()
    await running.happen()
    delivery = await running.settled(issued)
    assert (delivery.state, delivery.last_status) == (DeliveryState.PENDING, status)
    assert delivery.next_attempt_at == running.clock.now + SCHEDULE[0]
    assert len(running.receiver.received) == 1


async def test_a_huge_answer_is_as_good_as_a_short_one(running: World) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    running.receiver.answer = flood
    issued = await running.endpoint()
    await running.happen()
    assert (await running.settled(issued)).state is DeliveryState.DELIVERED


async def test_one_that_hangs_holds_up_only_itself(running: World) -> None:
    release = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        if request.path == "/hang":
            await release.wait()
        return web.Response()

    running.receiver.answer = hang
    hanging = await running.endpoint(url=running.receiver.url.replace("/hook", "/hang"))
    for _ in range(20):
        await running.happen()
    quick = await running.endpoint(running.bob)
    await running.happen(running.bob)
    await running.settled(quick)
    release.set()
    delivery = (await running.deliveries(quick))[0]
    assert delivery.state is DeliveryState.DELIVERED
    assert running.receiver.most_in_work <= 2
    await running.settled(hanging)


async def test_a_receiver_that_never_answers_is_a_failure(running: World) -> None:
    release = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    running.receiver.answer = hang
    issued = await running.endpoint()
    await running.happen()
    delivery = await running.settled(issued)
    release.set()
    assert (delivery.last_status, delivery.last_error) == (None, "The address did not answer within 2 s.")
