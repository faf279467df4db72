"""What is still to be told: fan-outs to an owner's followers, and e-mails and pushes of single notifications.

Several nodes may work on both at once; a row is locked or leased by the one that claimed it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from storage.database import Executor, Row


@dataclass(frozen=True, slots=True)
class FanOut:
    """A broadcast and the last follower of its room's owner who was told of it.

    ``is_wanted`` is false when nobody needs to hear of it: it is over, continues one that broke off, or its
    room or owner may not be seen by followers.
    """

    broadcast_id: UUID
    followed_at: datetime
    follower_id: UUID
    room_id: UUID
    slug: str | None
    title: str
    owner_id: UUID
    username: str
    display_name: str
    is_wanted: bool


@dataclass(frozen=True, slots=True)
class Follower:
    id: UUID
    followed_at: datetime


@dataclass(frozen=True, slots=True)
class PushKeys:
    """Where and for whom a push is encrypted."""

    subscription_id: UUID
    endpoint: str
    p256dh: str
    auth: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """``attempts`` counts this one. ``email`` is None unless the user proved to own it.

    ``push`` is None for an e-mail.
    """

    id: UUID
    attempts: int
    notification_id: UUID
    kind: str
    data: dict[str, Any]
    created_at: datetime
    is_active: bool
    email: str | None
    push: PushKeys | None


CLAIM_FAN_OUT: Final = """
    SELECT broadcast_id, followed_at, follower_id, rooms.id AS room_id, slug, title,
           owner_id, username, display_name,
           broadcasts.ended_at IS NULL AND visibility IN ('public', 'followers') AND users.state = 'active'
           AND coalesce((SELECT before.ended_at < broadcasts.started_at - $1::interval
                         FROM broadcasts AS before
                         WHERE before.room_id = rooms.id AND before.started_at < broadcasts.started_at
                         ORDER BY before.started_at DESC LIMIT 1), true) AS is_wanted
    FROM notification_fanouts
    JOIN broadcasts ON broadcasts.id = broadcast_id
    JOIN rooms ON rooms.id = broadcasts.room_id
    JOIN users ON users.id = owner_id
    ORDER BY advanced_at LIMIT 1 FOR UPDATE OF notification_fanouts SKIP LOCKED"""

CLAIM_DELIVERIES: Final = """
    WITH due AS (
        SELECT id FROM notification_deliveries WHERE due_at <= now()
        ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE notification_deliveries AS delivery SET due_at = now() + $2::interval, attempts = attempts + 1
        FROM due WHERE delivery.id = due.id
        RETURNING delivery.id, notification_id, subscription_id, attempts
    )
    SELECT claimed.id, attempts, notification.id AS notification_id, kind, data, notification.created_at,
           users.state = 'active' AS is_active,
           CASE WHEN email_verified_at IS NOT NULL THEN users.email END AS email,
           subscription_id, endpoint, p256dh, auth
    FROM claimed
    JOIN notifications AS notification ON notification.id = notification_id
    JOIN users ON users.id = notification.user_id
    LEFT JOIN push_subscriptions AS subscription ON subscription.id = subscription_id"""


class NotificationOutbox:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def claim_fan_out(self, pause: timedelta) -> FanOut | None:
        """The one that waits longest, locked until the end of the transaction.

        A broadcast within ``pause`` of the end of the one before continues that one.
        """
        row = await self._database.fetch_row(CLAIM_FAN_OUT, pause)
        return FanOut(*row) if row else None

    async def followers_after(
        self, user_id: UUID, followed_at: datetime, follower_id: UUID, limit: int
    ) -> list[Follower]:
        """From the newest to the oldest, those after the one that the cursor names."""
        rows = await self._database.fetch(
            """SELECT follower_id, created_at FROM follows
               WHERE user_id = $1 AND created_at <= $2 AND (created_at < $2 OR follower_id > $3)
               ORDER BY created_at DESC, follower_id LIMIT $4""",
            user_id,
            followed_at,
            follower_id,
            limit,
        )
        return [Follower(*row) for row in rows]

    async def advance_fan_out(self, broadcast_id: UUID, last: Follower) -> None:
        await self._database.execute(
            """UPDATE notification_fanouts
               SET followed_at = $2, follower_id = $3, advanced_at = clock_timestamp()
               WHERE broadcast_id = $1""",
            broadcast_id,
            last.followed_at,
            last.id,
        )

    async def finish_fan_out(self, broadcast_id: UUID) -> None:
        await self._database.execute("DELETE FROM notification_fanouts WHERE broadcast_id = $1", broadcast_id)

    async def claim_deliveries(self, limit: int, lease: timedelta) -> list[Delivery]:
        """What is due; nobody else gets it within ``lease``, in which it must be finished or postponed."""
        return [_delivery(row) for row in await self._database.fetch(CLAIM_DELIVERIES, limit, lease)]

    async def finish_deliveries(self, ids: Sequence[UUID]) -> None:
        await self._database.execute("DELETE FROM notification_deliveries WHERE id = ANY($1::uuid[])", ids)

    async def postpone_delivery(self, delivery_id: UUID, pause: timedelta) -> None:
        await self._database.execute(
            "UPDATE notification_deliveries SET due_at = now() + $2::interval WHERE id = $1",
            delivery_id,
            pause,
        )


def _delivery(row: Row) -> Delivery:
    push = None
    if row["endpoint"] is not None:
        push = PushKeys(row["subscription_id"], row["endpoint"], row["p256dh"], row["auth"])
    return Delivery(
        id=row["id"],
        attempts=row["attempts"],
        notification_id=row["notification_id"],
        kind=row["kind"],
        data=msgspec.json.decode(row["data"]),
        created_at=row["created_at"],
        is_active=row["is_active"],
        email=row["email"],
        push=push,
    )
