"""What is to be done for purchases beside requests and events: receipts, and an end for what nobody pays."""

import asyncio
import time
from typing import Final, Protocol

import structlog

from control_api.services.money import amount_text
from control_api.services.purchases import end_unpaid
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.repositories.purchases import Purchases, PurchaseState, Receipt

logger = structlog.get_logger("mediaserver.money")

POLL_SECONDS: Final = 2.0
SWEEP_SECONDS: Final = 60.0
GRACE_SECONDS: Final = 600.0
"""So long after its end a purchase waits for the provider to tell of it."""
BATCH: Final = 100


class Mail(Protocol):
    async def send(self, to: str, subject: str, text: str) -> None: ...


class PurchaseKeeper:
    """``run`` works until cancelled. ``base_url`` is the server's, for the receipts."""

    def __init__(self, database: Database, mail: Mail, base_url: str) -> None:
        self._database = database
        self._mail = mail
        self._base_url = base_url

    async def run(self) -> None:
        swept_at = float("-inf")
        while True:
            try:
                while await self.send_receipts() == BATCH:
                    pass
                if time.monotonic() - swept_at > SWEEP_SECONDS:
                    while await self.sweep() == BATCH:
                        pass
                    swept_at = time.monotonic()
            except (DatabaseUnavailable, TimeoutError) as error:
                logger.warning("purchases_not_kept", error=str(error))
            await asyncio.sleep(POLL_SECONDS)

    async def send_receipts(self) -> int:
        """A crash may let one be sent twice, but none be lost. How many there were."""
        async with self._database.transaction() as transaction:
            receipts = await Purchases(transaction).take_receipts(BATCH)
            for receipt in receipts:
                await self._mail.send(receipt.email, "Your receipt", _receipt_text(receipt, self._base_url))
        return len(receipts)

    async def sweep(self) -> int:
        """End what was not paid in time; if it is paid after all, the coins come all the same."""
        overdue = await Purchases(self._database).overdue(GRACE_SECONDS, BATCH)
        for purchase_id in overdue:
            async with self._database.transaction() as transaction:
                purchase = await Purchases(transaction).lock(purchase_id)
                if purchase is not None and purchase.state is PurchaseState.PENDING:
                    await end_unpaid(transaction, purchase, PurchaseState.EXPIRED, None, "not paid in time")
        return len(overdue)


def _receipt_text(receipt: Receipt, base_url: str) -> str:
    purchase = receipt.purchase
    is_test = purchase.provider == "test"
    lines = [
        f"Hello {receipt.display_name},",
        "",
        "thank you for your purchase." if not is_test else "this was a TEST: no money has moved.",
        "",
        f"    {purchase.description}",
        f"    Paid:      {amount_text(purchase.amount, purchase.currency)}",
        f"    Date:      {purchase.credited_at:%Y-%m-%d %H:%M} UTC",
        f"    Purchase:  {purchase.id}",
        "",
        "The coins are in your wallet.",
        base_url,
        "",
    ]
    return "\n".join(lines)
