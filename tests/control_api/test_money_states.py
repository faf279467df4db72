"""Whatever people do with coins, at once, again, over connections that break: nothing is lost or made up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from control_api.errors import ApiError
from control_api.services.money import MoneyOptions
from control_api.services.wallet import Adjustment
from storage.database import Database, PoolOptions
from storage.errors import DatabaseUnavailable
from storage.ids import new_id
from storage.repositories import User, Users
from storage.repositories.ledger import COIN, Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind
from storage.repositories.payouts import Onboarding, PayoutAccounts, PayoutState
from tests.control_api.money_world import ROSE, ROSE_COINS, Money, live_room
from tests.control_api.payouts_world import FakePayouts, Paying

PEOPLE = 3
MINIMUM_PAYOUT = 5
OPTIONS = MoneyOptions()
people = st.integers(0, PEOPLE - 1)
copies = st.integers(1, 4)
losses = st.one_of(st.none(), st.tuples(st.integers(0, 14), st.booleans()))
"""Which command from now on breaks its connection, and whether it has been committed by then."""
Call = Callable[[], Awaitable[Any]]


class LossyDatabase(Database):
    """``loss`` is one of ``losses``, and happens once."""

    loss: tuple[int, bool] | None = None

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        due, is_committed = self._is_due()
        if due and not is_committed:
            raise DatabaseUnavailable("lost before the command")
        async with super()._connection() as connection:
            yield connection
        if due:
            raise DatabaseUnavailable("lost before the answer")

    def _is_due(self) -> tuple[bool, bool]:
        if self.loss is None:
            return False, False
        left, is_committed = self.loss
        self.loss = (left - 1, is_committed) if left else None
        return left == 0, is_committed


class MoneyMachine(RuleBasedStateMachine):
    """``coins``, ``earned`` and ``owed`` are what the wallets should hold."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._database = LossyDatabase(database_url, PoolOptions(size=4))
        self._run(self._database.__aenter__())
        self._done: list[tuple[Call, str]] = []

    def teardown(self) -> None:
        self._run(self._database.__aexit__())
        self._runner.close()

    def _run(self, awaitable: Any) -> Any:
        return self._runner.run(awaitable)

    @initialize()
    def begin(self) -> None:
        self._money = Money(self._database, OPTIONS)
        self._paying = Paying(self._database, FakePayouts(), OPTIONS, MINIMUM_PAYOUT)
        self._people: list[User] = []
        self._rooms: list[UUID] = []
        self._run(self._populate())
        self._coins, self._earned, self._owed = [0] * PEOPLE, [0] * PEOPLE, [0] * PEOPLE
        self._unwelcomed = set(range(PEOPLE))

    async def _populate(self) -> None:
        for _ in range(PEOPLE):
            name = f"u_{new_id().hex[-20:]}"
            user = await Users(self._database).add(name, f"{name}@example.com", "hash")
            self._people.append(user)
            self._rooms.append(await live_room(self._money, user))
            accounts = PayoutAccounts(self._database, self._paying.provider.name)
            account = await accounts.add(user.id, f"acct_{name}")
            await accounts.set_state(account, Onboarding.ACTIVE, "", datetime.now(UTC))

    @rule(sender=people, receiver=people, quantity=st.integers(1, 12), copies=copies, loss=losses)
    def give(self, sender, receiver, quantity, copies, loss) -> None:
        user, room, key = self._people[sender].id, self._rooms[receiver], str(new_id())

        async def call() -> Any:
            return await self._money.gifts.give(user, room, key, ROSE, quantity)

        self._spend(sender, receiver, quantity * ROSE_COINS, call, copies, loss)

    @rule(sender=people, receiver=people, coins=st.integers(1, 200), copies=copies, loss=losses)
    def tip(self, sender, receiver, coins, copies, loss) -> None:
        user, room, key = self._people[sender].id, self._rooms[receiver], str(new_id())

        async def call() -> Any:
            return await self._money.gifts.tip(user, room, key, coins, "")

        self._spend(sender, receiver, coins, call, copies, loss)

    def _spend(self, sender: int, receiver: int, coins: int, call: Call, copies: int, loss: Any) -> None:
        if sender == receiver:
            assert self._outcome(call, copies, loss) == "own_room"
        elif coins > self._coins[sender]:
            assert self._outcome(call, copies, loss) == "insufficient_coins"
        else:
            assert self._outcome(call, copies, loss) == "done"
            self._coins[sender] -= coins
            self._earned[receiver] += OPTIONS.earned(coins, None)

    @rule(user=people, coins=st.integers(-100, 300), copies=copies, loss=losses)
    def adjust(self, user, coins, copies, loss) -> None:
        actor, target, key = self._people[0].id, self._people[user].id, str(new_id())

        async def call() -> Any:
            return await self._money.wallets.adjust(actor, "", target, key, Adjustment(coins, 0, "x"))

        outcome = self._outcome(call, copies, loss)
        if not coins:
            assert outcome == "invalid_request"
        elif self._coins[user] + coins < 0:
            assert outcome == "insufficient_balance"
        else:
            assert outcome == "done"
            self._coins[user] += coins

    @rule(user=people, copies=copies, loss=losses)
    def verify(self, user, copies, loss) -> None:
        person = self._people[user].id
        sql = "UPDATE users SET email_verified_at = now() WHERE id = $1"
        self._run(self._database.execute(sql, person))
        if user in self._unwelcomed:
            self._unwelcomed.remove(user)
            self._coins[user] += OPTIONS.welcome_coins

        async def call() -> Any:
            return await self._money.wallets.of(person)

        assert self._outcome(call, copies, loss) == "done"

    @rule(user=people, coins=st.integers(1, 30))
    def owe(self, user, coins) -> None:
        """As after a refund of coins that are not there any more."""
        self._run(self._owe(self._people[user].id, coins))
        self._owed[user] += coins

    async def _owe(self, user_id: UUID, coins: int) -> None:
        wanted = [Account(AccountKind.DEBT, COIN, user_id), Account(AccountKind.PROVIDER, COIN)]
        debt, provider = await self._money.accounts.ids(wanted)
        lines = (Line(debt, -coins), Line(provider, coins))
        transfer = NewTransfer(TransferKind.REFUND, "test", str(new_id()), "", lines)
        await Ledger(self._database).post(transfer)

    @rule(user=people, copies=copies, loss=losses)
    def pay_out(self, user, copies, loss) -> None:
        """Debts first, even where too little is left to be paid."""
        person, key = self._people[user].id, str(new_id())

        async def call() -> Any:
            return await self._paying.payouts.demand(person, key)

        outcome = self._outcome(call, copies, loss)
        repaid = min(self._owed[user], self._earned[user] // OPTIONS.coin_value)
        self._owed[user] -= repaid
        self._earned[user] -= repaid * OPTIONS.coin_value
        if self._earned[user] < MINIMUM_PAYOUT:
            assert outcome == "below_payout_minimum"
            return
        assert outcome == "done"
        self._run(self._paying.job.work_once())
        payout = self._run(call())
        assert (payout.state, payout.amount) == (PayoutState.PAID, self._earned[user])
        self._earned[user] = 0

    @rule(data=st.data())
    def ask_again(self, data) -> None:
        """Long after; what was done stays done, and what was refused is not tried here."""
        if self._done:
            call, outcome = data.draw(st.sampled_from(self._done))
            assert self._outcome(call, 1, None) == outcome

    @rule(loss=losses)
    def tell(self, loss) -> None:
        self._database.loss = loss
        with suppress(DatabaseUnavailable):
            self._run(self._money.news.tell_once())
        self._database.loss = None

    @invariant()
    def everything_adds_up(self) -> None:
        if not hasattr(self, "_coins"):
            return
        self._run(self._check())

    async def _check(self) -> None:
        assert await self._money.is_right()
        for number, person in enumerate(self._people):
            wallet = await self._money.wallets.of(person.id)
            assert (wallet.coins, wallet.earnings) == (self._coins[number], self._earned[number])
            assert (wallet.debt_coins, wallet.pending_earnings) == (self._owed[number], 0)

    def _outcome(self, call: Call, copies: int, loss: tuple[int, bool] | None) -> str:
        """Of ``copies`` at once, and of another try, as of a client that got no answer."""
        self._database.loss = loss
        results = self._run(_gathered(call, copies))
        self._database.loss = None
        results += self._run(_gathered(call, 1))
        outcomes = {_name(result) for result in results} - {None}
        assert len(outcomes) == 1, results
        outcome = str(outcomes.pop())
        if outcome == "done":
            self._done.append((call, outcome))
        return outcome


async def _gathered(call: Call, copies: int) -> list[Any]:
    return await asyncio.gather(*(call() for _ in range(copies)), return_exceptions=True)


def _name(result: Any) -> str | None:
    if isinstance(result, DatabaseUnavailable):
        return None
    if isinstance(result, ApiError):
        return result.code
    assert not isinstance(result, BaseException), result
    return "done"


@pytest.mark.slow
def test_nothing_is_lost_made_up_or_spent_twice(database_url: str) -> None:
    """Slow: each step moves money on several connections, and proves the whole ledger."""
    run_state_machine_as_test(
        lambda: MoneyMachine(database_url),
        settings=settings(
            max_examples=5,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
