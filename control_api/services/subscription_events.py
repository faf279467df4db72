"""What the payment provider's events do to subscriptions, and to what creators have earned by them."""

from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from control_api.payments.billing_objects import (
    BilledSubscription,
    Charge,
    CheckoutPage,
    Dispute,
    Invoice,
    InvoicePayment,
    our_id,
    read,
    ref_of,
)
from control_api.payments.billing_ports import BillingProvider
from control_api.payments.ports import DoFirst, EventHandler, ProviderEvent
from control_api.services.money import MoneyOptions
from control_api.services.subscription_ledger import SubscriptionLedger
from control_api.services.subscription_states import Rank, is_stray, next_standing
from storage.database import Transaction
from storage.repositories.ledger import TransferKind
from storage.repositories.plans import Plans
from storage.repositories.subscription_invoices import SubscriptionInvoices
from storage.repositories.subscription_outbox import SubscriptionNewsKind, SubscriptionOutbox
from storage.repositories.subscriptions import Standing, Subscription, Subscriptions, SubscriptionState

logger = structlog.get_logger("mediaserver.money")

REFUND: Final = "refund"


@dataclass(frozen=True, slots=True)
class Back:
    """What went back of a payment in all, by refunds or by a dispute."""

    source: str
    amount: int
    currency: str | None


