"""The ledger's side of a payout that was paid although it was taken for failed, and given back."""

from typing import Final

from control_api.services.payouts import PAYOUT_SCOPE
from storage.database import Transaction
from storage.errors import InvalidValue
from storage.repositories.ledger import NO_OVERDRAFT, Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts
from storage.repositories.payouts import Payout

TRIES: Final = 3


async def take_late(transaction: Transaction, payout: Payout) -> None:
    """Take it from the earnings; of what is not there any more, a debt is kept."""
    for _ in range(TRIES):
        try:
            await _take(transaction, payout, min(await _earned(transaction, payout), payout.amount))
        except InvalidValue as error:
            # Others take from the earnings at the same time.
            if error.constraint != NO_OVERDRAFT:
                raise
        else:
            return
    await _take(transaction, payout, 0)


async def _take(transaction: Transaction, payout: Payout, earned: int) -> None:
    earnings, debt, paid = await LedgerAccounts(transaction).ids(
        [
            Account(AccountKind.EARNINGS, payout.currency, payout.user_id),
            Account(AccountKind.DEBT, payout.currency, payout.user_id),
            Account(AccountKind.PAYOUTS, payout.currency),
        ]
    )
    moved = ((earnings, -earned), (debt, earned - payout.amount), (paid, payout.amount))
    lines = tuple(Line(account, amount) for account, amount in moved if amount)
    kind = TransferKind.PAYOUT_PAID
    await Ledger(transaction).post(
        NewTransfer(kind, PAYOUT_SCOPE, f"{payout.id}:late", kind.value, lines, "Payout")
    )


async def _earned(transaction: Transaction, payout: Payout) -> int:
    held = await Ledger(transaction).holdings(payout.user_id)
    return sum(
        each.balance
        for each in held
        if each.kind is AccountKind.EARNINGS and each.currency == payout.currency
    )
