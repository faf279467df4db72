"""What invoices of subscriptions should come to, by what was told of them so far."""

from dataclasses import dataclass, field

from storage.repositories.ledger import TransferKind
from tests.control_api.money_machine.model import DEBT, DONE, EARNINGS, PLATFORM, PROVIDER, USD
from tests.control_api.money_machine.model_purchases import PurchaseBooks

PRICE = 1001


@dataclass
class Invoice:
    """``notes`` are what went back of its payment: when, and how much, by refunds and by a dispute."""

    creator: int
    is_paid: bool = False
    is_linked: bool = False
    notes: dict[str, tuple[int, int]] = field(default_factory=dict)
    earned: int = 0
    refunded: int = 0
    taken_back: int = 0


@dataclass
class SubscriptionBooks(PurchaseBooks):
    invoices: dict[str, Invoice] = field(default_factory=dict)

    def told_of_invoice(self, number: str) -> str:
        """It was paid."""
        invoice = self.invoices[number]
        if not invoice.is_paid:
            invoice.is_paid = True
            invoice.earned = PRICE * self.shares[invoice.creator] // 100
            changes = {
                (None, PROVIDER, USD): -PRICE,
                (None, PLATFORM, USD): PRICE - invoice.earned,
                (invoice.creator, EARNINGS, USD): invoice.earned,
            }
            self.move(TransferKind.SUBSCRIPTION, changes)
        self._settle_invoice(invoice, TransferKind.REFUND)
        return DONE

    def told_of_payment(self, number: str) -> str:
        """Which payment is the invoice's."""
        self.invoices[number].is_linked = True
        self._settle_invoice(self.invoices[number], TransferKind.REFUND)
        return DONE

    def told_back(self, number: str, source: str, at: int, amount: int) -> str:
        """So much went back in all."""
        invoice = self.invoices[number]
        if source not in invoice.notes or invoice.notes[source] < (at, amount):
            invoice.notes[source] = at, amount
        kind = TransferKind.REFUND if source == "refund" else TransferKind.DISPUTE
        self._settle_invoice(invoice, kind)
        return DONE

    def _settle_invoice(self, invoice: Invoice, kind: TransferKind) -> None:
        refunded = min(sum(amount for _, amount in invoice.notes.values()), PRICE)
        if not (invoice.is_paid and invoice.is_linked) or refunded == invoice.refunded:
            return
        kept = (PRICE - refunded) * invoice.earned // PRICE
        taken = invoice.earned - kept - invoice.taken_back
        total, creator = refunded - invoice.refunded, invoice.creator
        if taken >= 0:
            from_earnings = min(taken, self.held(creator, EARNINGS, USD))
        else:
            from_earnings = min(taken - self.held(creator, DEBT, USD), 0)
        self.move(
            kind,
            {
                (None, PROVIDER, USD): total,
                (None, PLATFORM, USD): taken - total,
                (creator, EARNINGS, USD): -from_earnings,
                (creator, DEBT, USD): from_earnings - taken,
            },
        )
        invoice.refunded, invoice.taken_back = refunded, invoice.earned - kept
