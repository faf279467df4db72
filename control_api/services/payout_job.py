"""The task of payouts: begins those that are due and sends what is pending, on one node at a time.

Each payout is safe on its own, whoever works on it: the lock saves work, not money.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import structlog

from control_api.errors import ApiError
from control_api.services.payout_sending import PayoutSending
from control_api.services.payouts import PayoutsService
from storage.database import Database
from storage.errors import StorageError
from storage.leadership import leadership
from storage.repositories.payouts import (
    DuePosition,
    Payout,
    PayoutAccounts,
    Payouts,
    PayoutState,
    ProviderName,
)

logger = structlog.get_logger("mediaserver.money")

PAYOUT_LOCK: Final = 0x7061796F
"""Of PostgreSQL's advisory locks: "payo"."""
PAGE: Final = 100
AT_ONCE: Final = 4
POLL_SECONDS: Final = 30.0
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Round:
    """What was done: creators whose turn it was, payouts that began, were paid and failed."""

    due: int = 0
    begun: int = 0
    paid: int = 0
    failed: int = 0


class PayoutJob:
    """``wake`` says that there is something to send. ``run`` works until cancelled."""

    def __init__(
        self, database: Database, provider: ProviderName, payouts: PayoutsService, sending: PayoutSending
    ) -> None:
        self._database = database
        self._payouts = payouts
        self._sending = sending
        self._accounts = PayoutAccounts(database, provider)
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        while True:
            try:
                await self.work_once()
            except (StorageError, TimeoutError) as error:
                logger.warning("payouts_not_made", error=str(error))
            await self._wait()

    async def work_once(self) -> Round | None:
        """All that is due by now; None if another node is at it."""
        async with leadership(self._database, PAYOUT_LOCK) as is_leader:
            if not is_leader:
                return None
            due, begun = await self._begin_due(datetime.now(UTC))
            paid, failed = await self._send_pending()
        done = Round(due, begun, paid, failed)
        if done != Round():
            logger.info("payouts_made", due=due, begun=begun, paid=paid, failed=failed)
        return done

    async def _begin_due(self, until: datetime) -> tuple[int, int]:
        """Page by page: who could not be paid stays due and is passed over until the next round."""
        due, begun, last = 0, 0, None
        while page := await self._accounts.due(until, last, PAGE):
            results = await _each(page, self._begin, "payout_not_begun")
            due, begun, last = due + len(page), begun + sum(results), page[-1]
            logger.info("payouts_due", due=due, begun=begun)
        return due, begun

    async def _begin(self, due: DuePosition) -> bool:
        result = await self._payouts.pay_due(due)
        if isinstance(result, Payout):
            return True
        logger.info("payout_skipped", user_id=str(due.user_id), reason=result.value)
        return False

    async def _send_pending(self) -> tuple[int, int]:
        """What was tried is not due again for a while, so each page brings others."""
        paid, failed, pending = 0, 0, Payouts(self._database)
        while page := await pending.unsent(PAGE):
            states = await _each(page, self._sending.send, "payout_not_sent")
            if not states:
                break
            paid += states.count(PayoutState.PAID)
            failed += states.count(PayoutState.FAILED)
        return paid, failed

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wanted.wait()
        except TimeoutError:
            pass
        self._wanted.clear()


async def _each(
    items: Sequence[ItemT], work: Callable[[ItemT], Awaitable[ResultT]], failure: str
) -> list[ResultT]:
    """What ``work`` made of each, a few at once, without those where it failed."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(item: ItemT) -> list[ResultT]:
        async with free:
            try:
                return [await work(item)]
            except (StorageError, ApiError, TimeoutError) as error:
                logger.warning(failure, item=str(item), error=str(error))
            except Exception:
                # A defect that one payout meets is no reason to pay nobody.
                logger.exception(failure, item=str(item))
            return []

    found = await asyncio.gather(*(one(item) for item in items))
    return [result for results in found for result in results]
