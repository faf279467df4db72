"""What the provider's events do to purchases: the only way for bought coins into a wallet.

Events come in any order. What is known of refunds and disputes is therefore kept by payment, and what a
purchase should be is computed anew from it with each event: the difference is moved.
"""

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

import msgspec
import structlog

from control_api.payments.billing_objects import Named, read, ref_of
from control_api.payments.ports import PURCHASE_ID, EventHandler, ProviderEvent
from control_api.payments.signatures import Name
from control_api.services.purchase_ledger import PurchaseLedger
from control_api.services.purchases import end_unpaid
from storage.database import Transaction
from storage.repositories.discounts import Discounts
from storage.repositories.ledger import TransferKind
from storage.repositories.payment_facts import Dispute, DisputeState, PaymentFacts, Refunded
from storage.repositories.purchases import Purchase, Purchases, PurchaseState

logger = structlog.get_logger("mediaserver.money")

Amount = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Currency = Annotated[str, msgspec.Meta(pattern="^[a-z]{3}$")]


class _OfPayment(msgspec.Struct, kw_only=True):
    payment_intent: Name | Named | None = None

    @property
    def payment(self) -> str | None:
        return ref_of(self.payment_intent)


class _Session(_OfPayment):
    id: Name
    mode: str
    payment_status: str
    amount_total: Amount | None = None
    currency: str | None = None
    metadata: dict[str, str] | None = None


class _Charge(_OfPayment):
    amount_refunded: Amount
    currency: Currency


class _Refund(_OfPayment):
    amount: Amount
    currency: Currency


class _Dispute(_OfPayment):
    id: Name
    status: str
    amount: Amount
    currency: Currency


