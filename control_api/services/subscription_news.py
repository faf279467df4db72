"""From the outbox of subscriptions to rooms, to those whom it concerns, and to their programs.

It is told before the row is gone for good: when that fails, a room may see it twice. The chat writes its log
by itself, so a crash just afterwards may keep a room from seeing it. Notifications are in the database then.
"""

from typing import Final

import msgspec

from control_api.services.notification_kinds import Kind
from control_api.services.notifications import Notifications
from control_api.services.outbox_loop import OutboxLoop
from control_api.services.webhooks import EventKind
from storage.bus import Bus, RoomRelationChanged, SubscriptionStarted
from storage.database import Database, Transaction
from storage.repositories.subscription_outbox import (
    SubscriptionNews,
    SubscriptionNewsKind,
    SubscriptionOutbox,
)
from storage.repositories.webhooks import WebhookOutbox

BATCH: Final = 100


class SubscriptionTeller:
    """``run`` works until cancelled."""

    def __init__(self, database: Database, bus: Bus, notifications: Notifications) -> None:
        self._database = database
        self._bus = bus
        self._notifications = notifications
        self._loop = OutboxLoop(self.tell_once, BATCH, "subscriptions_not_told")
        # Told of by the database when somebody has become a subscriber, or is none any more.
        bus.subscribe(RoomRelationChanged, lambda _: self._loop.wake())

    async def run(self) -> None:
        await self._loop.run()

    async def tell_once(self) -> int:
        """Tell of some; how many were taken."""
        async with self._database.transaction() as transaction:
            taken = await SubscriptionOutbox(transaction).take(BATCH)
            for news in taken:
                await self._tell(transaction, news)
        return len(taken)

    async def _tell(self, transaction: Transaction, news: SubscriptionNews) -> None:
        match news.kind:
            case SubscriptionNewsKind.STARTED:
                await self._tell_of_start(transaction, news)
            case SubscriptionNewsKind.PAYMENT_FAILED:
                await self._tell_subscriber(news, Kind.SUBSCRIPTION_PAYMENT_FAILED)
            case SubscriptionNewsKind.ENDED:
                await self._tell_subscriber(news, Kind.SUBSCRIPTION_ENDED)
                await _tell_programs(transaction, "subscription.ended", news)

    async def _tell_of_start(self, transaction: Transaction, news: SubscriptionNews) -> None:
        self._bus.publish(
            SubscriptionStarted(
                owner_id=str(news.creator_id),
                user_id=str(news.user_id),
                username=news.username,
                plan=news.plan,
                months=news.months,
            )
        )
        data = {
            "userId": str(news.user_id),
            "username": news.username,
            "displayName": news.display_name,
            "plan": news.plan,
            "months": news.months,
        }
        await self._notifications.notify(
            news.creator_id, Kind.SUBSCRIPTION, data, _source(news), news.user_id
        )
        await _tell_programs(transaction, "subscription.started", news)

    async def _tell_subscriber(self, news: SubscriptionNews, kind: Kind) -> None:
        data = {
            "subscriptionId": str(news.subscription_id),
            "userId": str(news.creator_id),
            "username": news.creator_name,
            "displayName": news.creator_display_name,
            "plan": news.plan,
        }
        await self._notifications.notify(news.user_id, kind, data, _source(news))


def _source(news: SubscriptionNews) -> str:
    return f"subscription:{news.id}"


async def _tell_programs(transaction: Transaction, kind: EventKind, news: SubscriptionNews) -> None:
    """The creator's endpoints for webhooks."""
    data = {
        "subscriptionId": str(news.subscription_id),
        "userId": str(news.user_id),
        "username": news.username,
        "plan": news.plan,
    }
    await WebhookOutbox(transaction).add(kind, news.creator_id, msgspec.json.encode(data).decode())
