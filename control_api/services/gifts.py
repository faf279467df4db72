"""Gifts and tips: who may give what where, and who gave most."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from control_api.errors import not_found
from control_api.pagination import Page, decode_cursor, id_in, page_of
from control_api.services.gift_rules import GiftParts, GiftRules, Order
from control_api.services.gift_till import GiftTill, Paid
from control_api.services.money import MAX_COINS
from control_api.services.playback import Denial
from control_api.texts import clean_line
from storage.database import Database
from storage.repositories.gifts import Gift, GiftPosition, Gifts, Given, Leader, Period

MAX_QUANTITY: Final = 1000
MIN_TIP: Final = 1
MAX_TIP: Final = 1_000_000
MAX_MESSAGE: Final = 200
LEADERS: Final = 50


@dataclass(frozen=True, slots=True)
class Board:
    """``coins`` and ``gifts`` are what the room got in all, whatever the period of ``leaders``."""

    leaders: list[Leader]
    coins: int
    gifts: int


class GiftsService:
    def __init__(self, database: Database, parts: GiftParts) -> None:
        self._gifts = Gifts(database)
        self._access = parts.access
        self._rules = GiftRules(database, parts)
        self._till = GiftTill(database, parts)

    async def offered(self, cursor: str | None, limit: int) -> Page[Gift]:
        """The cheapest first."""
        found = await self._gifts.offered(_position_in(cursor), limit + 1)
        return page_of(found, limit, lambda gift: (gift.price_coins, gift.id))

    async def give(self, user_id: UUID, room_id: UUID, key: str, gift_id: UUID, quantity: int) -> Paid:
        """Raises ApiError: 402 ``insufficient_coins``, 403, 404, 409, 422. Then nothing has moved."""
        return await self._till.pay(Order(user_id, room_id, key, gift_id, quantity))

    async def tip(self, user_id: UUID, room_id: UUID, key: str, coins: int, message: str) -> Paid:
        """Raises what ``give`` does."""
        message = clean_line("message", message, MAX_MESSAGE, 0)
        order = Order(user_id, room_id, key, coins=coins, message=message)
        # Before the queue: those who wait there are answered together.
        await self._rules.check_words(order)
        return await self._till.pay(order)

    async def sent(self, user_id: UUID, cursor: str | None, limit: int) -> Page[Given]:
        found = await self._gifts.sent(user_id, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda given: (given.id,))

    async def received(self, user_id: UUID, cursor: str | None, limit: int) -> Page[Given]:
        found = await self._gifts.received(user_id, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda given: (given.id,))

    async def board(self, user_id: UUID | None, room_id: UUID, period: Period, limit: int) -> Board:
        """Who gave most in the room. Raises ApiError 404 for a room that the user may not know of."""
        verdict = await self._access.verdict(room_id, user_id)
        if verdict is None or verdict.is_hidden or verdict.denial is Denial.PRIVATE_ROOM:
            raise not_found("room")
        leaders = await self._gifts.leaders(room_id, period, limit)
        return Board(leaders, *await self._gifts.room_total(room_id))


def _position_in(cursor: str | None) -> GiftPosition | None:
    if cursor is None:
        return None
    price, gift_id = decode_cursor(cursor, int, UUID)
    return GiftPosition(min(max(price, 0), MAX_COINS), gift_id)
