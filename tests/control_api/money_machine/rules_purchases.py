"""Coins that are bought, by checkouts that fail too, and whatever is told of their payments."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from control_api.errors import ApiError
from storage.ids import new_id
from storage.repositories.ledger import COIN
from storage.repositories.ledger_accounts import AccountKind
from tests.control_api.money_machine.base import Operation, copies, creators, needs, numbers, people
from tests.control_api.money_machine.lossy import losses
from tests.control_api.money_machine.model_payouts import Model
from tests.control_api.money_machine.model_purchases import BONUS_COINS, RANKS, Bought
from tests.control_api.money_machine.rules_events import Event, EventRules, delays
from tests.control_api.money_machine.rules_giving import GivingRules
from tests.control_api.purchases_world import CHEST, CHEST_COINS

STATUSES = {"inquiry": "warning_needs_response", "dispute": "needs_response", "lost": "lost", "won": "won"}
UNPAID = ("unpaid", "failed", "expired")
PAGE_KINDS = {
    "failed": "checkout.session.async_payment_failed",
    "expired": "checkout.session.expired",
}
facts = st.sampled_from([*["paid", "refund"] * 3, *RANKS, *UNPAID, "wrong"])
mostly = st.sampled_from([True, True, True, False])
amounts = st.one_of(st.integers(0, 2000), st.just(2000))
takings = st.sampled_from(["refund", "dispute"])
some_facts = st.lists(st.tuples(facts, amounts), min_size=1, max_size=4)


class PurchaseRules(GivingRules, EventRules):
    @rule(person=people, with_code=st.booleans(), is_paid=mostly, copies=copies, loss=losses)
    def buy(self, person, with_code, is_paid, copies, loss) -> None:
        key = str(new_id())
        self.do(self.buying(person, with_code, key), copies, loss)
        if is_paid and key in self.model.bought:
            self.deliver(self._event_of_purchase(key, "paid", 0), copies, loss)

    @rule(person=people, with_code=st.booleans(), moment=st.sampled_from(["before", "after"]))
    def buy_where_the_provider_fails(self, person, with_code, moment) -> None:
        """It may have opened a page that nobody learns of. Asked again, another is opened."""
        key, opened = str(new_id()), len(self.world.checkout.opened)
        operation = self.buying(person, with_code, key)
        self.world.checkout.fault = moment
        with_page = self.run(self._refused(operation, with_code))
        self.world.checkout.fault = None
        if with_page and len(self.world.checkout.opened) > opened:
            self._learn_of_lost_page(person, with_code)
        self.do(operation)

    @rule(number=numbers, told=some_facts, is_late=delays, copies=copies, loss=losses)
    @needs(lambda self: self.model.bought)
    def hear_of_purchase(self, number, told, is_late, copies, loss) -> None:
        """One thing, or several at once."""
        key = list(self.model.bought)[number % len(self.model.bought)]
        events = [self._event_of_purchase(key, what, amount) for what, amount in told]
        if is_late:
            return
        if len(events) == 1:
            self.deliver(events[0], copies, loss)
        else:
            self.do_and_tell([], events, copies, loss)

    @rule(
        person=people,
        creator=creators,
        amount=amounts,
        what=st.sampled_from(["refund", "dispute"]),
        loss=losses,
    )
    def lose_what_was_spent(self, person, creator, amount, what, loss) -> None:
        """What cannot be taken back is owed."""
        key = str(new_id())
        self.do(self.buying(person, False, key))
        self.deliver(self._event_of_purchase(key, "paid", 0))
        self.do(self.tipping(person, creator, self.model.held(person, AccountKind.WALLET, COIN) or 1))
        self.deliver(self._event_of_purchase(key, what, amount), 1, loss)

    @rule()
    @needs(lambda self: self.model.bought)
    def sweep(self) -> None:
        sql = "UPDATE purchases SET expires_at = now() - interval '1 day' WHERE user_id = ANY ($1::uuid[])"
        self.run(self.world.database.execute(sql, [person.id for person in self.world.people]))
        self.run(self.world.keeper.sweep())
        self.run(self.world.keeper.send_receipts())
        self.model.end_overdue()

    def buying(self, person: int, with_code: bool, key: str | None = None) -> Operation:
        user, code = self.world.people[person].id, self.world.code if with_code else None
        key = key or str(new_id())

        async def call() -> Any:
            return await self.world.purchases.buy(user, key, CHEST, code)

        def learn(model: Model, purchase: Any) -> None:
            bought = model.bought[key]
            bought.id, bought.session = str(purchase.id), purchase.session
            bought.amount, bought.coins = purchase.amount, purchase.coins
            assert purchase.coins == CHEST_COINS + (BONUS_COINS if with_code else 0)

        return Operation(
            call,
            lambda model: model.order(key, person, with_code),
            identity=lambda purchase: purchase.id,
            learn=learn,
        )

    async def _refused(self, operation: Operation, with_code: bool) -> bool:
        """Whether by the provider."""
        try:
            await operation.call()
        except ApiError as error:
            return error.code != "discount_used_up"
        raise AssertionError("the provider failed, and nobody was told")

    def _learn_of_lost_page(self, person: int, with_code: bool) -> None:
        """Somebody may pay there all the same."""
        purchase_id = self.world.checkout.opened[-1]
        sql = "SELECT amount, coins FROM purchases WHERE id = $1"
        amount, coins = self.run(self.world.database.fetch_row(sql, purchase_id))
        lost = Bought(person, with_code, str(purchase_id), f"cs_test_{purchase_id.hex}", amount, coins)
        lost.is_over = True
        self.model.bought[str(purchase_id)] = lost

    def _event_of_purchase(self, key: str, what: str, amount: int) -> Event:
        bought = self.model.bought[key]
        kind, data = _object(bought, what, amount)
        data["payment_intent"] = f"pi_{bought.session}"
        return self.happens(kind, data, lambda model: model.told_of_purchase(key, what, amount))


def _object(bought: Bought, what: str, amount: int) -> tuple[str, dict[str, Any]]:
    """The type of the event, and what it happened to."""
    if what == "refund":
        charge = {"id": f"ch_{bought.session}", "amount_refunded": amount, "currency": "usd"}
        return "charge.refunded", charge
    if what in RANKS:
        kind = f"charge.dispute.{'closed' if what in ('won', 'lost') else 'created'}"
        status, disputed = STATUSES[what], bought.amount
        return kind, {"id": f"dp_{bought.id}", "status": status, "amount": disputed, "currency": "usd"}
    page = {
        "id": bought.session,
        "mode": "payment",
        "payment_status": "unpaid" if what in UNPAID else "paid",
        "amount_total": bought.amount + (what == "wrong"),
        "currency": "usd",
        "metadata": {"purchase_id": bought.id},
    }
    return PAGE_KINDS.get(what, "checkout.session.completed"), page
