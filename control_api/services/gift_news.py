"""From the outbox of gifts to leaderboards and chats.

A gift is counted once: in the transaction that takes it out of the outbox. It is told before that ends, so
that a crash may make a room see it twice, but never not at all.
"""

import asyncio
from typing import Final

import structlog

from storage.bus import Bus, GiftSent, TipSent
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.repositories import gift_outbox
from storage.repositories.gift_outbox import GiftOutbox

logger = structlog.get_logger("mediaserver.money")

BATCH: Final = 200
POLL_SECONDS: Final = 2.0
"""So long the gifts wait that another node took and could not tell of."""
GATHER_SECONDS: Final = 0.1
"""Gifts that come close together are counted together."""


class GiftNews:
    """``wake`` says that there is something. ``run`` works until cancelled."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        while True:
            try:
                while await self.tell_once() == BATCH:
                    pass
            except (DatabaseUnavailable, TimeoutError) as error:
                logger.warning("gifts_not_told", error=str(error))
                await asyncio.sleep(POLL_SECONDS)
            await self._wait()

    async def tell_once(self) -> int:
        """Count and tell of some; how many were taken."""
        async with self._database.transaction() as transaction:
            outbox = GiftOutbox(transaction)
            ids = await outbox.take(BATCH)
            if ids:
                await outbox.count(ids)
                for news in await outbox.news(ids):
                    self._bus.publish(_event(news))
        return len(ids)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wanted.wait()
                await asyncio.sleep(GATHER_SECONDS)
        except TimeoutError:
            pass
        self._wanted.clear()


def _event(news: gift_outbox.GiftNews) -> GiftSent | TipSent:
    if not news.gift_slug:
        return TipSent(
            room_id=str(news.room_id),
            transfer_id=str(news.id),
            from_user_id=str(news.sender_id),
            username=news.username,
            coins=news.coins,
            message=news.message,
            room_coins=news.room_coins,
        )
    return GiftSent(
        room_id=str(news.room_id),
        transfer_id=str(news.id),
        from_user_id=str(news.sender_id),
        username=news.username,
        gift=news.gift_slug,
        quantity=news.quantity,
        coins=news.coins,
        combo=news.combo,
        room_coins=news.room_coins,
    )
