"""What a refund or dispute could not take back is repaid from what was earned."""

from typing import Final
from uuid import UUID

from control_api.services.money import MoneyOptions
from storage.database import Transaction
from storage.repositories.ledger import COIN, Holding, Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts

REASON: Final = "Debts repaid from earnings"


async def repay(
    transaction: Transaction, user_id: UUID, currency: str, options: MoneyOptions, scope: str, cause: UUID
) -> int:
    """Repay what the user owes, as far as their earnings in ``currency`` go; what is left of them.

    Debts of the same currency come first. A coin that is owed costs what a coin is worth that is given.
    Raises InvalidValue when somebody else repaid it, or took from the earnings, at the same time.
    """
    holdings = await Ledger(transaction).holdings(user_id)
    earned = _held(holdings, AccountKind.EARNINGS, currency)
    money = min(earned, -_held(holdings, AccountKind.DEBT, currency))
    coins = 0
    if currency == options.currency:
        owed = -_held(holdings, AccountKind.DEBT, COIN)
        coins = min(owed, (earned - money) // options.coin_value)
    paid_for_coins = coins * options.coin_value
    changes = {
        Account(AccountKind.EARNINGS, currency, user_id): -money - paid_for_coins,
        Account(AccountKind.DEBT, currency, user_id): money,
        Account(AccountKind.PLATFORM, currency): paid_for_coins,
        Account(AccountKind.DEBT, COIN, user_id): coins,
        Account(AccountKind.PLATFORM, COIN): -coins,
    }
    wanted = {account: amount for account, amount in changes.items() if amount}
    if wanted:
        ids = await LedgerAccounts(transaction).ids(list(wanted))
        lines = tuple(Line(number, amount) for number, amount in zip(ids, wanted.values(), strict=True))
        key = f"{cause}:repayment"
        await Ledger(transaction).post(
            NewTransfer(TransferKind.REPAYMENT, scope, key, "repayment", lines, REASON)
        )
    return earned - money - paid_for_coins


def _held(holdings: list[Holding], kind: AccountKind, currency: str) -> int:
    return sum(each.balance for each in holdings if each.kind is kind and each.currency == currency)
