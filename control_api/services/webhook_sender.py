"""Sends webhooks: spreads what happened over the endpoints, tries each delivery, and gives up at last.

Rules:

* At least once: a node that dies midway leaves its deliveries to others, who take them over after LEASE.
* Of one endpoint a node tries one delivery at a time, so a slow receiver holds up only itself.
* After each step of SCHEDULE comes another try; a redirect is a failure as every answer that is not 2xx.
* An endpoint that answers 410 is disabled, and one that failed for as long as GIVE_UP_AFTER.
"""

import asyncio
import hashlib
import hmac
import random
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol
from uuid import UUID

import msgspec
import structlog

from control_api.outbound import Answer, OutboundError
from storage.bus import BroadcastEnded, BroadcastStarted, Bus, UserFollowed
from storage.database import Database
from storage.errors import StorageError
from storage.repositories.webhook_deliveries import (
    ClaimedDelivery,
    DeliveryState,
    Outcome,
    WebhookDeliveries,
)
from storage.repositories.webhooks import (
    DisabledReason,
    OutboxEntry,
    WebhookEndpoint,
    WebhookEndpoints,
    WebhookOutbox,
)

logger = structlog.get_logger("mediaserver.api")

SCHEDULE: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
JITTER: Final = 0.1
LEASE: Final = timedelta(minutes=2)
GIVE_UP_AFTER: Final = timedelta(days=5)
KEPT_FOR: Final = timedelta(days=30)
FORGET_EVERY: Final = timedelta(hours=1)
SPREAD_AT_ONCE: Final = 100
FORGOTTEN_AT_ONCE: Final = 5000
CLOSE_TIMEOUT_SECONDS: Final = 5.0

DisabledHook = Callable[[WebhookEndpoint], Awaitable[None]]


