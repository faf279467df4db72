"""People who are told things, and what was mailed and pushed to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from control_api.services.notification_delivery import (
    DeliveryOptions,
    FanOutToFollowers,
    NotificationDelivery,
)
from control_api.services.notifications import Notifications
from control_api.services.web_push import Outcome, Verdict
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Broadcasts, Rooms, User, Users, Visibility
from storage.repositories.notification_outbox import PushKeys
from storage.repositories.push_subscriptions import PushSubscriptions

NOW = datetime.now(UTC)
OPTIONS = DeliveryOptions("https://live.example", follower_batch=2, delivery_batch=10)


class Mails(list[tuple[str, str, str]]):
    async def send(self, to: str, subject: str, text: str) -> None:
        self.append((to, subject, text))


@dataclass
class Post:
    """What was mailed, and pushed where."""

    mails: Mails = field(default_factory=Mails)
    pushes: list[str] = field(default_factory=list)
    outcome: Outcome = field(default_factory=lambda: Outcome(Verdict.DELIVERED))
    fails: bool = False

    async def send(self, target: PushKeys, _payload: bytes, _lifetime_seconds: int) -> Outcome:
        if self.fails:
            raise RuntimeError("a fault")
        self.pushes.append(target.endpoint)
        return self.outcome


async def add_user(database: Database, name: str) -> User:
    user = await Users(database).add(name, f"{name}@example.com", "hash")
    await database.execute("UPDATE users SET email_verified_at = now() WHERE id = $1", user.id)
    return user


async def follow(database: Database, follower: UUID, user: UUID) -> None:
    await database.execute("INSERT INTO follows (follower_id, user_id) VALUES ($1, $2)", follower, user)


async def subscribe(database: Database, user: UUID, name: str = "one") -> UUID:
    return await PushSubscriptions(database).put(user, f"https://push.example/{name}", "p", "a")


async def go_live(database: Database, owner: UUID, visibility: Visibility = Visibility.PUBLIC) -> UUID:
    room = await Rooms(database).add(owner, "Chess", None, visibility)
    await start(database, room)
    return room


async def start(database: Database, room: UUID, started_at: datetime | None = None) -> UUID:
    broadcast = new_id()
    await Broadcasts(database).open(broadcast, room, "node", started_at or datetime.now(UTC))
    return broadcast


async def drain(worker: FanOutToFollowers | NotificationDelivery) -> int:
    """How many batches there were."""
    batches = 0
    while await worker.work():
        batches += 1
        assert batches < 100
    return batches


async def kinds_of(notifications: Notifications, user: UUID) -> list[str]:
    return [item.kind for item in (await notifications.page(user, False, None, 100)).items]


@asynccontextmanager
async def running(*tasks: Any) -> AsyncIterator[None]:
    started = [asyncio.create_task(task.run()) for task in tasks]
    try:
        yield
    finally:
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)
