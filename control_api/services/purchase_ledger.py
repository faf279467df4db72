"""The movements of purchases. All in the transaction of the event that they follow from.

Coins come from the provider's account, and the money that was paid for them goes from there to the
platform's. Taken back is what is left in the wallet; the rest is a debt, which the next purchase repays
first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from storage.database import Transaction
from storage.repositories.ledger import COIN, Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts
from storage.repositories.payment_facts import held
from storage.repositories.purchases import Purchase, Purchases

REPAYMENT: Final = "Debt of a refund repaid"
REASONS: Final = {TransferKind.REFUND: "Refund", TransferKind.DISPUTE: "Payment disputed"}
GIVEN_BACK: Final = "Dispute won"


def accounts_of(user_id: UUID, currency: str) -> tuple[Account, ...]:
    """Those that a purchase moves. Opened with the order, they are there when it is paid."""
    return (
        Account(AccountKind.PROVIDER, COIN),
        Account(AccountKind.WALLET, COIN, user_id),
        Account(AccountKind.DEBT, COIN, user_id),
        Account(AccountKind.PROVIDER, currency),
        Account(AccountKind.PLATFORM, currency),
    )


@dataclass(frozen=True, slots=True)
class _Held:
    """The accounts' numbers, and what is on the user's: nobody else moves them meanwhile."""

    balances: Mapping[int, int]
    coins: int
    wallet: int
    debt: int
    money: int
    platform: int

    @property
    def balance(self) -> int:
        return self.balances[self.wallet]

    @property
    def owed(self) -> int:
        return -self.balances[self.debt]


class PurchaseLedger:
    def __init__(self, transaction: Transaction, scope: str) -> None:
        self._transaction = transaction
        self._scope = scope

    async def credit(self, purchase: Purchase, session: str, event_id: str) -> None:
        """What was bought into the wallet, and from there what is owed."""
        accounts = await self._accounts(purchase)
        lines = (
            Line(accounts.coins, -purchase.coins),
            Line(accounts.wallet, purchase.coins),
            Line(accounts.money, -purchase.amount),
            Line(accounts.platform, purchase.amount),
        )
        await self._post(purchase, TransferKind.PURCHASE, session, event_id, lines, purchase.description)
        repaid = min(accounts.owed, purchase.coins)
        if repaid:
            repayment = (Line(accounts.wallet, -repaid), Line(accounts.debt, repaid))
            key = f"{session}:repayment"
            await self._post(purchase, TransferKind.REPAYMENT, key, event_id, repayment, REPAYMENT)

    async def reverse(
        self, purchase: Purchase, coins: int, amount: int, kind: TransferKind, event_id: str
    ) -> None:
        """Let ``coins`` and ``amount`` be what was taken back, all in all: it may be less than before."""
        accounts = await self._accounts(purchase)
        taken = coins - purchase.coins_reversed
        money = amount - purchase.amount_reversed
        # What the wallet does not have is owed, and what is given back repays that first.
        owed = taken - min(taken, accounts.balance) if taken >= 0 else -min(-taken, accounts.owed)
        changes = {
            accounts.coins: taken,
            accounts.wallet: owed - taken,
            accounts.debt: -owed,
            accounts.money: money,
            accounts.platform: -money,
        }
        lines = tuple(Line(account, change) for account, change in changes.items() if change)
        reason = REASONS[kind] if taken >= 0 else GIVEN_BACK
        await self._post(purchase, kind, event_id, event_id, lines, f"{reason}: {purchase.description}")

    async def _accounts(self, purchase: Purchase) -> _Held:
        wanted = accounts_of(purchase.user_id, purchase.currency)
        # Not the accounts that the process remembers: these may be gone with the transaction.
        ids = await LedgerAccounts(self._transaction).ids(wanted)
        return _Held(await held(self._transaction, ids), *ids)

    async def _post(
        self,
        purchase: Purchase,
        kind: TransferKind,
        key: str,
        event_id: str,
        lines: tuple[Line, ...],
        reason: str,
    ) -> None:
        transfer = NewTransfer(kind, self._scope, key, f"{kind.value} {purchase.id}", lines, reason)
        transfer_id = await Ledger(self._transaction).post(transfer)
        await Purchases(self._transaction).add_transfer(purchase.id, transfer_id, event_id, kind.value)
