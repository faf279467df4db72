"""Deliveries of outbound webhooks: each is one message to one endpoint, with its retries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id

MAX_WAITING: Final = 1000
"""Pending deliveries per endpoint; more are given up at once."""

_LOOKED_THROUGH: Final = 1000


class DeliveryState(Enum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """``next_attempt_at`` is None unless it is pending; ``last_status`` is None where there was no answer."""

    id: UUID
    endpoint_id: UUID
    kind: str
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """One that this node is to try now. ``secrets`` are all that sign it, the newest first."""

    id: UUID
    endpoint_id: UUID
    url: str
    payload: str
    secrets: tuple[bytes, ...]
    step: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to. ``next_attempt_at`` is None when there will be no other."""

    state: DeliveryState
    at: datetime
    status: int | None
    error: str | None
    next_attempt_at: datetime | None


_DELIVERY: Final = """id, endpoint_id, kind, state, attempts, next_attempt_at, last_attempt_at, last_status,
                      last_error, created_at"""


class WebhookDeliveries:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, deliveries: Sequence[tuple[UUID, str, str]], at: datetime) -> None:
        """(endpoint, kind, payload) each, in the order in which they are to be sent.

        Those beyond MAX_WAITING of an endpoint have failed already.
        """
        await self._database.execute(
            """INSERT INTO webhook_deliveries
                   (id, endpoint_id, kind, payload, state, next_attempt_at, last_error)
               SELECT new.id, new.endpoint_id, new.kind, new.payload,
                      CASE WHEN fits THEN 'pending' ELSE 'failed' END,
                      CASE WHEN fits THEN $5::timestamptz END,
                      CASE WHEN NOT fits THEN 'Too many deliveries were waiting.' END
               FROM (SELECT *, row_number() OVER (PARTITION BY endpoint_id ORDER BY id)
                               + (SELECT count(*) FROM webhook_deliveries AS waiting
                                  WHERE waiting.endpoint_id = given.endpoint_id AND state = 'pending')
                               <= $6 AS fits
                     FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[])
                          AS given (id, endpoint_id, kind, payload)) AS new""",
            sorted(new_id() for _ in deliveries),
            [delivery[0] for delivery in deliveries],
            [delivery[1] for delivery in deliveries],
            [delivery[2] for delivery in deliveries],
            at,
            MAX_WAITING,
        )

    async def list_of(self, endpoint_id: UUID, before: UUID | None, limit: int) -> list[WebhookDelivery]:
        """The newest first."""
        rows = await self._database.fetch(
            f"""SELECT {_DELIVERY} FROM webhook_deliveries
                WHERE endpoint_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3""",
            endpoint_id,
            before,
            limit,
        )
        return [_delivery(row) for row in rows]

    async def retry(self, endpoint_id: UUID, delivery_id: UUID, at: datetime) -> WebhookDelivery | None:
        """Try it at ``at``, with all retries before it again; also one that was delivered."""
        row = await self._database.fetch_row(
            f"""UPDATE webhook_deliveries SET state = 'pending', step = 0, next_attempt_at = $3
                WHERE id = $2 AND endpoint_id = $1 RETURNING {_DELIVERY}""",
            endpoint_id,
            delivery_id,
            at,
        )
        return _delivery(row) if row else None

    async def claim(
        self, now: datetime, lease_until: datetime, busy: Sequence[UUID], limit: int
    ) -> list[ClaimedDelivery]:
        """Due deliveries, one per endpoint at most and none of ``busy`` ones, for this node alone."""
        rows = await self._database.fetch(
            """WITH due AS (
                   SELECT id, row_number() OVER (
                       PARTITION BY endpoint_id ORDER BY next_attempt_at, id) AS place
                   FROM (SELECT id, endpoint_id, next_attempt_at FROM webhook_deliveries
                         WHERE state = 'pending' AND next_attempt_at <= $1 AND endpoint_id <> ALL($3::uuid[])
                         ORDER BY next_attempt_at LIMIT $5) AS oldest),
               chosen AS (
                   SELECT id FROM webhook_deliveries
                   WHERE id IN (SELECT id FROM due WHERE place = 1)
                     AND state = 'pending' AND next_attempt_at <= $1
                   ORDER BY next_attempt_at LIMIT $4 FOR UPDATE SKIP LOCKED)
               UPDATE webhook_deliveries AS delivery
               SET attempts = attempts + 1, next_attempt_at = $2
               FROM chosen, webhook_endpoints AS endpoint
               WHERE delivery.id = chosen.id AND endpoint.id = delivery.endpoint_id
               RETURNING delivery.id, endpoint.id AS endpoint_id, url, payload, step, attempts, secret,
                   CASE WHEN previous_secret_until > $1 THEN previous_secret END AS previous_secret""",
            now,
            lease_until,
            list(busy),
            limit,
            _LOOKED_THROUGH,
        )
        return [_claimed(row) for row in rows]

    async def note(self, claimed: ClaimedDelivery, outcome: Outcome) -> None:
        """A no-op if another node has taken it over meanwhile, or it was given up."""
        await self._database.execute(
            """UPDATE webhook_deliveries SET state = $3, step = step + 1, last_attempt_at = $4,
                   last_status = $5, last_error = $6, next_attempt_at = $7
               WHERE id = $1 AND attempts = $2 AND state = 'pending'""",
            claimed.id,
            claimed.attempts,
            outcome.state.value,
            outcome.at,
            outcome.status,
            outcome.error,
            outcome.next_attempt_at,
        )

    async def forget_before(self, oldest: UUID, limit: int) -> int:
        """Delete finished ones with a smaller id (ids are in the order of time); say how many."""
        rows = await self._database.fetch(
            """DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(
                   SELECT id FROM webhook_deliveries WHERE id < $1 AND state <> 'pending'
                   ORDER BY id LIMIT $2)) RETURNING id""",
            oldest,
            limit,
        )
        return len(rows)


def _delivery(row: Row) -> WebhookDelivery:
    return WebhookDelivery(row[0], row[1], row[2], DeliveryState(row[3]), *row[4:])


def _claimed(row: Row) -> ClaimedDelivery:
    secrets = (row["secret"],) + ((row["previous_secret"],) if row["previous_secret"] else ())
    return ClaimedDelivery(
        row["id"], row["endpoint_id"], row["url"], row["payload"], secrets, row["step"], row["attempts"]
    )
