"""The accounts of the ledger: whose, what for, in which currency. They are made with the first need."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor


class AccountKind(Enum):
    """The first four are users', the others the server's own side of movements.

    WALLET holds coins and gems, EARNINGS money that a creator may be paid, PENDING_PAYOUT what is on its way
    to them. DEBT is below zero by what a refund or dispute could not take back.

    PLATFORM is what the operator has: money that came in less the creators' parts, and coins that were given
    away. BONUS is where coins for nothing come from, ADJUSTMENT the other side of an administrator's hand.
    PROVIDER stands for the payment provider, where money and bought coins come from; PAYOUTS for creators'
    banks.
    """

    WALLET = "wallet"
    EARNINGS = "earnings"
    PENDING_PAYOUT = "pending_payout"
    DEBT = "debt"
    PLATFORM = "platform"
    BONUS = "bonus"
    ADJUSTMENT = "adjustment"
    PROVIDER = "provider"
    PAYOUTS = "payouts"


@dataclass(frozen=True, slots=True)
class Account:
    """``owner_id`` is None for accounts of the server. ``currency``: coin, gem, or money such as usd."""

    kind: AccountKind
    currency: str
    owner_id: UUID | None = None


MAX_REMEMBERED: Final = 100_000


class LedgerAccounts:
    """Keep one for long: accounts never change, so each is looked up once.

    Not for use in a transaction, which may be rolled back with accounts that are remembered here.
    """

    def __init__(self, database: Executor) -> None:
        self._database = database
        self._known: dict[Account, int] = {}

    async def ids(self, accounts: Sequence[Account]) -> list[int]:
        """Their numbers, in the same order. Raises InvalidValue for an owner who is not there."""
        return [await self._id(account) for account in accounts]

    async def _id(self, account: Account) -> int:
        known = self._known.get(account)
        if known is None:
            known = await self._find(account)
            if known is None:
                await self._open(account)
                known = await self._find(account)
            assert known is not None
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[account] = known
        return known

    async def _find(self, account: Account) -> int | None:
        owner = "owner_id IS NULL" if account.owner_id is None else "owner_id = $3"
        owners = () if account.owner_id is None else (account.owner_id,)
        found: int | None = await self._database.fetch_value(
            f"SELECT id FROM ledger_accounts WHERE kind = $1 AND currency = $2 AND {owner}",
            account.kind.value,
            account.currency,
            *owners,
        )
        return found

    async def _open(self, account: Account) -> None:
        await self._database.execute(
            """INSERT INTO ledger_accounts (kind, currency, owner_id) VALUES ($1, $2, $3)
               ON CONFLICT DO NOTHING""",
            account.kind.value,
            account.currency,
            account.owner_id,
        )
