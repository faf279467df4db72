"""What purchases should come to, by what was told of them so far."""

from dataclasses import dataclass, field

from storage.repositories.ledger import COIN, TransferKind
from storage.repositories.purchases import PurchaseState
from tests.control_api.money_machine.model import DEBT, DONE, PLATFORM, PROVIDER, USD, WALLET, Books

MAX_USES = 3
BONUS_COINS = 50
RANKS = {"inquiry": 1, "dispute": 2, "lost": 3, "won": 4}
TAKEN = (RANKS["dispute"], RANKS["lost"])


@dataclass
class Bought:
    """What is known of a purchase. ``id`` is known once it was answered; ``holds``: a use of its code."""

    person: int
    has_code: bool
    id: str = ""
    session: str = ""
    amount: int = 0
    coins: int = 0
    holds: bool = False
    is_paid: bool = False
    is_over: bool = False
    is_processing: bool = False
    in_review: bool = False
    refunded: int = 0
    dispute: int = 0
    coins_reversed: int = 0
    amount_reversed: int = 0

    @property
    def state(self) -> PurchaseState | None:
        """None where nothing was paid."""
        if self.in_review:
            return PurchaseState.REVIEW
        if not self.is_paid:
            return None
        if self.dispute in TAKEN:
            return PurchaseState.DISPUTED if self.dispute == TAKEN[0] else PurchaseState.CHARGED_BACK
        if self.refunded >= self.amount:
            return PurchaseState.REFUNDED
        return PurchaseState.PARTIALLY_REFUNDED if self.refunded else PurchaseState.PAID

    @property
    def taken_back(self) -> tuple[int, int]:
        """The coins and the money that should have gone back by now."""
        disputed = self.amount if self.dispute in TAKEN else 0
        amount = min(self.amount, self.refunded + disputed)
        return self.coins * amount // self.amount, amount


@dataclass
class PurchaseBooks(Books):
    """``bought`` by the keys of the orders."""

    bought: dict[str, Bought] = field(default_factory=dict)

    @property
    def code_uses(self) -> int:
        return sum(bought.holds for bought in self.bought.values())

    def order(self, key: str, person: int, with_code: bool) -> str:
        if key in self.bought:
            return DONE
        if with_code and self.code_uses >= MAX_USES:
            return "discount_used_up"
        self.bought[key] = Bought(person, with_code, holds=with_code)
        return DONE

    def told_of_purchase(self, key: str, what: str, amount: int) -> str:
        bought = self.bought[key]
        if what == "refund":
            bought.refunded = max(bought.refunded, amount)
            self._settle(bought, TransferKind.REFUND)
        elif what in RANKS:
            bought.dispute = max(bought.dispute, RANKS[what])
            self._settle(bought, TransferKind.DISPUTE)
        elif not bought.is_paid and not bought.in_review:
            self._told_of_page(bought, what)
        return DONE

    def end(self, bought: Bought) -> None:
        """Nobody paid. It may be paid later all the same."""
        bought.is_over, bought.holds = True, False

    def end_overdue(self) -> None:
        for bought in self.bought.values():
            if not (bought.is_paid or bought.is_over or bought.in_review or bought.is_processing):
                self.end(bought)

    def _told_of_page(self, bought: Bought, what: str) -> None:
        if what == "paid":
            bought.is_paid, bought.holds = True, bought.has_code
            self._credit(bought)
            self._settle(bought, TransferKind.REFUND)
        elif what == "wrong":
            bought.in_review = True
        elif not bought.is_over:
            if what == "unpaid":
                bought.is_processing = True
            else:
                self.end(bought)

    def _credit(self, bought: Bought) -> None:
        person = bought.person
        changes = {
            (None, PROVIDER, COIN): -bought.coins,
            (person, WALLET, COIN): bought.coins,
            (None, PROVIDER, USD): -bought.amount,
            (None, PLATFORM, USD): bought.amount,
        }
        self.move(TransferKind.PURCHASE, changes)
        repaid = min(bought.coins, -self.held(person, DEBT, COIN))
        if repaid:
            self.move(TransferKind.REPAYMENT, {(person, WALLET, COIN): -repaid, (person, DEBT, COIN): repaid})

    def _settle(self, bought: Bought, kind: TransferKind) -> None:
        coins, amount = bought.taken_back
        if not bought.is_paid or (coins, amount) == (bought.coins_reversed, bought.amount_reversed):
            return
        taken, money, person = coins - bought.coins_reversed, amount - bought.amount_reversed, bought.person
        if taken >= 0:
            from_wallet = min(taken, self.held(person, WALLET, COIN))
        else:
            # Given back, it repays what is owed first.
            from_wallet = min(taken - self.held(person, DEBT, COIN), 0)
        self.move(
            kind,
            {
                (None, PROVIDER, COIN): taken,
                (person, WALLET, COIN): -from_wallet,
                (person, DEBT, COIN): from_wallet - taken,
                (None, PROVIDER, USD): money,
                (None, PLATFORM, USD): -money,
            },
        )
        bought.coins_reversed, bought.amount_reversed = coins, amount
