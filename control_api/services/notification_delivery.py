"""The two tasks behind notifications: telling all followers of an owner, and sending e-mails and pushes.

Both work off tables, in batches, so that nothing is lost with the process and a million followers fit in.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import msgspec
import structlog

from control_api.services.notification_kinds import KINDS, Kind, lifetime_of, words_of
from control_api.services.notifications import announce
from control_api.services.web_push import Outcome, Verdict
from storage.bus import BroadcastStarted, Bus, NotificationAdded
from storage.database import Database, Executor
from storage.errors import DatabaseUnavailable
from storage.repositories.notification_outbox import (
    Delivery,
    FanOut,
    Follower,
    NotificationOutbox,
    PushKeys,
)
from storage.repositories.notifications_store import Added, News, NotificationStore
from storage.repositories.push_subscriptions import PushSubscriptions

logger = structlog.get_logger("mediaserver.notifications")

POLL_SECONDS: Final = 5.0


class Mail(Protocol):
    async def send(self, to: str, subject: str, text: str) -> None: ...


class Push(Protocol):
    async def send(self, target: PushKeys, payload: bytes, lifetime_seconds: int) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """``public_url`` stands before the paths in e-mails. A claimed row is free again after ``lease``.

    A push that failed is tried again after ``first_pause``, then twice as long each time, ``attempts`` times
    in all. A broadcast within ``restart_pause`` of the end of the one before is no news.
    """

    public_url: str = ""
    follower_batch: int = 500
    delivery_batch: int = 64
    lease: timedelta = timedelta(minutes=2)
    attempt_timeout: timedelta = timedelta(seconds=60)
    attempts: int = 6
    first_pause: timedelta = timedelta(seconds=30)
    longest_pause: timedelta = timedelta(hours=1)
    restart_pause: timedelta = timedelta(minutes=10)


class _Worker:
    """Works until nothing is left, then waits to be woken or for POLL_SECONDS."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._woken.clear()
            try:
                has_worked = await self.work()
            except DatabaseUnavailable as error:
                logger.warning("notifications_not_worked_off", error=str(error))
                has_worked = False
            if not has_worked:
                await self._rest()

    async def work(self) -> bool:
        """One batch; False when there was nothing to do."""
        raise NotImplementedError

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            pass


class FanOutToFollowers(_Worker):
    """Tells the followers of an owner whose broadcast began. The database adds the rows to work off."""

    def __init__(self, database: Database, bus: Bus, options: DeliveryOptions | None = None) -> None:
        super().__init__()
        self._database = database
        self._bus = bus
        self._options = options or DeliveryOptions()
        bus.subscribe(BroadcastStarted, lambda _: self.wake())

    async def work(self) -> bool:
        """Tell one batch; the cursor moves in the same transaction, so each follower is told once."""
        async with self._database.transaction() as transaction:
            outbox = NotificationOutbox(transaction)
            fan_out = await outbox.claim_fan_out(self._options.restart_pause)
            if fan_out is None:
                return False
            followers = await self._next_followers(outbox, fan_out)
            added = await _tell(transaction, fan_out, followers)
            if len(followers) < self._options.follower_batch:
                await outbox.finish_fan_out(fan_out.broadcast_id)
            else:
                await outbox.advance_fan_out(fan_out.broadcast_id, followers[-1])
        announce(self._bus, added)
        return True

    async def _next_followers(self, outbox: NotificationOutbox, fan_out: FanOut) -> list[Follower]:
        if not fan_out.is_wanted:
            return []
        return await outbox.followers_after(
            fan_out.owner_id, fan_out.followed_at, fan_out.follower_id, self._options.follower_batch
        )


async def _tell(executor: Executor, fan_out: FanOut, followers: Sequence[Follower]) -> list[Added]:
    if not followers:
        return []
    data = {
        "roomId": str(fan_out.room_id),
        "slug": fan_out.slug,
        "title": fan_out.title,
        "userId": str(fan_out.owner_id),
        "username": fan_out.username,
        "displayName": fan_out.display_name,
    }
    news = News(Kind.ROOM_STARTED.value, data, str(fan_out.broadcast_id), fan_out.owner_id)
    ids = [follower.id for follower in followers]
    return await NotificationStore(executor).add(ids, news, KINDS[Kind.ROOM_STARTED].defaults)


class NotificationDelivery(_Worker):
    """Sends what is queued for e-mail and Web Push; ``push`` is None where there is no key for it."""

    def __init__(
        self, database: Database, bus: Bus, mail: Mail, push: Push | None, options: DeliveryOptions
    ) -> None:
        super().__init__()
        self._outbox = NotificationOutbox(database)
        self._subscriptions = PushSubscriptions(database)
        self._mail = mail
        self._push = push
        self._options = options
        bus.subscribe(NotificationAdded, lambda _: self.wake())

    async def work(self) -> bool:
        """Send one batch, all of it at once."""
        due = await self._outbox.claim_deliveries(self._options.delivery_batch, self._options.lease)
        finished = await asyncio.gather(*(self._deliver(delivery) for delivery in due))
        await self._outbox.finish_deliveries(
            [delivery.id for delivery, is_over in zip(due, finished, strict=True) if is_over]
        )
        return bool(due)

    async def _deliver(self, delivery: Delivery) -> bool:
        """Whether nothing is left to do."""
        age = datetime.now(UTC) - delivery.created_at
        is_in_time = delivery.is_active and age < lifetime_of(delivery.kind)
        if not is_in_time or delivery.attempts > self._options.attempts:
            return True
        try:
            async with asyncio.timeout(self._options.attempt_timeout.total_seconds()):
                if delivery.push is not None:
                    return await self._send_push(delivery, delivery.push)
                return await self._send_mail(delivery)
        except DatabaseUnavailable:
            raise
        except Exception:
            # A fault with one of them must not keep the others from being sent.
            logger.exception("notification_not_delivered", kind=delivery.kind)
            return delivery.attempts >= self._options.attempts

    async def _send_mail(self, delivery: Delivery) -> bool:
        if delivery.email is not None:
            words = words_of(delivery.kind, delivery.data)
            lines = [words.text, "", self._options.public_url + words.path, ""]
            lines.append("Your notification preferences say what you hear of by e-mail.")
            await self._mail.send(delivery.email, words.title, "\n".join(lines))
        return True

    async def _send_push(self, delivery: Delivery, target: PushKeys) -> bool:
        if self._push is None:
            return True
        lifetime = int(lifetime_of(delivery.kind).total_seconds())
        outcome = await self._push.send(target, payload_of(delivery), lifetime)
        if outcome.verdict is Verdict.GONE:
            await self._subscriptions.delete(target.subscription_id)
        if outcome.verdict is not Verdict.LATER:
            return True
        pause = max(self._pause_after(delivery.attempts), timedelta(seconds=outcome.retry_after))
        await self._outbox.postpone_delivery(delivery.id, pause)
        return delivery.attempts >= self._options.attempts

    def _pause_after(self, attempts: int) -> timedelta:
        pause = self._options.first_pause * float(2 ** (attempts - 1))
        return min(pause, self._options.longest_pause)


def payload_of(delivery: Delivery) -> bytes:
    """What the page's service worker gets: short words and where a click leads."""
    words = words_of(delivery.kind, delivery.data)
    message = {
        "id": str(delivery.notification_id),
        "kind": delivery.kind,
        "title": words.title,
        "text": words.text,
        "path": words.path,
    }
    return msgspec.json.encode(message)
