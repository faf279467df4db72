"""What a provider says, each event once, in whatever order and however often it comes.

The event and what it does are one transaction: a crash in between leaves neither, and who is sent no answer
sends the event again.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import structlog

from control_api.errors import ApiError, conflict
from control_api.payments.ports import DoFirst, EventHandler, Events, ProviderEvent, TooEarly
from storage.database import Database
from storage.repositories.payment_events import PaymentEventLog

logger = structlog.get_logger("mediaserver.money")

MAX_EVENT_BYTES: Final = 1024 * 1024


class PaymentEvents:
    """``handlers`` by the type of events. Of what nobody asks for, only the id is kept."""

    def __init__(
        self, database: Database, provider: Events, handlers: Mapping[str, EventHandler] | None = None
    ) -> None:
        self._database = database
        self._provider = provider
        self._handlers: dict[str, list[EventHandler]] = {}
        self.add(handlers or {})

    def add(self, handlers: Mapping[str, EventHandler]) -> None:
        """Beside those that are there, which the same event goes to before."""
        for kind, handler in handlers.items():
            self._handlers.setdefault(kind, []).append(handler)

    async def receive(self, body: bytes, signature: str) -> bool:
        """Whether it is new. Raises ApiError: 400 for what the provider did not send, 409 ``too_early``."""
        event = self._provider.event_of(body, signature)
        try:
            is_new = await self._prepare_and_apply(event)
        except TooEarly as error:
            logger.info("payment_event_too_early", event_id=event.id, type=event.type)
            raise _send_again() from error
        logger.info("payment_event", event_id=event.id, type=event.type, is_new=is_new)
        return is_new

    async def _prepare_and_apply(self, event: ProviderEvent) -> bool:
        try:
            return await self._apply(event)
        except DoFirst as wanted:
            action = wanted.action
        # Not while a transaction is open: it asks the provider, and may take long.
        await action()
        return await self._apply(replace(event, is_prepared=True))

    async def _apply(self, event: ProviderEvent) -> bool:
        async with self._database.transaction() as transaction:
            # Who brings the same event at the same time waits here for what becomes of this one.
            if not await PaymentEventLog(transaction).add(event.id, event.type, event.created_at):
                return False
            for handler in self._handlers.get(event.type, ()):
                await handler(transaction, event)
            return True


def _send_again() -> ApiError:
    return conflict("too_early", "Something that belongs before this event has not come yet: send it again.")
