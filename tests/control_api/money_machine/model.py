"""What the ledger should hold, computed in memory and step by step, with none of the product's code.

Everything that moves money is a method. It says what its caller is to be answered: ``done``, or the code of
what is refused, of which nothing has moved.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from storage.repositories.ledger import COIN, TransferKind
from storage.repositories.ledger_accounts import AccountKind

USD = "usd"
COIN_VALUE = 3
WELCOME_COINS = 100
MINIMUM_PAYOUT = 50
DONE = "done"
PROVIDER, PLATFORM = AccountKind.PROVIDER, AccountKind.PLATFORM
WALLET, EARNINGS, DEBT = AccountKind.WALLET, AccountKind.EARNINGS, AccountKind.DEBT

AccountKey = tuple[int | None, AccountKind, str]
"""Whose (None: the server's), what for, in which currency."""


@dataclass
class Books:
    """``shares`` are the creators' percents by person. ``done`` is what was done under each key."""

    shares: Sequence[int]
    accounts: Counter[AccountKey] = field(default_factory=Counter)
    transfers: Counter[str] = field(default_factory=Counter)
    done: dict[str, str] = field(default_factory=dict)
    welcomed: set[int] = field(default_factory=set)

    def held(self, person: int, kind: AccountKind, currency: str) -> int:
        return self.accounts[person, kind, currency]

    def move(self, kind: TransferKind, changes: dict[AccountKey, int]) -> None:
        """One transfer. It sums to zero, nobody has less than nothing, and no debt is overpaid."""
        wanted = {account: amount for account, amount in changes.items() if amount}
        for currency in {account[2] for account in wanted}:
            assert not sum(amount for account, amount in wanted.items() if account[2] == currency), wanted
        for account, amount in wanted.items():
            self.accounts[account] += amount
            if account[0] is not None:
                assert self.accounts[account] * (-1 if account[1] is DEBT else 1) >= 0, (kind, account)
        self.transfers[kind.value] += 1

    def give(
        self, kind: TransferKind, key: str, sender: int, receiver: int, coins: int, owner: str = ""
    ) -> str:
        """``owner`` names what was asked for under the key."""
        if key in self.done:
            return DONE if self.done[key] == owner else "idempotency_key_reused"
        if sender == receiver:
            return "own_room"
        if coins > self.held(sender, WALLET, COIN):
            return "insufficient_coins"
        earned = coins * COIN_VALUE * self.shares[receiver] // 100
        self.move(
            kind,
            {
                (sender, WALLET, COIN): -coins,
                (None, PLATFORM, COIN): coins,
                (None, PLATFORM, USD): -earned,
                (receiver, EARNINGS, USD): earned,
            },
        )
        self.done[key] = owner
        return DONE

    def adjust(self, key: str, person: int, coins: int) -> str:
        if not coins:
            return "invalid_request"
        if key in self.done:
            return DONE
        if self.held(person, WALLET, COIN) + coins < 0:
            return "insufficient_balance"
        changes = {(None, AccountKind.ADJUSTMENT, COIN): -coins, (person, WALLET, COIN): coins}
        self.move(TransferKind.ADJUSTMENT, changes)
        self.done[key] = DONE
        return DONE

    def welcome(self, person: int) -> str:
        if person not in self.welcomed:
            self.welcomed.add(person)
            changes = {
                (None, AccountKind.BONUS, COIN): -WELCOME_COINS,
                (person, WALLET, COIN): WELCOME_COINS,
            }
            self.move(TransferKind.BONUS, changes)
        return DONE

    def repay_earned(self, person: int) -> None:
        """Debts of money first, then of coins, as far as the earnings go."""
        earned = self.held(person, EARNINGS, USD)
        money = min(earned, -self.held(person, DEBT, USD))
        coins = min((earned - money) // COIN_VALUE, -self.held(person, DEBT, COIN))
        if money or coins:
            self.move(
                TransferKind.REPAYMENT,
                {
                    (person, EARNINGS, USD): -money - coins * COIN_VALUE,
                    (person, DEBT, USD): money,
                    (None, PLATFORM, USD): coins * COIN_VALUE,
                    (person, DEBT, COIN): coins,
                    (None, PLATFORM, COIN): -coins,
                },
            )
