"""The events of the payment provider that were dealt with."""

from datetime import datetime

from storage.database import Executor


class PaymentEventLog:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, event_id: str, kind: str, created_at: datetime) -> bool:
        """Whether it was not there. Waits for a transaction that has added the same and is not done."""
        added: str | None = await self._database.fetch_value(
            """INSERT INTO payment_events (id, kind, created_at) VALUES ($1, $2, $3)
               ON CONFLICT DO NOTHING RETURNING id""",
            event_id,
            kind,
            created_at,
        )
        return added is not None
