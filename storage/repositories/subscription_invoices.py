"""What was paid for subscriptions: one row for each of the provider's invoices, and which payment it was."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from storage.database import Executor, Row


@dataclass(frozen=True, slots=True)
class SubscriptionInvoice:
    """``earned`` of ``amount`` is the creator's. ``refunded`` and ``taken_back`` are what went back of both.

    ``is_period``: for a month or a year, and not for the change to another plan.
    """

    id: str
    subscription_id: UUID
    transfer_id: UUID
    creator_id: UUID
    amount: int
    earned: int
    currency: str
    is_period: bool
    paid_at: datetime
    refunded: int = 0
    taken_back: int = 0


@dataclass(frozen=True, slots=True)
class Refunds:
    """``amount`` is what went back, as far as it counts; ``is_foreign``: some did in another currency."""

    amount: int
    is_foreign: bool


COUNTED: Final = """
    CASE WHEN refunds.currency IS NULL OR refunds.currency = invoices.currency THEN refunds.amount
         WHEN refunds.source = 'refund' OR refunds.amount = 0 THEN 0
         ELSE invoices.amount END"""
"""What a row of refunds takes of an invoice. In another currency, a dispute takes all, as providers then tell
what it is to the payer's bank, and a refund takes nothing: it is for people to look at."""
_REFUNDED: Final = f"""
    SELECT coalesce(sum({COUNTED}), 0)::bigint,
           coalesce(bool_or(refunds.source = 'refund' AND refunds.currency <> invoices.currency), false)
    FROM subscription_invoices AS invoices
    JOIN subscription_payments AS payments ON payments.invoice_id = invoices.id
    JOIN subscription_refunds AS refunds ON refunds.payment_ref = payments.payment_ref
    WHERE invoices.id = $1"""
_INVOICE: Final = """id, subscription_id, transfer_id, creator_id, amount, earned, currency, is_period,
    paid_at, refunded, taken_back"""


class SubscriptionInvoices:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def hold(self, refs: Sequence[str]) -> None:
        """Until the transaction ends, nobody else holds any of these invoices and payments.

        What belongs together may come at the same time: whoever is second must see what the first one wrote.
        Payments come before invoices, or two could wait for each other for ever.
        """
        for ref in dict.fromkeys(refs):
            await self._database.fetch_value("SELECT pg_advisory_xact_lock(hashtextextended($1, 12))", ref)

    async def creator_percent(self, creator_id: UUID) -> int | None:
        """What is the creator's by an override, if there is one."""
        percent: int | None = await self._database.fetch_value(
            "SELECT percent FROM creator_shares WHERE user_id = $1", creator_id
        )
        return percent

    async def add(self, invoice: SubscriptionInvoice) -> None:
        """Raises Conflict when it is there."""
        await self._database.execute(
            f"""INSERT INTO subscription_invoices ({_INVOICE})
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)""",
            invoice.id,
            invoice.subscription_id,
            invoice.transfer_id,
            invoice.creator_id,
            invoice.amount,
            invoice.earned,
            invoice.currency,
            invoice.is_period,
            invoice.paid_at,
            invoice.refunded,
            invoice.taken_back,
        )

    async def lock(self, invoice_id: str) -> SubscriptionInvoice | None:
        """Until the transaction ends nobody else changes it."""
        row = await self._database.fetch_row(
            f"SELECT {_INVOICE} FROM subscription_invoices WHERE id = $1 FOR NO KEY UPDATE", invoice_id
        )
        return _invoice(row) if row else None

    async def of_subscription(self, subscription_id: UUID, limit: int) -> list[SubscriptionInvoice]:
        rows = await self._database.fetch(
            f"""SELECT {_INVOICE} FROM subscription_invoices WHERE subscription_id = $1
                ORDER BY paid_at, id LIMIT $2""",
            subscription_id,
            limit,
        )
        return [_invoice(row) for row in rows]

    async def refund(self, invoice_id: str, refunded: int, taken_back: int) -> None:
        """What went back of it so far."""
        await self._database.execute(
            "UPDATE subscription_invoices SET refunded = $2, taken_back = $3 WHERE id = $1",
            invoice_id,
            refunded,
            taken_back,
        )

    async def add_payment(self, payment_ref: str, invoice_id: str) -> None:
        """The invoice may come later, and the same may be told again."""
        await self._database.execute(
            """INSERT INTO subscription_payments (payment_ref, invoice_id) VALUES ($1, $2)
               ON CONFLICT (payment_ref) DO NOTHING""",
            payment_ref,
            invoice_id,
        )

    async def invoice_paid_by(self, payment_ref: str) -> str | None:
        found: str | None = await self._database.fetch_value(
            "SELECT invoice_id FROM subscription_payments WHERE payment_ref = $1", payment_ref
        )
        return found

    async def note_refund(
        self, payment_ref: str, source: str, amount: int, currency: str | None, at: datetime
    ) -> None:
        """So much went back of the payment by ``source`` in all, as it was known ``at`` that time."""
        await self._database.execute(
            """INSERT INTO subscription_refunds AS known (payment_ref, source, amount, event_at, currency)
               VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (payment_ref, source) DO UPDATE SET amount = $3, event_at = $4, currency = $5
               WHERE (known.event_at, known.amount) < ($4, $3)""",
            payment_ref,
            source,
            amount,
            at,
            currency,
        )

    async def refunded(self, invoice_id: str) -> Refunds:
        """What went back of its payments in all."""
        row = await self._database.fetch_row(_REFUNDED, invoice_id)
        assert row is not None
        return Refunds(*row)


def _invoice(row: Row) -> SubscriptionInvoice:
    return SubscriptionInvoice(*row)
