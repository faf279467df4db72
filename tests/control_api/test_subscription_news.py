"""What is told of subscriptions, to whom; and that every node hears of who may see more or less."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from control_api.services.notifications import Notifications
from control_api.services.subscription_news import SubscriptionTeller
from storage.bus import Bus, RoomRelationChanged, SubscriptionStarted
from storage.database import Database
from storage.notifications import Notifications as DatabaseNotifications
from storage.repositories.webhooks import EndpointSettings, WebhookEndpoints
from tests.control_api.subscriptions_world import (
    SubscriptionsWorld,
    billed,
    subscriptions_world,
)
from tests.helpers.waiting import eventually


class News:
    """A node: what its teller publishes, and what the database tells it."""

    def __init__(self, database: Database) -> None:
        self.bus = Bus()
        self.started: list[SubscriptionStarted] = []
        self.relations: list[RoomRelationChanged] = []
        self.bus.subscribe(SubscriptionStarted, self.started.append)
        self.bus.subscribe(RoomRelationChanged, self.relations.append)
        self.notifications = Notifications(database, self.bus)
        self.teller = SubscriptionTeller(database, self.bus, self.notifications)
        self.listener = DatabaseNotifications(database, self.bus)

    async def kinds_for(self, user_id: UUID) -> list[str]:
        page = await self.notifications.page(user_id, False, None, 10)
        return [each.kind for each in page.items]


@pytest.fixture
async def world(database: Database, aiohttp_client: Any) -> SubscriptionsWorld:
    return await subscriptions_world(database, aiohttp_client)


@pytest.fixture
async def news(database: Database) -> AsyncIterator[News]:
    news = News(database)
    listening = asyncio.create_task(news.listener.run())
    await eventually(news.listener.listening.is_set)
    yield news
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_a_new_subscriber_is_told_of_once(world: SubscriptionsWorld, news: News):
    await world.subscribe()
    assert await news.teller.tell_once() == 1
    assert await news.teller.tell_once() == 0
    alice, bob = world.people["alice"], world.people["bob"]
    assert news.started == [SubscriptionStarted(str(alice.id), str(bob.id), "bob", "Regular", 1)]
    assert await news.kinds_for(alice.id) == ["subscription"]
    assert await news.kinds_for(bob.id) == []


async def test_renewals_are_no_news_but_months_are_counted(world: SubscriptionsWorld, news: News):
    first = await world.subscribe()
    await world.billing.demo.renew(first)
    await world.billing.demo.end_now(f"sub_test_{first.hex}")
    await world.subscribe()
    await news.teller.tell_once()
    assert [each.months for each in news.started] == [1, 3]


async def test_the_subscriber_hears_of_a_failed_payment_and_of_the_end(world: SubscriptionsWorld, news: News):
    subscription_id = await world.subscribe()
    await world.billing.demo.fail(subscription_id)
    await world.billing.demo.end_now(f"sub_test_{subscription_id.hex}")
    await news.teller.tell_once()
    assert await news.kinds_for(world.people["bob"].id) == [
        "subscription_ended",
        "subscription_payment_failed",
    ]


async def test_of_what_was_never_paid_nobody_hears(world: SubscriptionsWorld, news: News):
    _, made = await world.ask()
    await world.call("DELETE", f"/subscriptions/{made['subscription']['id']}", "bob")
    assert await news.teller.tell_once() == 0
    assert (news.started, news.relations) == ([], [])


async def test_programs_of_the_creator_are_told(world: SubscriptionsWorld, news: News):
    settings = EndpointSettings(
        "https://hooks.example/", ["subscription.started", "subscription.ended"], "", True
    )
    await WebhookEndpoints(world.database).add(world.people["alice"].id, False, settings, b"x" * 32)
    subscription_id = await world.subscribe()
    await world.billing.demo.end_now(f"sub_test_{subscription_id.hex}")
    await news.teller.tell_once()
    rows = await world.database.fetch("SELECT kind, data->>'username' FROM webhook_outbox ORDER BY id")
    assert [tuple(row) for row in rows] == [("subscription.started", "bob"), ("subscription.ended", "bob")]


async def test_every_node_hears_when_somebody_becomes_a_subscriber_and_when_it_is_over(
    world: SubscriptionsWorld, news: News
):
    changed = RoomRelationChanged(str(world.people["bob"].id), str(world.people["alice"].id))
    subscription_id = await world.subscribe()
    await eventually(lambda: news.relations == [changed])
    await world.billing.demo.cancel_at_period_end(f"sub_test_{subscription_id.hex}", True)
    await world.billing.demo.renew(subscription_id)
    known = await world.find(subscription_id)
    unpaid = billed(known, "unpaid", id=known.standing.provider_ref)
    await world.billing.send("customer.subscription.updated", unpaid)
    await eventually(lambda: len(news.relations) == 2)
    assert await world.state(subscription_id) == ("past_due", False)
    await world.billing.demo.renew(subscription_id)
    await eventually(lambda: news.relations == [changed] * 3)


async def test_the_teller_works_by_itself(world: SubscriptionsWorld, news: News):
    running = asyncio.create_task(news.teller.run())
    await world.subscribe()
    await eventually(lambda: news.started)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