class PurchaseEvents:
    """``scope`` is that of the provider's movements, and which purchases are its own."""

    def __init__(self, scope: str) -> None:
        self._scope = scope

    def handlers(self) -> dict[str, EventHandler]:
        return {
            "checkout.session.completed": self._paid,
            "checkout.session.async_payment_succeeded": self._paid,
            "checkout.session.async_payment_failed": self._failed,
            "checkout.session.expired": self._expired,
            "charge.refunded": self._refunded,
            "refund.failed": self._refund_failed,
            "charge.dispute.created": self._dispute_opened,
            "charge.dispute.updated": self._dispute_opened,
            "charge.dispute.funds_withdrawn": self._dispute_withdrawn,
            "charge.dispute.funds_reinstated": self._dispute_reinstated,
            "charge.dispute.closed": self._dispute_closed,
        }

    async def _paid(self, transaction: Transaction, event: ProviderEvent) -> None:
        session = read(_Session, event)
        if session.mode != "payment":
            return
        if session.payment is not None:
            await PaymentFacts(transaction).hold(session.payment)
        purchase = await self._purchase_of(transaction, session)
        if purchase is None or purchase.credited_at is not None or purchase.state is PurchaseState.REVIEW:
            return
        if session.payment_status == "unpaid":
            if purchase.state is PurchaseState.PENDING:
                await Purchases(transaction).set_state(purchase.id, PurchaseState.PROCESSING, event.id)
            return
        wrong = await _what_is_wrong(transaction, purchase, session)
        if wrong is not None:
            logger.error("purchase_needs_review", purchase_id=str(purchase.id), reason=wrong)
            await Purchases(transaction).set_state(purchase.id, PurchaseState.REVIEW, event.id, wrong)
            return
        await self._credit(transaction, event, purchase, session)

    async def _credit(
        self, transaction: Transaction, event: ProviderEvent, purchase: Purchase, session: _Session
    ) -> None:
        purchases = Purchases(transaction)
        is_late = await _take_discount_again(transaction, purchase)
        await PurchaseLedger(transaction, self._scope).credit(purchase, session.id, event.id)
        await purchases.set_credited(purchase.id, session.payment)
        note = "paid after its end: its code was used all the same" if is_late else ""
        await purchases.set_state(purchase.id, PurchaseState.PAID, event.id, note)
        logger.info("purchase_paid", purchase_id=str(purchase.id), event_id=event.id)
        credited = await purchases.lock(purchase.id)
        if credited is not None and credited.payment is not None:
            await self._settle(transaction, event, credited, credited.payment)

    async def _failed(self, transaction: Transaction, event: ProviderEvent) -> None:
        await self._end(transaction, event, PurchaseState.FAILED)

    async def _expired(self, transaction: Transaction, event: ProviderEvent) -> None:
        await self._end(transaction, event, PurchaseState.EXPIRED)

    async def _end(self, transaction: Transaction, event: ProviderEvent, state: PurchaseState) -> None:
        session = read(_Session, event)
        purchase = await self._purchase_of(transaction, session) if session.mode == "payment" else None
        if purchase is not None and purchase.state in (PurchaseState.PENDING, PurchaseState.PROCESSING):
            await end_unpaid(transaction, purchase, state, event.id)

    async def _refunded(self, transaction: Transaction, event: ProviderEvent) -> None:
        charge = read(_Charge, event)
        if charge.payment is None:
            return
        facts = PaymentFacts(transaction)
        await facts.hold(charge.payment)
        await facts.note_refund(charge.payment, Refunded(charge.amount_refunded, charge.currency))
        await self._settle_payment(transaction, event, charge.payment)

    async def _refund_failed(self, transaction: Transaction, event: ProviderEvent) -> None:
        """The bank did not take the money. It is still owed to the buyer, who has to get it another way."""
        refund = read(_Refund, event)
        if refund.payment is None:
            return
        purchases = Purchases(transaction)
        purchase = await purchases.lock_by_payment(refund.payment)
        if purchase is not None and purchase.provider == self._scope:
            logger.error("refund_failed", purchase_id=str(purchase.id), amount=refund.amount)
            note = f"a refund of {refund.amount} {refund.currency} failed: pay it another way"
            await purchases.set_state(purchase.id, purchase.state, event.id, note)

    async def _dispute_opened(self, transaction: Transaction, event: ProviderEvent) -> None:
        await self._disputed(transaction, event, _state_while_open)

    async def _dispute_withdrawn(self, transaction: Transaction, event: ProviderEvent) -> None:
        await self._disputed(transaction, event, lambda status: DisputeState.OPEN)

    async def _dispute_reinstated(self, transaction: Transaction, event: ProviderEvent) -> None:
        await self._disputed(transaction, event, lambda status: DisputeState.WON)

    async def _dispute_closed(self, transaction: Transaction, event: ProviderEvent) -> None:
        await self._disputed(
            transaction, event, lambda status: DisputeState.LOST if status == "lost" else DisputeState.WON
        )

    async def _disputed(
        self, transaction: Transaction, event: ProviderEvent, state_of: Callable[[str], DisputeState]
    ) -> None:
        dispute = read(_Dispute, event)
        if dispute.payment is None:
            return
        facts = PaymentFacts(transaction)
        await facts.hold(dispute.payment)
        noted = Dispute(dispute.id, dispute.amount, dispute.currency, state_of(dispute.status))
        await facts.note_dispute(dispute.payment, noted)
        await self._settle_payment(transaction, event, dispute.payment)

    async def _settle_payment(self, transaction: Transaction, event: ProviderEvent, payment: str) -> None:
        """Of a payment whose purchase is not known yet, it is enough to have noted it."""
        purchase = await Purchases(transaction).lock_by_payment(payment)
        if purchase is not None and purchase.provider == self._scope:
            await self._settle(transaction, event, purchase, payment)

    async def _settle(
        self, transaction: Transaction, event: ProviderEvent, purchase: Purchase, payment: str
    ) -> None:
        """Let the purchase be what is known of its payment."""
        facts, purchases = PaymentFacts(transaction), Purchases(transaction)
        refunded = _refund_of(purchase, await facts.refunded(payment))
        disputes = await facts.disputes(payment)
        amount = min(purchase.amount, refunded + _disputed_amount(purchase, disputes))
        coins = purchase.coins * amount // purchase.amount
        if (coins, amount) != (purchase.coins_reversed, purchase.amount_reversed):
            kind = TransferKind.DISPUTE if event.type.startswith("charge.dispute.") else TransferKind.REFUND
            await PurchaseLedger(transaction, self._scope).reverse(purchase, coins, amount, kind, event.id)
            await purchases.set_reversed(purchase.id, coins, amount)
        state = _state_of(purchase, refunded, disputes)
        if state is not purchase.state or amount != purchase.amount_reversed:
            note = f"{amount} {purchase.currency} taken back" if amount else ""
            await purchases.set_state(purchase.id, state, event.id, note)
            logger.info("purchase_settled", purchase_id=str(purchase.id), state=state.value, amount=amount)

    async def _purchase_of(self, transaction: Transaction, session: _Session) -> Purchase | None:
        """Locked. None when it is none of ours, or paid on another page than was opened for it."""
        named = (session.metadata or {}).get(PURCHASE_ID, "")
        try:
            purchase = await Purchases(transaction).lock(UUID(named))
        except ValueError:
            purchase = None
        if purchase is None or purchase.provider != self._scope:
            logger.warning("purchase_unknown", session=session.id)
            return None
        if purchase.session is None:
            await Purchases(transaction).set_session(purchase.id, session.id, "")
        elif purchase.session != session.id:
            logger.error("purchase_of_another_session", purchase_id=str(purchase.id), session=session.id)
            return None
        return purchase


