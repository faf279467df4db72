"""Gifts and tips: what can be given, what was given in which room, and who gave most."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id
from storage.repositories.ledger import POST, NewTransfer, post_arguments
from storage.repositories.rooms import IS_LIVE

COMBO_SECONDS: Final = 10
"""The same gift again within so long goes on counting."""


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
class GiftPosition:
    """The last gift of a page."""

    price_coins: int
    id: UUID


@dataclass(frozen=True, slots=True)
class Giving:
    """What decides whether and how somebody may give in a room. ``percent`` is None without an override."""

    owner_id: UUID
    owner_is_active: bool
    is_live: bool
    is_banned: bool
    percent: int | None


@dataclass(frozen=True, slots=True)
class NewGiving:
    """A gift, or a tip with neither ``gift_id`` nor ``gift_slug``."""

    room_id: UUID
    sender_id: UUID
    receiver_id: UUID
    gift_id: UUID | None
    gift_slug: str
    quantity: int
    coins: int
    earned: int
    currency: str
    message: str = ""


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


@dataclass(frozen=True, slots=True)
class GivenOnce:
    """What was done under a key, for who asks again."""

    id: UUID
    gift_id: UUID | None
    quantity: int
    coins: int
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


_GIFT: Final = "id, slug, name, price_coins, picture, animation, is_active"
_GIVE: Final = f"""
    WITH {POST}, given AS (
        INSERT INTO gift_transactions (id, room_id, sender_id, receiver_id, gift_id, gift_slug, quantity,
                                       coins, earned, currency, message, combo)
        SELECT $1, $10, $11, $12, $13::uuid, $14, $15::integer, $16, $17, $18, $19, coalesce((
            SELECT CASE WHEN last.gift_id = $13 AND last.room_id = $10
                             AND last.created_at > now() - interval '{COMBO_SECONDS} seconds'
                        THEN least(last.combo::bigint + $15, 1000000)::integer END
            FROM (SELECT gift_id, room_id, created_at, combo FROM gift_transactions
                  WHERE sender_id = $11 ORDER BY id DESC LIMIT 1) AS last), $15)
        RETURNING id, gift_id, quantity, coins, combo, message, created_at
    ), told AS (
        INSERT INTO gift_outbox (id) VALUES ($1)
    )
    SELECT * FROM given"""
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
            f"""SELECT {_GIFT} FROM gifts WHERE is_active AND (price_coins, id) > ($1, $2)
                ORDER BY price_coins, id LIMIT $3""",
            *position,
            limit,
        )
        return [_gift(row) for row in rows]

    async def find(self, gift_id: UUID) -> Gift | None:
        row = await self._database.fetch_row(f"SELECT {_GIFT} FROM gifts WHERE id = $1", gift_id)
        return _gift(row) if row else None

    async def giving(self, room_id: UUID, sender_id: UUID) -> Giving | None:
        """None when there is no such room. Of a shadow ban the banned one does not learn here either."""
        row = await self._database.fetch_row(
            f"""SELECT rooms.owner_id, users.state = 'active',
                       EXISTS (SELECT FROM room_live_state WHERE room_id = rooms.id AND {IS_LIVE}),
                       EXISTS (SELECT FROM chat_bans WHERE room_id = rooms.id AND user_id = $2
                               AND NOT is_shadow AND (until IS NULL OR until > now())),
                       creator_shares.percent
                FROM rooms JOIN users ON users.id = rooms.owner_id
                LEFT JOIN creator_shares ON creator_shares.user_id = rooms.owner_id
                WHERE rooms.id = $1""",
            room_id,
            sender_id,
        )
        return Giving(*row) if row else None

    async def give(self, transfer: NewTransfer, giving: NewGiving) -> GivenOnce:
        """Move the coins, write down the gift and queue it to be told, all in one statement.

        Raises what ``Ledger.post`` does. ``transfer`` must not take from accounts with shards.
        """
        shards = [None] * len(transfer.lines)
        row = await self._database.fetch_row(
            _GIVE,
            *post_arguments(new_id(), transfer, transfer.lines, shards),
            giving.room_id,
            giving.sender_id,
            giving.receiver_id,
            giving.gift_id,
            giving.gift_slug,
            giving.quantity,
            giving.coins,
            giving.earned,
            giving.currency,
            giving.message,
        )
        assert row is not None
        return GivenOnce(*row)

    async def given(self, transfer_id: UUID) -> GivenOnce | None:
        row = await self._database.fetch_row(
            """SELECT id, gift_id, quantity, coins, combo, message, created_at
               FROM gift_transactions WHERE id = $1""",
            transfer_id,
        )
        return GivenOnce(*row) if row else None

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


def _gift(row: Row) -> Gift:
    return Gift(
        row["id"],
        row["slug"],
        row["name"],
        row["price_coins"],
        row["picture"],
        Animation(row["animation"]),
        row["is_active"],
    )
