"""Whatever a provider tells in whatever order, again and at once, over connections that break: it adds up."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from control_api.errors import ApiError
from control_api.payments.demo_checkout import DemoCheckout
from control_api.payments.events import PaymentEvents
from control_api.payments.signatures import signature_of
from control_api.services.discounts import DiscountsService
from control_api.services.notifications import Notifications
from control_api.services.purchase_events import PurchaseEvents
from control_api.services.purchase_keeping import PurchaseKeeper
from control_api.services.purchases import PurchasesService
from control_api.services.wallet import Adjustment
from storage.database import PoolOptions
from storage.errors import DatabaseUnavailable
from storage.ids import new_id
from storage.repositories import Users
from storage.repositories.discounts import DiscountKind, NewDiscount
from tests.control_api.money_machine.examples import by_examples
from tests.control_api.money_machine.lossy import Loss, LossyDatabase, losses
from tests.control_api.money_world import NO_BONUS, Money, live_room
from tests.control_api.purchases_world import CHEST, Letters

SECRET = "0123456789abcdef0123456789abcdef"
PEOPLE = 2
MAX_USES = 3
ATTEMPTS = 10
people = st.integers(0, PEOPLE - 1)
copies = st.integers(1, 3)
picks = st.integers(0, 1000)
told = st.sampled_from(
    ["paid", "unpaid", "failed", "expired", "refund", "dispute", "inquiry", "won", "lost", "wrong"]
)


@dataclass
class Bought:
    """What is known of a purchase; ``reversed`` coins follow from the rest."""

    user: int
    id: str
    session: str
    amount: int
    coins: int
    has_code: bool
    holds: bool
    is_paid: bool = False
    is_over: bool = False
    in_review: bool = False
    refunded: int = 0
    dispute: int = 0

    @property
    def net(self) -> int:
        """What is left of the coins."""
        if not self.is_paid:
            return 0
        disputed = self.amount if self.dispute in (2, 3) else 0
        taken = min(self.amount, self.refunded + disputed)
        return self.coins - self.coins * taken // self.amount


RANKS = {"inquiry": 1, "dispute": 2, "lost": 3, "won": 4}
STATUSES = {"inquiry": "warning_needs_response", "dispute": "needs_response", "lost": "lost", "won": "won"}


class PurchaseMachine(RuleBasedStateMachine):
    """A wallet holds what was bought, less what was spent and taken back; below zero, that is owed."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._database = LossyDatabase(database_url, PoolOptions(size=4))
        self._run(self._database.__aenter__())

    def teardown(self) -> None:
        self._run(self._database.__aexit__())
        self._runner.close()

    def _run(self, awaitable: Any) -> Any:
        return self._runner.run(awaitable)

    @initialize()
    def begin(self) -> None:
        checkout = DemoCheckout(SECRET, str)
        self._money = Money(self._database, NO_BONUS)
        self._events = PaymentEvents(self._database, checkout, PurchaseEvents("test").handlers())
        self._purchases = PurchasesService(self._database, self._money.accounts, checkout)
        self._discounts = DiscountsService(self._database, self._money.accounts, self._money.wallets)
        self._keeper = PurchaseKeeper(
            self._database, Letters(), Notifications(self._database, self._money.bus), ""
        )
        self._bought: list[Bought] = []
        self._sent: list[bytes] = []
        self._processing: set[str] = set()
        self._spent = [0] * PEOPLE
        self._code = f"C-{new_id().hex[-16:].upper()}"
        self._run(self._populate())

    async def _populate(self) -> None:
        names = [f"u_{new_id().hex[-20:]}" for _ in range(PEOPLE)]
        self._people = [await Users(self._database).add(name, f"{name}@example.com", "x") for name in names]
        self._rooms = [await live_room(self._money, person) for person in self._people]
        new = NewDiscount(self._code, DiscountKind.BONUS_COINS, 0, 50, MAX_USES, None, None, None)
        await self._discounts.add(self._people[0].id, "", new)

    @property
    def _held(self) -> int:
        return sum(each.holds for each in self._bought)

    @rule(user=people, with_code=st.booleans(), copies=copies, loss=losses)
    def buy(self, user, with_code, copies, loss) -> None:
        key, code = str(new_id()), self._code if with_code else None

        async def call() -> Any:
            return await self._purchases.buy(self._people[user].id, key, CHEST, code)

        results = self._surely(call, copies, loss)
        if with_code and self._held >= MAX_USES:
            assert {getattr(result, "code", result) for result in results} == {"discount_used_up"}
            return
        assert {result.id for result in results if not isinstance(result, ApiError)}
        (purchase,) = {str(each.id): each for each in results}.values()
        self._bought.append(
            Bought(
                user,
                str(purchase.id),
                purchase.session,
                purchase.amount,
                purchase.coins,
                with_code,
                with_code,
            )
        )

    @rule(what=told, pick=picks, amount=st.integers(0, 2000), copies=copies, loss=losses)
    def tell(self, what, pick, amount, copies, loss) -> None:
        if self._bought:
            bought = self._bought[pick % len(self._bought)]
            self._deliver([self._event(bought, what, amount)], copies, loss)
            self._note(bought, what, amount)

    @rule(pick=picks, amounts=st.lists(st.integers(0, 2000), min_size=1, max_size=3), loss=losses)
    def tell_at_once(self, pick, amounts, loss) -> None:
        """A payment and refunds of it."""
        if self._bought:
            bought = self._bought[pick % len(self._bought)]
            facts = [("paid", 0), *(("refund", amount) for amount in amounts)]
            self._deliver([self._event(bought, what, amount) for what, amount in facts], 1, loss)
            for what, amount in facts:
                self._note(bought, what, amount)

    @rule(pick=picks, copies=copies)
    def tell_again(self, pick, copies) -> None:
        if self._sent:
            self._deliver([self._sent[pick % len(self._sent)]], copies, None)

    @rule(user=people, coins=st.integers(1, 3000))
    def spend(self, user, coins) -> None:
        actor, adjustment = self._people[0].id, Adjustment(-coins, 0, "x")
        net = self._net(user)

        async def call() -> Any:
            return await self._money.wallets.adjust(
                actor, "", self._people[user].id, str(new_id()), adjustment
            )

        (result,) = self._surely(call, 1, None)
        assert isinstance(result, ApiError) == (coins > net)
        if coins <= net:
            self._spent[user] += coins

    @rule(user=people, coins=st.integers(1, 1500), copies=copies, loss=losses)
    def tip(self, user, coins, copies, loss) -> None:
        """In the other's room: what is given is not taken back from there."""
        room, key, net = self._rooms[1 - user], str(new_id()), self._net(user)

        async def call() -> Any:
            return await self._money.gifts.tip(self._people[user].id, room, key, coins, "")

        results = self._surely(call, copies, loss)
        assert {isinstance(result, ApiError) for result in results} == {coins > net}
        if coins <= net:
            self._spent[user] += coins

    @rule()
    def sweep(self) -> None:
        self._run(self._database.execute("UPDATE purchases SET expires_at = now() - interval '1 day'"))
        self._run(self._keeper.sweep())
        self._run(self._keeper.send_receipts())
        for bought in self._bought:
            if not (
                bought.is_paid or bought.is_over or bought.in_review or bought.session in self._processing
            ):
                self._end(bought)

    @invariant()
    def everything_adds_up(self) -> None:
        if hasattr(self, "_spent"):
            self._run(self._check())

    async def _check(self) -> None:
        assert await self._money.is_right()
        for number, person in enumerate(self._people):
            wallet = await self._money.wallets.of(person.id)
            net = self._net(number)
            assert (wallet.coins, wallet.debt_coins) == (max(net, 0), max(-net, 0))
        uses = await self._database.fetch_value("SELECT uses FROM discount_codes WHERE code = $1", self._code)
        assert uses == self._held

    def _net(self, user: int) -> int:
        return sum(each.net for each in self._bought if each.user == user) - self._spent[user]

    def _note(self, bought: Bought, what: str, amount: int) -> None:
        """What the event means, if it is new."""
        if what == "refund":
            bought.refunded = max(bought.refunded, amount)
        elif what in RANKS:
            bought.dispute = max(bought.dispute, RANKS[what])
        elif bought.is_paid or bought.in_review:
            return
        elif what == "paid":
            bought.is_paid, bought.holds = True, bought.has_code
        elif what == "wrong":
            bought.in_review = True
        elif what in ("failed", "expired") and not bought.is_over:
            self._end(bought)
        elif what == "unpaid" and not bought.is_over:
            self._processing.add(bought.session)

    def _end(self, bought: Bought) -> None:
        bought.is_over, bought.holds = True, False

    def _event(self, bought: Bought, what: str, amount: int) -> bytes:
        payment = f"pi_{bought.session}"
        page = {
            "id": bought.session,
            "mode": "payment",
            "payment_status": "unpaid" if what in ("unpaid", "failed", "expired") else "paid",
            "amount_total": bought.amount + (what == "wrong"),
            "currency": "usd",
            "payment_intent": payment,
            "metadata": {"purchase_id": bought.id},
        }
        kind, data = "checkout.session.completed", page
        if what in ("failed", "expired"):
            kind = f"checkout.session.{'async_payment_failed' if what == 'failed' else what}"
        elif what == "refund":
            kind, data = "charge.refunded", {"amount_refunded": amount, "currency": "usd"}
        elif what in RANKS:
            kind = f"charge.dispute.{'closed' if what in ('won', 'lost') else 'created'}"
            data = {
                "id": f"dp_{payment}",
                "status": STATUSES[what],
                "amount": bought.amount,
                "currency": "usd",
            }
        event = {
            "id": f"evt_{new_id().hex}",
            "type": kind,
            "created": int(time.time()),
            "data": {"object": {**data, "payment_intent": payment}},
        }
        return msgspec.json.encode(event)

    def _deliver(self, bodies: list[bytes], copies: int, loss: Loss | None) -> None:
        self._sent += bodies
        self._run(self._deliver_all([body for body in bodies for _ in range(copies)], loss))

    async def _deliver_all(self, bodies: list[bytes], loss: Loss | None) -> None:
        self._database.loss = loss
        await asyncio.gather(*(self._deliver_one(body) for body in bodies))
        self._database.loss = None

    async def _deliver_one(self, body: bytes) -> None:
        """As a provider does: until it is taken."""
        for _ in range(ATTEMPTS):
            try:
                await self._events.receive(body, signature_of(SECRET, body, time.time()))
                return
            except DatabaseUnavailable:
                continue
        raise AssertionError("was never taken")

    def _surely(self, call: Any, copies: int, loss: Loss | None) -> list[Any]:
        """What ``copies`` at once were answered, and whoever asked again; without those who got no answer."""
        self._database.loss = loss
        results = self._run(_gathered(call, copies))
        self._database.loss = None
        if copies > 1 or loss is not None:
            results += self._run(_gathered(call, 1))
        answers = [result for result in results if not isinstance(result, DatabaseUnavailable)]
        wrong = [
            each for each in answers if isinstance(each, BaseException) and not isinstance(each, ApiError)
        ]
        assert not wrong, wrong
        return answers


async def _gathered(call: Any, copies: int) -> list[Any]:
    return await asyncio.gather(*(call() for _ in range(copies)), return_exceptions=True)


@pytest.mark.slow
def test_nothing_is_credited_twice_or_taken_back_too_often(database_url: str) -> None:
    """Slow: each step moves money on several connections, and proves the whole ledger."""
    run_state_machine_as_test(
        lambda: PurchaseMachine(database_url),
        settings=by_examples(6, steps=20),
    )
