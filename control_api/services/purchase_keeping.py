"""What is done for purchases beside requests and events: buyers hear of them, and what nobody pays ends."""

import asyncio
import time
from typing import Final, Protocol

import structlog

from control_api.mail import Delivery
from control_api.services.money import amount_text
from control_api.services.notification_kinds import Kind
from control_api.services.notifications import Notifications
from control_api.services.purchases import end_unpaid
from storage.database import Database
from storage.errors import DatabaseUnavailable, InvalidValue
from storage.repositories.purchases import Purchase, Purchases, PurchaseState, Receipt

logger = structlog.get_logger("mediaserver.money")

POLL_SECONDS: Final = 2.0
SWEEP_SECONDS: Final = 60.0
FIRST_SWEEP_SECONDS: Final = 300.0
"""After a pause of the server, the provider's events come before the first sweep."""
GRACE_SECONDS: Final = 600.0
"""So long after its end a purchase waits for the provider to tell of it."""
BATCH: Final = 100
RECEIPTS: Final = 10
"""So many receipts are delivered at once."""
RECEIPT_SECONDS: Final = 120.0
"""A receipt that was not delivered is tried again after so long; an attempt ends far earlier."""


class Mail(Protocol):
    async def deliver(self, to: str, subject: str, text: str) -> Delivery: ...


class PurchaseKeeper:
    """``run`` works until cancelled. ``base_url`` is the server's, for the mails."""

    def __init__(self, database: Database, mail: Mail, notifications: Notifications, base_url: str) -> None:
        self._database = database
        self._mail = mail
        self._notifications = notifications
        self._base_url = base_url

    async def run(self) -> None:
        sweep_at = time.monotonic() + FIRST_SWEEP_SECONDS
        while True:
            try:
                while await self.send_receipts() == RECEIPTS:
                    pass
                if time.monotonic() > sweep_at:
                    while await self.sweep() == BATCH:
                        pass
                    sweep_at = time.monotonic() + SWEEP_SECONDS
            except (DatabaseUnavailable, TimeoutError) as error:
                logger.warning("purchases_not_kept", error=str(error))
            await asyncio.sleep(POLL_SECONDS)

    async def send_receipts(self) -> int:
        """And tell of what was taken back. A crash may let a mail be sent twice, but none be lost.

        How many there were, but for those that are to be tried again.
        """
        receipts = await Purchases(self._database).take_receipts(RECEIPTS, RECEIPT_SECONDS)
        return sum(await asyncio.gather(*map(self._tell, receipts)))

    async def _tell(self, receipt: Receipt) -> bool:
        """Whether it is done."""
        purchase = receipt.purchase
        try:
            await self._notify(purchase)
            delivery = await self._mail.deliver(receipt.email, *_letter(receipt, self._base_url))
            if delivery is not Delivery.FAILED:
                await Purchases(self._database).receipt_sent(purchase)
        except (DatabaseUnavailable, TimeoutError) as error:
            logger.warning("receipt_not_kept", purchase_id=str(purchase.id), error=str(error))
            return False
        return delivery is not Delivery.FAILED

    async def _notify(self, purchase: Purchase) -> None:
        data = {
            "purchaseId": str(purchase.id),
            "description": purchase.description,
            "state": purchase.state.value,
            "coins": purchase.coins,
            "coinsTakenBack": purchase.coins_reversed,
        }
        source = f"purchase {purchase.id} {purchase.amount_reversed}"
        try:
            await self._notifications.notify(purchase.user_id, Kind.PURCHASE, data, source)
        except InvalidValue:
            logger.info("purchase_not_told", reason="the user is gone")

    async def sweep(self) -> int:
        """End what was not paid in time; if it is paid after all, the coins come all the same."""
        overdue = await Purchases(self._database).overdue(GRACE_SECONDS, BATCH)
        for purchase_id in overdue:
            async with self._database.transaction() as transaction:
                purchase = await Purchases(transaction).lock(purchase_id)
                if purchase is not None and purchase.state is PurchaseState.PENDING:
                    await end_unpaid(transaction, purchase, PurchaseState.EXPIRED, None, "not paid in time")
        return len(overdue)


def _letter(receipt: Receipt, base_url: str) -> tuple[str, str]:
    """Subject and text, by what has become of the purchase."""
    purchase = receipt.purchase
    facts = [
        f"    {purchase.description}",
        f"    Paid:      {amount_text(purchase.amount, purchase.currency)}",
        f"    Date:      {purchase.credited_at:%Y-%m-%d %H:%M} UTC",
        f"    Purchase:  {purchase.id}",
    ]
    if purchase.provider == "test":
        facts.append("    This was a TEST: no money has moved.")
    subject, opening, closing = _words(purchase)
    lines = [f"Hello {receipt.display_name},", "", opening, "", *facts, "", closing, base_url, ""]
    return subject, "\n".join(lines)


def _words(purchase: Purchase) -> tuple[str, str, str]:
    back = amount_text(purchase.amount_reversed, purchase.currency)
    taken = f"{purchase.coins_reversed} coins were taken out of your wallet for it."
    match purchase.state:
        case PurchaseState.REFUNDED | PurchaseState.PARTIALLY_REFUNDED:
            return "Your refund", f"of this purchase {back} go back to you.", taken
        case PurchaseState.DISPUTED | PurchaseState.CHARGED_BACK:
            return (
                "Your payment is disputed",
                "your bank has called the payment for this purchase back.",
                taken,
            )
        case _:
            return "Your receipt", "thank you for your purchase.", "The coins are in your wallet."
