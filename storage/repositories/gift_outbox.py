"""Gifts that are committed, but not yet counted and told. Several nodes may work on them at once."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from storage.database import Executor


@dataclass(frozen=True, slots=True)
class GiftNews:
    """``gift_slug`` is empty for a tip. ``room_coins`` is what the room got in all, up to this batch."""

    id: UUID
    room_id: UUID
    sender_id: UUID
    username: str
    gift_slug: str
    quantity: int
    coins: int
    combo: int
    message: str
    room_coins: int


_TAKE: Final = """
    DELETE FROM gift_outbox
    WHERE id = ANY (ARRAY(SELECT id FROM gift_outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING id"""

_COUNT_LEADERS: Final = """
    INSERT INTO gift_totals AS totals (room_id, period, since, user_id, coins)
    SELECT room_id, period, since, sender_id, sum(coins)
    FROM gift_transactions AS given
    JOIN rooms ON rooms.id = given.room_id
    CROSS JOIN LATERAL (VALUES
        ('day', (given.created_at AT TIME ZONE 'UTC')::date),
        ('week', date_trunc('week', given.created_at AT TIME ZONE 'UTC')::date),
        ('all', date '1970-01-01')) AS periods (period, since)
    WHERE given.id = ANY ($1::uuid[])
    GROUP BY room_id, period, since, sender_id ORDER BY room_id, period, since, sender_id
    ON CONFLICT (room_id, period, since, user_id) DO UPDATE SET coins = totals.coins + EXCLUDED.coins"""

_COUNT_ROOMS: Final = """
    INSERT INTO gift_room_totals AS totals (room_id, coins, gifts)
    SELECT room_id, sum(coins), count(*)
    FROM gift_transactions AS given JOIN rooms ON rooms.id = given.room_id
    WHERE given.id = ANY ($1::uuid[]) GROUP BY room_id ORDER BY room_id
    ON CONFLICT (room_id) DO UPDATE
        SET coins = totals.coins + EXCLUDED.coins, gifts = totals.gifts + EXCLUDED.gifts"""

_NEWS: Final = """
    SELECT given.id, given.room_id, sender_id, username, gift_slug, quantity, given.coins, combo,
           CASE WHEN message <> '' AND (
               SELECT true FROM chat_bans
               WHERE room_id = given.room_id AND user_id = sender_id AND is_shadow
                 AND (until IS NULL OR until > now()) LIMIT 1) THEN '' ELSE message END,
           totals.coins
    FROM gift_transactions AS given
    JOIN users ON users.id = sender_id
    JOIN gift_room_totals AS totals ON totals.room_id = given.room_id
    WHERE given.id = ANY ($1::uuid[]) ORDER BY given.id"""


class GiftOutbox:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def take(self, limit: int) -> list[UUID]:
        """Those that wait longest. Nobody else gets them, unless the transaction is rolled back."""
        return [row["id"] for row in await self._database.fetch(_TAKE, limit)]

    async def count(self, ids: list[UUID]) -> None:
        """Add them to the totals of their rooms and givers, but for those in rooms that are gone."""
        await self._database.execute(_COUNT_ROOMS, ids)
        await self._database.execute(_COUNT_LEADERS, ids)

    async def news(self, ids: list[UUID]) -> list[GiftNews]:
        """In the order in which they were given; those in rooms that are gone are left out.

        Who is under a shadow ban writes nothing to others here either.
        """
        return [GiftNews(*row) for row in await self._database.fetch(_NEWS, ids)]