async def _take_discount_again(transaction: Transaction, purchase: Purchase) -> bool:
    """Whether it was needed: the purchase had ended unpaid, and given its code back."""
    if purchase.holds_discount or purchase.discount_id is None:
        return False
    await Discounts(transaction).use_late(purchase.discount_id, purchase.user_id)
    await Purchases(transaction).hold_discount(purchase.id)
    return True


async def _what_is_wrong(transaction: Transaction, purchase: Purchase, session: _Session) -> str | None:
    """Why what was paid does not pay for the purchase."""
    if session.payment_status != "paid":
        return f"paid as {session.payment_status[:50]}"
    if (session.currency or "").lower() != purchase.currency:
        return "paid in another currency"
    if session.amount_total != purchase.amount:
        return f"{session.amount_total} was paid, not {purchase.amount}"
    if session.payment is None:
        return "the payment has no name"
    if await Purchases(transaction).lock_by_payment(session.payment) is not None:
        return "the payment is another purchase's"
    return None


def _state_while_open(status: str) -> DisputeState:
    """Inquiries take no money; they are warnings of a dispute."""
    if status in ("won", "lost"):
        return DisputeState(status)
    return DisputeState.INQUIRY if status.startswith("warning_") else DisputeState.OPEN


def _refund_of(purchase: Purchase, refunded: Refunded | None) -> int:
    if refunded is None:
        return 0
    if refunded.currency != purchase.currency:
        logger.error("refund_in_another_currency", purchase_id=str(purchase.id))
        return 0
    return refunded.amount


def _disputed_amount(purchase: Purchase, disputes: list[Dispute]) -> int:
    """One in another currency counts as all: providers then tell what it is to the payer's bank."""
    return sum(
        dispute.amount if dispute.currency == purchase.currency else purchase.amount
        for dispute in disputes
        if dispute.state in (DisputeState.OPEN, DisputeState.LOST)
    )


def _state_of(purchase: Purchase, refunded: int, disputes: list[Dispute]) -> PurchaseState:
    states = {dispute.state for dispute in disputes}
    if DisputeState.OPEN in states:
        return PurchaseState.DISPUTED
    if DisputeState.LOST in states:
        return PurchaseState.CHARGED_BACK
    if refunded >= purchase.amount:
        return PurchaseState.REFUNDED
    return PurchaseState.PARTIALLY_REFUNDED if refunded else PurchaseState.PAID