class SubscriptionEvents:
    """What is of no subscription here is left alone."""

    def __init__(self, provider: BillingProvider, options: MoneyOptions) -> None:
        self._provider = provider
        self._scope = provider.scope
        self._ledger = SubscriptionLedger(provider.scope, options)

    def handlers(self) -> dict[str, EventHandler]:
        return {
            "customer.subscription.created": self._subscription(Rank.CREATED),
            "customer.subscription.updated": self._subscription(Rank.UPDATED),
            "customer.subscription.deleted": self._subscription(Rank.DELETED),
            "checkout.session.completed": self._checkout_completed,
            "checkout.session.expired": self._checkout_expired,
            "invoice.paid": self._paid,
            "invoice.payment_failed": self._payment_failed,
            "invoice_payment.paid": self._payment,
            "charge.refunded": self._refunded,
            "charge.dispute.funds_withdrawn": self._disputed,
            "charge.dispute.funds_reinstated": self._dispute_won,
        }

    # Which state

    def _subscription(self, rank: Rank) -> EventHandler:
        async def handle(transaction: Transaction, event: ProviderEvent) -> None:
            billed = read(BilledSubscription, event)
            known = await self._lock(transaction, our_id(billed.metadata), billed.id)
            if known is None:
                return
            if not event.is_prepared and rank is not Rank.DELETED and is_stray(known.standing, billed):
                logger.error("subscription_runs_after_its_end", subscription_id=str(known.id))
                raise DoFirst(partial(self._provider.end_now, billed.id))
            price_id = None
            if billed.price_ref is not None:
                price_id = await Plans(transaction).price_id_of(self._scope, billed.price_ref)
            after = next_standing(known.standing, billed, event.created_at, rank, price_id)
            if after is not None:
                await _stand(transaction, known, after)

        return handle

    async def _checkout_completed(self, transaction: Transaction, event: ProviderEvent) -> None:
        """Nothing is paid by it: it only says what the provider calls the subscription."""
        page = read(CheckoutPage, event)
        provider_ref = ref_of(page.subscription)
        if provider_ref is None:
            return
        known = await self._lock(transaction, our_id(page.metadata), provider_ref)
        if known is not None and known.standing.provider_ref is None:
            await Subscriptions(transaction).bind(known.id, provider_ref)

    async def _checkout_expired(self, transaction: Transaction, event: ProviderEvent) -> None:
        page = read(CheckoutPage, event)
        subscription_id = await Subscriptions(transaction).id_of_checkout(self._scope, page.id)
        known = await self._lock(transaction, subscription_id, None)
        if known is not None and known.state is SubscriptionState.INCOMPLETE:
            await Subscriptions(transaction).give_up(known.id)

    async def _lock(
        self, transaction: Transaction, subscription_id: UUID | None, provider_ref: str | None
    ) -> Subscription | None:
        """Nobody else changes it until the transaction ends. None if it is none of ours."""
        subscriptions = Subscriptions(transaction)
        if subscription_id is None and provider_ref is not None:
            subscription_id = await subscriptions.id_of(self._scope, provider_ref)
        known = await subscriptions.lock(subscription_id) if subscription_id is not None else None
        if known is None or known.provider != self._scope:
            return None
        bound_to = known.standing.provider_ref
        if None not in (bound_to, provider_ref) and bound_to != provider_ref:
            logger.error(
                "subscription_paid_twice", subscription_id=str(known.id), provider_ref=str(provider_ref)
            )
            return None
        return known

    # Money

    async def _paid(self, transaction: Transaction, event: ProviderEvent) -> None:
        invoice, invoices = read(Invoice, event), SubscriptionInvoices(transaction)
        await invoices.hold(_known(invoice.payment_ref, invoice.id))
        known = await self._of_invoice(transaction, invoice)
        if known is None:
            return
        if invoice.payment_ref is not None:
            await invoices.add_payment(invoice.payment_ref, invoice.id)
        await self._ledger.pay(transaction, known, invoice, event.created_at)
        await self._settle(transaction, invoice.id, event, TransferKind.REFUND)

    async def _payment_failed(self, transaction: Transaction, event: ProviderEvent) -> None:
        """The subscriber is told. Its state comes by an event of its own."""
        known = await self._of_invoice(transaction, read(Invoice, event))
        if known is not None and known.standing.gives_access:
            await SubscriptionOutbox(transaction).add(SubscriptionNewsKind.PAYMENT_FAILED, known.id)

    async def _of_invoice(self, transaction: Transaction, invoice: Invoice) -> Subscription | None:
        details = invoice.details
        return await self._lock(transaction, our_id(details.metadata), ref_of(details.subscription))

    async def _payment(self, transaction: Transaction, event: ProviderEvent) -> None:
        paid = read(InvoicePayment, event)
        payment_ref = ref_of(paid.payment.payment_intent) or ref_of(paid.payment.charge)
        invoice_id = ref_of(paid.invoice)
        invoices = SubscriptionInvoices(transaction)
        if payment_ref is not None and invoice_id is not None:
            await invoices.hold((payment_ref, invoice_id))
            await invoices.add_payment(payment_ref, invoice_id)
            await self._settle(transaction, invoice_id, event, TransferKind.REFUND)

    async def _refunded(self, transaction: Transaction, event: ProviderEvent) -> None:
        charge = read(Charge, event)
        invoices, invoice_id = SubscriptionInvoices(transaction), ref_of(charge.invoice)
        if invoice_id is not None:
            await invoices.hold((charge.payment_ref, invoice_id))
            await invoices.add_payment(charge.payment_ref, invoice_id)
        back = Back(REFUND, charge.amount_refunded, charge.currency)
        await self._took_back(transaction, event, charge.payment_ref, back)

    async def _disputed(self, transaction: Transaction, event: ProviderEvent) -> None:
        dispute = read(Dispute, event)
        back = Back(dispute.id, dispute.amount, dispute.currency)
        await self._took_back(transaction, event, dispute.payment_ref, back)

    async def _dispute_won(self, transaction: Transaction, event: ProviderEvent) -> None:
        dispute = read(Dispute, event)
        back = Back(dispute.id, 0, dispute.currency)
        await self._took_back(transaction, event, dispute.payment_ref, back)

    async def _took_back(
        self, transaction: Transaction, event: ProviderEvent, payment_ref: str | None, back: Back
    ) -> None:
        """It is noted for payments of anything: that one is of an invoice may be told later."""
        if payment_ref is None:
            return
        invoices = SubscriptionInvoices(transaction)
        await invoices.hold((payment_ref,))
        await invoices.note_refund(payment_ref, back.source, back.amount, back.currency, event.created_at)
        invoice_id = await invoices.invoice_paid_by(payment_ref)
        if invoice_id is not None:
            # It may be paid at this moment, by who does not see what was noted here.
            await invoices.hold((invoice_id,))
            kind = TransferKind.REFUND if back.source == REFUND else TransferKind.DISPUTE
            await self._settle(transaction, invoice_id, event, kind)

    async def _settle(
        self, transaction: Transaction, invoice_id: str, event: ProviderEvent, kind: TransferKind
    ) -> None:
        await self._ledger.settle(transaction, invoice_id, event.id, kind)


def _known(*refs: str | None) -> list[str]:
    return [ref for ref in refs if ref is not None]


async def _stand(transaction: Transaction, known: Subscription, after: Standing) -> None:
    """Take it over, and note what is to be told."""
    subscriptions, outbox = Subscriptions(transaction), SubscriptionOutbox(transaction)
    await subscriptions.stand(known.id, after)
    if after.gives_access and known.started_at is None:
        months = await subscriptions.previous_months(known.id) + 1
        await outbox.add(SubscriptionNewsKind.STARTED, known.id, months)
    if after.state is SubscriptionState.ENDED and known.started_at is not None:
        await outbox.add(SubscriptionNewsKind.ENDED, known.id)
