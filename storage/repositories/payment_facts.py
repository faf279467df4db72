"""What is known of payments: how much was refunded and disputed, in whatever order it was told."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from storage.database import Executor


class DisputeState(Enum):
    """Only goes on, from each to those after it. While it is OPEN or LOST, the money is gone."""

    INQUIRY = "inquiry"
    OPEN = "open"
    LOST = "lost"
    WON = "won"


@dataclass(frozen=True, slots=True)
class Refunded:
    """All in all, in minor units of ``currency``."""

    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Dispute:
    id: str
    amount: int
    currency: str
    state: DisputeState


class PaymentFacts:
    """For use in a transaction that holds the payment."""

    def __init__(self, database: Executor) -> None:
        self._database = database

    async def hold(self, payment: str) -> None:
        """Until this transaction ends, nobody else learns or tells of this payment."""
        await self._database.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('payment ' || $1, 0))", payment
        )

    async def refunded(self, payment: str) -> Refunded | None:
        row = await self._database.fetch_row(
            "SELECT refunded, currency FROM payment_refunds WHERE payment = $1", payment
        )
        return Refunded(*row) if row else None

    async def note_refund(self, payment: str, refunded: Refunded) -> None:
        """Of what was told the largest counts."""
        await self._database.execute(
            """INSERT INTO payment_refunds (payment, refunded, currency) VALUES ($1, $2, $3)
               ON CONFLICT (payment) DO UPDATE
               SET refunded = greatest(payment_refunds.refunded, excluded.refunded)""",
            payment,
            refunded.amount,
            refunded.currency,
        )

    async def disputes(self, payment: str) -> list[Dispute]:
        rows = await self._database.fetch(
            "SELECT id, amount, currency, state FROM payment_disputes WHERE payment = $1 ORDER BY id", payment
        )
        return [Dispute(row[0], row[1], row[2], DisputeState(row[3])) for row in rows]

    async def note_dispute(self, payment: str, dispute: Dispute) -> None:
        await self._database.execute(
            """INSERT INTO payment_disputes (id, payment, amount, currency, state) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (id) DO UPDATE SET state = excluded.state
               WHERE array_position($6::text[], excluded.state)
                     > array_position($6::text[], payment_disputes.state)""",
            dispute.id,
            payment,
            dispute.amount,
            dispute.currency,
            dispute.state.value,
            [state.value for state in DisputeState],
        )


_LOCK: Final = """
    SELECT balances.account_id, balances.balance
    FROM ledger_balances AS balances JOIN ledger_accounts AS account ON account.id = balances.account_id
    WHERE balances.account_id = ANY ($1) AND balances.shard = pg_backend_pid() % account.shards
    ORDER BY balances.account_id, balances.shard FOR UPDATE OF balances"""


async def held(transaction: Executor, account_ids: Sequence[int]) -> dict[int, int]:
    """What is on the accounts, which only this transaction moves from now on.

    Name all that a transfer is going to touch: they are locked in the order in which everybody does. Of an
    account with shards it is the connection's own.
    """
    rows = await transaction.fetch(_LOCK, list(account_ids))
    return {row["account_id"]: row["balance"] for row in rows}
