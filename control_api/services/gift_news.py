"""From the outbox of gifts to leaderboards and chats.

A gift is counted once: in the transaction that takes it out of the outbox. It is told before that ends: when
that fails, a room may see it twice. The chat writes its log by itself: who dies before it has, and after the
end here, leaves a gift that is paid and counted, and not shown.
"""

from typing import Final

from control_api.services.outbox_loop import OutboxLoop
from storage.bus import Bus, GiftSent, TipSent
from storage.database import Database
from storage.repositories import gift_outbox
from storage.repositories.gift_outbox import GiftOutbox

BATCH: Final = 200
GATHER_SECONDS: Final = 0.1
"""Gifts that come close together are counted together."""


class GiftNews:
    """``wake`` says that there is something. ``run`` works until cancelled."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._loop = OutboxLoop(self.tell_once, BATCH, "gifts_not_told", GATHER_SECONDS)

    def wake(self) -> None:
        self._loop.wake()

    async def run(self) -> None:
        await self._loop.run()

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
