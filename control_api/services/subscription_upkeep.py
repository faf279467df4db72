"""Nobody goes on paying for an account that was deleted, or from one, or to a creator who was banned."""

import asyncio
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog

from control_api.errors import ApiError
from control_api.payments.billing_ports import BillingProvider
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.repositories.subscriptions import PeopleOfSubscription, Subscription, Subscriptions

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
        while found := await self._subscriptions.people(after, BATCH):
            for people in found:
                if people.is_gone or people.is_banned:
                    await self._end(people)
            after = found[-1].subscription_id

    async def _end(self, people: PeopleOfSubscription) -> None:
        known = await self._subscriptions.find(people.subscription_id)
        if known is None or known.provider != self._provider.scope:
            return
        try:
            await self._ask(known, people.is_gone)
        except ApiError as error:
            logger.warning("subscription_not_ended", subscription_id=str(known.id), error=error.code)
        else:
            logger.info("subscription_looked_after", id=str(known.id), is_gone=people.is_gone)

    async def _ask(self, known: Subscription, is_gone: bool) -> None:
        """A ban may be lifted: what is paid goes on until then, or to its end."""
        ref = known.standing.provider_ref
        if ref is None:
            if known.may_be_opening(datetime.now(UTC)):
                return
            if known.checkout is None or await self._provider.close_checkout(known.checkout.ref):
                await self._subscriptions.give_up(known.id)
        elif is_gone:
            await self._provider.end_now(ref)
        elif not known.standing.cancels_at_end:
            await self._provider.cancel_at_period_end(ref, True)
