"""Gifts and tips: what can be given, what was given in which room, and who gave most.

Giving itself is in gift_orders.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final
from uuid import UUID

from storage.database import Executor
from storage.ids import new_id


class Animation(Enum):
    """How players may show a gift."""

    FLOAT = "float"
    BURST = "burst"
    SHOWER = "shower"
    FULLSCREEN = "fullscreen"


@dataclass(frozen=True, slots=True)
class Gift:
    """``picture`` is an address or an emoji. One that is not active cannot be given any more."""

    id: UUID
    slug: str
    name: str
    price_coins: int
    picture: str
    animation: Animation
    is_active: bool


@dataclass(frozen=True, slots=True)
class NewGift:
    slug: str
    name: str
    price_coins: int
    picture: str
    animation: Animation


@dataclass(frozen=True, slots=True)
class GiftPosition:
    """The last gift of a page."""

    price_coins: int
    id: UUID


@dataclass(frozen=True, slots=True)
class Given:
    """``other_*`` is who got it, in a list of what was sent, and who sent it, in one of what was received."""

    id: UUID
    room_id: UUID
    other_id: UUID
    other_name: str
    other_display_name: str
    other_avatar: str | None
    gift_id: UUID | None
    gift_slug: str
    quantity: int
    coins: int
    earned: int
    currency: str
    combo: int
    message: str
    created_at: datetime


class Period(Enum):
    """Of a leaderboard. Days and weeks, which begin on Mondays, are those of UTC."""

    DAY = "day"
    WEEK = "week"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Leader:
    user_id: UUID
    username: str
    display_name: str
    avatar: str | None
    coins: int


GIFT_COLUMNS: Final = "id, slug, name, price_coins, picture, animation, is_active"
"""What ``gift_of`` reads."""
_LIST: Final = """
    SELECT given.id, room_id, {other}, username, display_name, avatar, gift_id, gift_slug, quantity, coins,
           earned, currency, combo, message, given.created_at
    FROM gift_transactions AS given JOIN users ON users.id = {other}
    WHERE {mine} = $1 AND ($2::uuid IS NULL OR given.id < $2) ORDER BY given.id DESC LIMIT $3"""


class Gifts:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def offered(self, after: GiftPosition | None = None, limit: int = 20) -> list[Gift]:
        """Active ones, the cheapest first."""
        position = (after.price_coins, after.id) if after else (0, UUID(int=0))
        rows = await self._database.fetch(
            f"""SELECT {GIFT_COLUMNS} FROM gifts WHERE is_active AND (price_coins, id) > ($1, $2)
                ORDER BY price_coins, id LIMIT $3""",
            *position,
            limit,
        )
        return [gift_of(row) for row in rows]

    async def every(self, after: UUID | None = None, limit: int = 20) -> list[Gift]:
        """In the order in which they were added; ``after`` is the last one's id."""
        rows = await self._database.fetch(
            f"SELECT {GIFT_COLUMNS} FROM gifts WHERE id > $1 ORDER BY id LIMIT $2",
            after or UUID(int=0),
            limit,
        )
        return [gift_of(row) for row in rows]

    async def add(self, gift: NewGift) -> Gift:
        """Raises Conflict for a slug that another has, InvalidValue."""
        gift_id = new_id()
        await self._database.execute(
            """INSERT INTO gifts (id, slug, name, price_coins, picture, animation)
               VALUES ($1, $2, $3, $4, $5, $6)""",
            gift_id,
            gift.slug,
            gift.name,
            gift.price_coins,
            gift.picture,
            gift.animation.value,
        )
        return Gift(gift_id, gift.slug, gift.name, gift.price_coins, gift.picture, gift.animation, True)

    async def lock(self, gift_id: UUID) -> Gift | None:
        """In a transaction: nobody else changes it until that ends."""
        row = await self._database.fetch_row(
            f"SELECT {GIFT_COLUMNS} FROM gifts WHERE id = $1 FOR NO KEY UPDATE", gift_id
        )
        return gift_of(row) if row else None

    async def change(self, gift: Gift) -> None:
        """Everything but the slug. Raises InvalidValue."""
        await self._database.execute(
            """UPDATE gifts SET name = $2, price_coins = $3, picture = $4, animation = $5, is_active = $6
               WHERE id = $1""",
            gift.id,
            gift.name,
            gift.price_coins,
            gift.picture,
            gift.animation.value,
            gift.is_active,
        )

    async def sent(self, user_id: UUID, before: UUID | None = None, limit: int = 20) -> list[Given]:
        """By ``user_id``, the newest first."""
        sql = _LIST.format(other="receiver_id", mine="sender_id")
        return [Given(*row) for row in await self._database.fetch(sql, user_id, before, limit)]

    async def received(self, user_id: UUID, before: UUID | None = None, limit: int = 20) -> list[Given]:
        """By ``user_id``, the newest first."""
        sql = _LIST.format(other="sender_id", mine="receiver_id")
        return [Given(*row) for row in await self._database.fetch(sql, user_id, before, limit)]

    async def leaders(self, room_id: UUID, period: Period, limit: int) -> list[Leader]:
        """Who gave most in the ``period`` that is now, and is active."""
        rows = await self._database.fetch(
            """SELECT user_id, username, display_name, avatar, coins
               FROM gift_totals JOIN users ON users.id = user_id
               WHERE room_id = $1 AND period = $2
                 AND since = CASE $2 WHEN 'all' THEN date '1970-01-01'
                                     ELSE date_trunc($2, now() AT TIME ZONE 'UTC')::date END
                 AND users.state = 'active'
               ORDER BY coins DESC, user_id LIMIT $3""",
            room_id,
            period.value,
            limit,
        )
        return [Leader(*row) for row in rows]

    async def room_total(self, room_id: UUID) -> tuple[int, int]:
        """Coins, and gifts and tips, that the room got in all."""
        row = await self._database.fetch_row(
            "SELECT coins, gifts FROM gift_room_totals WHERE room_id = $1", room_id
        )
        return (row[0], row[1]) if row else (0, 0)

    async def set_share(self, user_id: UUID, percent: int | None) -> None:
        """The creator's own percentage; None goes back to the setting. Raises InvalidValue."""
        if percent is None:
            await self._database.execute("DELETE FROM creator_shares WHERE user_id = $1", user_id)
            return
        await self._database.execute(
            """INSERT INTO creator_shares (user_id, percent) VALUES ($1, $2)
               ON CONFLICT (user_id) DO UPDATE SET percent = EXCLUDED.percent, set_at = now()""",
            user_id,
            percent,
        )


def gift_of(row: Sequence[Any]) -> Gift:
    """A row with GIFT_COLUMNS."""
    gift_id, slug, name, price_coins, picture, animation, is_active = row
    return Gift(gift_id, slug, name, price_coins, picture, Animation(animation), is_active)
