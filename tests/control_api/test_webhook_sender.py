"""Webhooks on their way to a receiver that may fail, hang, redirect or answer too much."""

import asyncio
import hashlib
import hmac
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from control_api.outbound import Outbound, OutboundOptions
from control_api.principal import Principal
from control_api.services.webhook_sender import (
    GIVE_UP_AFTER,
    JITTER,
    KEPT_FOR,
    LEASE,
    SCHEDULE,
    SenderOptions,
    WebhookSender,
)
from control_api.services.webhooks import IssuedEndpoint, Webhooks
from storage.bus import BroadcastStarted, Bus
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.ids import new_id
from storage.repositories import Broadcasts, Role, Rooms, User, Users, UserState
from storage.repositories.webhook_deliveries import DeliveryState, WebhookDeliveries, WebhookDelivery
from storage.repositories.webhooks import (
    DisabledReason,
    EndpointSettings,
    WebhookEndpoint,
    WebhookEndpoints,
)
from tests.helpers.waiting import eventually


@dataclass
class Received:
    body: bytes
    headers: dict[str, str]

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """As a receiver verifies it: standardwebhooks.com, "Verifying webhook authenticity"."""
        key = b64decode(secret.removeprefix("whsec_"))
        message = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = hmac.new(key, message, hashlib.sha256).digest()
        given = [b64decode(part.removeprefix("v1,")) for part in self.headers["webhook-signature"].split(" ")]
        return any(hmac.compare_digest(expected, signature) for signature in given)


@dataclass
class Receiver:
    """Answers as ``answer`` does; remembers all that came, and how many were in work at a time."""

    url: str = ""
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    received: list[Received] = field(default_factory=list)
    in_work: int = 0
    most_in_work: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(await request.read(), headers))
        self.in_work += 1
        self.most_in_work = max(self.most_in_work, self.in_work)
        try:
            return await self.answer(request) if self.answer is not None else web.Response(status=204)
        finally:
            self.in_work -= 1

    def answers(self, status: int, **options: Any) -> None:
        async def answer(_request: web.Request) -> web.Response:
            return web.Response(status=status, **options)

        self.answer = answer


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now


@dataclass
class World:
    database: Database
    outbound: Outbound
    webhooks: Webhooks
    receiver: Receiver
    clock: Clock
    alice: User
    bob: User
    root: User
    told: list[WebhookEndpoint] = field(default_factory=list)
    jitter: float = 0.0

    def sender(self) -> WebhookSender:
        async def on_disabled(endpoint: WebhookEndpoint) -> None:
            self.told.append(endpoint)

        options = SenderOptions(
            poll_seconds=0.01,
            now=self.clock,
            uniform=lambda _low, _high: self.jitter,
            on_disabled=on_disabled,
        )
        return WebhookSender(self.database, self.outbound, options)

    async def endpoint(self, owner: User | None = None, **fields: Any) -> IssuedEndpoint:
        owner = owner or self.alice
        settings = EndpointSettings(
            fields.get("url", self.receiver.url),
            fields.get("events", ["follow", "room.ended", "room.started"]),
            "",
            True,
        )
        principal = Principal(owner.id, owner.role)
        return await self.webhooks.create(
            principal, owner.id, fields.get("is_server_wide", False), settings, "192.0.2.1"
        )

    async def happen(self, owner: User | None = None) -> None:
        await self.webhooks.enqueue("room.started", (owner or self.alice).id, {"n": 1})

    async def deliveries(self, issued: IssuedEndpoint) -> list[WebhookDelivery]:
        return await WebhookDeliveries(self.database).list_of(issued.endpoint.id, None, 1000)

    async def settled(self, issued: IssuedEndpoint, attempts: int = 1) -> WebhookDelivery:
        """The newest delivery, when so many attempts of it were noted."""
        found: list[WebhookDelivery] = []

        async def look() -> None:
            while not found or found[0].attempts < attempts or found[0].next_attempt_at == self.lease_end():
                found[:] = await self.deliveries(issued)
                await asyncio.sleep(0.005)

        async with asyncio.timeout(10):
            await look()
        return found[0]

    def lease_end(self) -> datetime:
        return self.clock.now + LEASE


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    users = Users(database)
    async with (
        TestServer(app, host="127.0.0.1") as server,
        Outbound(OutboundOptions(is_private_allowed=True, total_seconds=2)) as outbound,
    ):
        receiver.url = str(server.make_url("/hook"))
        yield World(
            database,
            outbound,
            Webhooks(database, outbound),
            receiver,
            Clock(),
            await users.add("alice", "alice@example.com", "hash"),
            await users.add("bob", "bob@example.com", "hash"),
            await users.add("root", "root@example.com", "hash", Role.ADMIN),
        )


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    """The world with its sender at work."""
    task = asyncio.create_task(world.sender().run())
    yield world
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


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


