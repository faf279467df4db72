"""The ledger's side of subscriptions: what was paid is shared out, what goes back is taken back.

Of what the creator does not have any more, a debt is kept.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from control_api.payments.billing_objects import Invoice
from control_api.services.money import MoneyOptions
from storage.database import Transaction
from storage.errors import DatabaseUnavailable, InvalidValue
from storage.repositories.ledger import NO_OVERDRAFT, Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts
from storage.repositories.subscription_invoices import SubscriptionInvoice, SubscriptionInvoices
from storage.repositories.subscriptions import Subscription

logger = structlog.get_logger("mediaserver.money")

TRIES: Final = 5
"""Of taking from earnings that others move at the same time."""


class SubscriptionLedger:
    """``scope`` is that of the provider's movements."""

    def __init__(self, scope: str, options: MoneyOptions) -> None:
        self._scope = scope
        self._options = options

    async def pay(
        self, transaction: Transaction, subscription: Subscription, paid: Invoice, at: datetime
    ) -> None:
        """Share out what was paid, once. The subscription must be locked."""
        invoices = SubscriptionInvoices(transaction)
        if paid.amount_paid == 0 or await invoices.lock(paid.id) is not None:
            return
        percent = await invoices.creator_percent(subscription.creator_id)
        share = self._options.creator_percent if percent is None else percent
        earned = _part(paid.amount_paid, share, 100)
        provider, platform, earnings = await LedgerAccounts(transaction).ids(
            accounts_of(paid.currency, subscription.creator_id)
        )
        # What was refunded already is taken back in the same transaction, from every shard of the earnings.
        await Ledger(transaction).hold((provider, platform, earnings), whole=(earnings,))
        lines = _lines(
            (provider, -paid.amount_paid), (platform, paid.amount_paid - earned), (earnings, earned)
        )
        fingerprint = f"invoice {paid.id} {paid.amount_paid} {paid.currency}"
        transfer_id = await Ledger(transaction).post(
            NewTransfer(TransferKind.SUBSCRIPTION, self._scope, paid.id, fingerprint, lines)
        )
        invoice = SubscriptionInvoice(
            paid.id,
            subscription.id,
            transfer_id,
            subscription.creator_id,
            paid.amount_paid,
            earned,
            paid.currency,
            paid.is_period,
            at,
        )
        await invoices.add(invoice)

    async def settle(
        self, transaction: Transaction, invoice_id: str, event_id: str, kind: TransferKind
    ) -> None:
        """Take back what was refunded since the last time, or give it again where a dispute was won.

        Nothing happens as long as the invoice, or its payment, is not known.
        """
        invoices = SubscriptionInvoices(transaction)
        invoice = await invoices.lock(invoice_id)
        if invoice is None:
            return
        refunds = await invoices.refunded(invoice_id)
        if refunds.is_foreign:
            logger.error("refund_in_another_currency", invoice_id=invoice_id)
        refunded = min(refunds.amount, invoice.amount)
        if refunded == invoice.refunded:
            return
        # What the creator keeps is rounded down, as what they were given was.
        taken_back = invoice.earned - _part(invoice.amount - refunded, invoice.earned, invoice.amount)
        await self._move(transaction, invoice, refunded, taken_back, event_id, kind)
        await invoices.refund(invoice_id, refunded, taken_back)

    async def _move(
        self,
        transaction: Transaction,
        invoice: SubscriptionInvoice,
        refunded: int,
        taken_back: int,
        event_id: str,
        kind: TransferKind,
    ) -> None:
        creators = taken_back - invoice.taken_back
        total = refunded - invoice.refunded
        currency, creator = invoice.currency, invoice.creator_id
        provider, platform, earnings, debt = await LedgerAccounts(transaction).ids(
            [*accounts_of(currency, creator), Account(AccountKind.DEBT, currency, creator)]
        )
        ledger = Ledger(transaction)
        fingerprint = f"invoice {invoice.id} refunded {refunded}"
        for _ in range(TRIES):
            owed = await _owed(ledger, invoice, creators)
            lines = _lines(
                (provider, total),
                (platform, creators - total),
                (earnings, owed - creators),
                (debt, -owed),
            )
            transfer = NewTransfer(kind, self._scope, event_id, fingerprint, lines, f"Invoice {invoice.id}")
            try:
                await ledger.post(transfer)
            except InvalidValue as error:
                if error.constraint != NO_OVERDRAFT:
                    raise
            else:
                return
        raise DatabaseUnavailable("The earnings that are to be taken back are being moved by others.")


def accounts_of(currency: str, creator_id: UUID) -> list[Account]:
    """The provider's, the platform's and the creator's."""
    return [
        Account(AccountKind.PROVIDER, currency),
        Account(AccountKind.PLATFORM, currency),
        Account(AccountKind.EARNINGS, currency, creator_id),
    ]


async def _owed(ledger: Ledger, invoice: SubscriptionInvoice, amount: int) -> int:
    """How much of ``amount`` becomes a debt; below zero, how much of what is given again pays one off."""
    held = {
        holding.kind: holding.balance
        for holding in await ledger.holdings(invoice.creator_id)
        if holding.currency == invoice.currency
    }
    if amount >= 0:
        return max(amount - held.get(AccountKind.EARNINGS, 0), 0)
    return -min(-amount, -held.get(AccountKind.DEBT, 0))


def _part(amount: int, share: int, of: int) -> int:
    """``share / of`` of ``amount``, rounded down."""
    return amount * share // of


def _lines(*movements: tuple[int, int]) -> tuple[Line, ...]:
    return tuple(Line(account_id, amount) for account_id, amount in movements if amount != 0)
