"""Webhooks that are sent again, given up, claimed by one node of several, and forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from control_api.outbound import Outbound
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
from storage.bus import BroadcastStarted, Bus
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.repositories import Role
from storage.repositories.webhook_deliveries import DeliveryState, WebhookDeliveries
from storage.repositories.webhooks import (
    DisabledReason,
    WebhookEndpoint,
    WebhookEndpoints,
)
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