async def test_retries_keep_to_the_schedule_and_end(running: World) -> None:
    running.receiver.answers(500)
    running.jitter = JITTER
    issued = await running.endpoint()
    await running.happen()
    for attempt, pause in enumerate(SCHEDULE, 1):
        delivery = await running.settled(issued, attempt)
        assert delivery.next_attempt_at == running.clock.now + pause * (1 + JITTER)
        running.clock.now = delivery.next_attempt_at
    delivery = await running.settled(issued, len(SCHEDULE) + 1)
    assert (delivery.state, delivery.next_attempt_at) == (DeliveryState.FAILED, None)
    assert timedelta(days=3) < sum(SCHEDULE, timedelta()) < timedelta(days=4)
    ids = {one.headers["webhook-id"] for one in running.receiver.received}
    assert ids == {str(delivery.id)} and len(running.receiver.received) == 10


async def test_success_after_a_failure(running: World) -> None:
    running.receiver.answers(500)
    issued = await running.endpoint()
    await running.happen()
    delivery = await running.settled(issued)
    endpoint = await WebhookEndpoints(running.database).find(issued.endpoint.id)
    assert endpoint is not None and endpoint.failing_since == running.clock.now
    running.receiver.answers(200)
    assert delivery.next_attempt_at is not None
    running.clock.now = delivery.next_attempt_at
    assert (await running.settled(issued, 2)).state is DeliveryState.DELIVERED
    endpoint = await WebhookEndpoints(running.database).find(issued.endpoint.id)
    assert endpoint is not None and endpoint.failing_since is None
    first, second = running.receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert second.is_signed_with(issued.secret)


async def test_retry_by_hand(running: World) -> None:
    issued = await running.endpoint()
    await running.happen()
    delivery = await running.settled(issued)
    running.clock.now = datetime.now(UTC) + timedelta(minutes=1)
    await running.webhooks.retry(Principal(running.alice.id, Role.USER), issued.endpoint.id, delivery.id)
    await eventually(lambda: len(running.receiver.received) == 2)
    assert (await running.settled(issued, 2)).state is DeliveryState.DELIVERED


async def test_an_endpoint_that_is_gone_is_disabled(running: World) -> None:
    running.receiver.answers(410)
    issued = await running.endpoint()
    await running.happen()
    await running.happen()
    await eventually(lambda: running.told)
    endpoint = await WebhookEndpoints(running.database).find(issued.endpoint.id)
    assert endpoint is not None and not endpoint.settings.is_enabled
    assert endpoint.disabled_reason is DisabledReason.GONE
    assert running.told == [endpoint]
    assert {one.state for one in await running.deliveries(issued)} == {DeliveryState.FAILED}
    await running.happen()
    assert len(running.receiver.received) == 1


async def test_an_endpoint_that_fails_for_days_is_disabled(running: World) -> None:
    running.receiver.answers(500)
    issued = await running.endpoint()
    await running.happen()
    await running.settled(issued)
    running.clock.now += GIVE_UP_AFTER - timedelta(seconds=1)
    await running.settled(issued, 2)
    assert running.told == []
    running.clock.now += timedelta(hours=1)
    await eventually(lambda: running.told)
    assert running.told[0].disabled_reason is DisabledReason.FAILING


async def test_both_secrets_sign_after_a_rotation(running: World) -> None:
    issued = await running.endpoint()
    rotated = await running.webhooks.rotate_secret(
        Principal(running.alice.id, Role.USER), issued.endpoint.id, "192.0.2.1"
    )
    await running.happen()
    await eventually(lambda: running.receiver.received)
    received = running.receiver.received[0]
    assert received.is_signed_with(issued.secret) and received.is_signed_with(rotated.secret)
    running.clock.now += timedelta(days=2)
    await running.happen()
    await eventually(lambda: len(running.receiver.received) == 2)
    received = running.receiver.received[1]
    assert received.is_signed_with(rotated.secret) and not received.is_signed_with(issued.secret)


