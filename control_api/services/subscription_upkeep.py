"""Subscriptions whose people are gone end: nobody goes on paying for an account that was deleted."""

import asyncio
from typing import Final
from uuid import UUID

import structlog

from control_api.errors import ApiError
from control_api.payments.billing_ports import BillingProvider
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.repositories.subscriptions import Subscriptions, SubscriptionState

logger = structlog.get_logger("mediaserver.money")

BATCH: Final = 500
PAUSE_SECONDS: Final = 600.0


class SubscriptionUpkeep:
    """``run`` works until cancelled. Several nodes may do so at once."""

    def __init__(self, database: Database, provider: BillingProvider) -> None:
        self._subscriptions = Subscriptions(database)
        self._provider = provider

    async def run(self) -> None:
        while True:
            try:
                await self.sweep()
            except (DatabaseUnavailable, TimeoutError) as error:
                logger.warning("subscriptions_not_looked_through", error=str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def sweep(self) -> None:
        """Look through all that run, some at a time."""
        after = UUID(int=0)
        while found := await self._subscriptions.without_people(after, BATCH):
            for subscription_id, is_over in found:
                if is_over:
                    await self._end(subscription_id)
            after = found[-1][0]

    async def _end(self, subscription_id: UUID) -> None:
        known = await self._subscriptions.find(subscription_id)
        if known is None or known.provider != self._provider.scope:
            return
        try:
            if known.standing.provider_ref is not None:
                await self._provider.end_now(known.standing.provider_ref)
            elif known.checkout is None or await self._provider.close_checkout(known.checkout.ref):
                await self._subscriptions.give_up(known.id)
        except ApiError as error:
            logger.warning("subscription_not_ended", subscription_id=str(known.id), error=error.code)
        else:
            is_told = known.state is not SubscriptionState.INCOMPLETE
            logger.info("subscription_without_people_ended", id=str(known.id), provider_was_told=is_told)