class Sender(Protocol):
    """The part of control_api.outbound.Outbound that is needed here."""

    async def post(self, address: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises OutboundError."""


def _now() -> datetime:
    return datetime.now(UTC)


async def _tell_nobody(_endpoint: WebhookEndpoint) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """``concurrency`` is how many are tried at a time, ``poll_seconds`` how often one looks for more.

    ``now`` and ``uniform`` (like random.uniform) are for tests; ``on_disabled`` is told of an endpoint that
    the server disabled, so that it can tell the owner.
    """

    concurrency: int = 16
    poll_seconds: float = 1.0
    now: Callable[[], datetime] = _now
    uniform: Callable[[float, float], float] = random.uniform
    on_disabled: DisabledHook = _tell_nobody


class WebhookSender:
    """``run`` is the one task."""

    def __init__(self, database: Database, outbound: Sender, options: SenderOptions | None = None) -> None:
        self._database = database
        self._outbound = outbound
        self._options = options or SenderOptions()
        self._wake = asyncio.Event()
        self._trying: dict[UUID, asyncio.Task[None]] = {}
        self._forget_at = self._options.now()

    def subscribe(self, bus: Bus) -> None:
        """Be quick: what these events tell of is in the outbox, or will be in a moment."""
        for kind in (BroadcastStarted, BroadcastEnded, UserFollowed):
            bus.subscribe(kind, lambda _: self.wake())

    def wake(self) -> None:
        """Look for deliveries now."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled. What is being tried then has a moment to end."""
        try:
            while True:
                self._wake.clear()
                if not await self._round():
                    await self._rest()
        finally:
            await self._finish()

    async def _round(self) -> bool:
        """Whether there may be more to do at once."""
        try:
            spread = await self.spread()
            started = await self._start_due()
            await self._forget_old()
        except StorageError as error:
            logger.warning("webhooks_wait", error=str(error))
            return False
        except Exception:
            logger.exception("webhooks_round_failed")
            return False
        return spread or started

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.poll_seconds):
                await self._wake.wait()

    async def _finish(self) -> None:
        tasks = list(self._trying.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def spread(self) -> bool:
        """Turn what is in the outbox into deliveries; whether there may be more."""
        async with self._database.transaction() as transaction:
            outbox = WebhookOutbox(transaction)
            entries = await outbox.claim(SPREAD_AT_ONCE)
            if not entries:
                return False
            payloads = {entry.id: (entry.kind, payload_of(entry)) for entry in entries}
            wanted = await outbox.endpoints_for(entries)
            deliveries = [(endpoint, *payloads[entry]) for entry, endpoint in wanted]
            await WebhookDeliveries(transaction).add(deliveries, self._options.now())
            await outbox.remove(entries)
        return len(entries) == SPREAD_AT_ONCE

    async def _start_due(self) -> bool:
        free = self._options.concurrency - len(self._trying)
        if free <= 0:
            return False
        now = self._options.now()
        claimed = await WebhookDeliveries(self._database).claim(now, now + LEASE, list(self._trying), free)
        for delivery in claimed:
            task = asyncio.create_task(self._try(delivery))
            self._trying[delivery.endpoint_id] = task
            task.add_done_callback(partial(self._tried, delivery.endpoint_id))
        return bool(claimed)

    def _tried(self, endpoint_id: UUID, _task: asyncio.Task[None]) -> None:
        del self._trying[endpoint_id]
        self._wake.set()

    async def _try(self, delivery: ClaimedDelivery) -> None:
        try:
            outcome = await self._send(delivery)
            disabled = await self._note(delivery, outcome)
            if disabled is not None:
                logger.info("webhook_endpoint_disabled", endpoint_id=str(disabled.id), status=outcome.status)
                await self._options.on_disabled(disabled)
        except StorageError as error:
            # The lease runs out, and it is tried again.
            logger.warning("webhook_not_noted", delivery_id=str(delivery.id), error=str(error))
        except Exception:
            logger.exception("webhook_failed", delivery_id=str(delivery.id))

    async def _send(self, delivery: ClaimedDelivery) -> Outcome:
        body = delivery.payload.encode()
        headers = signed_headers(delivery, body, int(self._options.now().timestamp()))
        try:
            answer = await self._outbound.post(delivery.url, body, headers)
        except OutboundError as error:
            return self._outcome(delivery, None, f"The address {error}.")
        if 200 <= answer.status < 300:
            return Outcome(DeliveryState.DELIVERED, self._options.now(), answer.status, None, None)
        return self._outcome(delivery, answer.status, f"The answer was {answer.status}.")

    def _outcome(self, delivery: ClaimedDelivery, status: int | None, error: str) -> Outcome:
        now = self._options.now()
        if delivery.step >= len(SCHEDULE):
            return Outcome(DeliveryState.FAILED, now, status, error, None)
        pause = SCHEDULE[delivery.step] * (1 + self._options.uniform(-JITTER, JITTER))
        return Outcome(DeliveryState.PENDING, now, status, error, now + pause)

    async def _note(self, delivery: ClaimedDelivery, outcome: Outcome) -> WebhookEndpoint | None:
        """Write it down; the endpoint if that was its end."""
        async with self._database.transaction() as transaction:
            endpoints = WebhookEndpoints(transaction)
            if outcome.state is DeliveryState.DELIVERED:
                await endpoints.note_success(delivery.endpoint_id)
                reason = None
            else:
                since = await endpoints.note_failure(delivery.endpoint_id, outcome.at)
                reason = _reason(outcome, since)
            await WebhookDeliveries(transaction).note(delivery, outcome)
            return await endpoints.disable(delivery.endpoint_id, reason) if reason else None

    async def _forget_old(self) -> None:
        now = self._options.now()
        if now < self._forget_at:
            return
        oldest = id_at(now - KEPT_FOR)
        count = await WebhookDeliveries(self._database).forget_before(oldest, FORGOTTEN_AT_ONCE)
        if count < FORGOTTEN_AT_ONCE:
            self._forget_at = now + FORGET_EVERY


def payload_of(entry: OutboxEntry) -> str:
    body = {"type": entry.kind, "timestamp": entry.happened_at, "data": msgspec.Raw(entry.data.encode())}
    return msgspec.json.encode(body).decode()


def signed_headers(delivery: ClaimedDelivery, body: bytes, timestamp: int) -> dict[str, str]:
    """The headers of Standard Webhooks. The id stays the same for every try."""
    message_id = str(delivery.id)
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(delivery.secrets, message_id, timestamp, body),
    }


def signature(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """One signature per secret, with a space between them."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join("v1," + b64encode(digest).decode() for digest in digests)


def id_at(moment: datetime) -> UUID:
    """The least id (UUIDv7) that was given out at ``moment``."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def _reason(outcome: Outcome, failing_since: datetime) -> DisabledReason | None:
    if outcome.status == HTTPStatus.GONE:
        return DisabledReason.GONE
    if outcome.at - failing_since >= GIVE_UP_AFTER:
        return DisabledReason.FAILING
    return None