async def test_two_nodes_send_each_once(world: World) -> None:
    for owner in (world.alice, world.bob, world.root):
        await world.endpoint(owner)
    for _ in range(15):
        for owner in (world.alice, world.bob, world.root):
            await world.happen(owner)
    nodes = [asyncio.create_task(world.sender().run()) for _ in range(2)]
    await eventually(lambda: len(world.receiver.received) >= 45)
    for node in nodes:
        node.cancel()
    await asyncio.gather(*nodes, return_exceptions=True)
    ids = [one.headers["webhook-id"] for one in world.receiver.received]
    assert len(ids) == len(set(ids)) == 45
    states = await world.database.fetch("SELECT DISTINCT state FROM webhook_deliveries")
    assert [row[0] for row in states] == ["delivered"]


async def test_what_a_dead_node_had_claimed_is_taken_over(running: World) -> None:
    """The other node claims, and is never heard of again."""
    issued = await running.endpoint()
    far = running.clock.now + timedelta(days=400)
    await WebhookDeliveries(running.database).add([(issued.endpoint.id, "follow", "{}")], far)
    claimed = await WebhookDeliveries(running.database).claim(far, far + LEASE, [], 5)
    assert len(claimed) == 1
    running.clock.now = far + LEASE
    delivery = await running.settled(issued, 2)
    assert (delivery.state, len(running.receiver.received)) == (DeliveryState.DELIVERED, 1)


async def test_a_late_note_of_a_lost_claim_changes_nothing(world: World) -> None:
    issued = await world.endpoint()
    deliveries = WebhookDeliveries(world.database)
    now = world.clock.now
    await deliveries.add([(issued.endpoint.id, "follow", "{}")], now)
    first = (await deliveries.claim(now, now, [], 5))[0]
    second = (await deliveries.claim(now, now + LEASE, [], 5))[0]
    assert (first.id, first.attempts, second.attempts) == (second.id, 1, 2)
    sender = world.sender()
    await sender._note(first, sender._outcome(first, 500, "late"))
    delivery = (await world.deliveries(issued))[0]
    assert (delivery.last_error, delivery.next_attempt_at) == (None, now + LEASE)


async def test_an_address_that_turned_private_is_refused_when_sending(world: World) -> None:
    issued = await world.endpoint()
    await world.happen()
    async with Outbound() as strict:
        task = asyncio.create_task(
            WebhookSender(world.database, strict, SenderOptions(poll_seconds=0.01, now=world.clock)).run()
        )
        delivery = await world.settled(issued)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert (delivery.state, delivery.last_status) == (DeliveryState.PENDING, None)
    assert world.receiver.received == []


async def test_old_deliveries_are_forgotten(running: World) -> None:
    issued = await running.endpoint()
    await running.happen()
    await running.settled(issued)
    running.clock.now += KEPT_FOR + timedelta(hours=2)
    async with asyncio.timeout(10):
        while await running.deliveries(issued):  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.005)


async def test_the_bus_wakes_the_sender(world: World) -> None:
    bus = Bus()
    sender = WebhookSender(world.database, world.outbound, SenderOptions(poll_seconds=60))
    sender.subscribe(bus)
    task = asyncio.create_task(sender.run())
    await world.endpoint()
    await world.happen()
    bus.publish(BroadcastStarted("room"))
    await eventually(lambda: world.receiver.received)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_hook_that_raises_stops_nothing(world: World) -> None:
    async def on_disabled(_endpoint: WebhookEndpoint) -> None:
        raise RuntimeError

    options = SenderOptions(poll_seconds=0.01, on_disabled=on_disabled)
    task = asyncio.create_task(WebhookSender(world.database, world.outbound, options).run())
    world.receiver.answers(410)
    await world.endpoint()
    await world.happen()
    await eventually(lambda: world.receiver.received)
    world.receiver.answers(200)
    await world.endpoint(world.bob)
    await world.happen(world.bob)
    await eventually(lambda: len(world.receiver.received) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_goes_on_when_the_database_was_lost(running: World) -> None:
    issued = await running.endpoint()
    await running.database.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    )
    async with asyncio.timeout(10):
        while True:
            with suppress(DatabaseUnavailable):
                await running.happen()
                break
    assert (await running.settled(issued)).state is DeliveryState.DELIVERED
