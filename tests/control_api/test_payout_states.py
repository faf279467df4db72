"""Whatever happens to payouts, at once, again, over connections that break: nobody is paid twice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from control_api.errors import ApiError, unavailable
from control_api.payments.payout_ports import TransferRefused
from control_api.payments.ports import ProviderEvent, TooEarly
from control_api.services.payout_settings import SettingsChange
from storage.database import PoolOptions
from storage.errors import DatabaseUnavailable, InvalidValue
from storage.ids import new_id
from storage.reconciliation import reconcile
from storage.repositories import User, Users
from storage.repositories.ledger import Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts
from storage.repositories.payouts import (
    Onboarding,
    Payout,
    PayoutAccounts,
    Payouts,
    PayoutState,
    Schedule,
)
from tests.control_api.payouts_world import FakePayouts, Paying
from tests.control_api.test_money_states import LossyDatabase, copies, losses

CREATORS = 2
NODES = 2
MINIMUM = 100
MANY = 1000
creators = st.integers(0, CREATORS - 1)
incomes = st.one_of(st.just(0), st.integers(MINIMUM, 2000))
faults = st.sampled_from([None, "refused", "unavailable", "late"])
moments = st.sampled_from(["before", "after"])


def _fault(name: str | None, moment: str) -> BaseException | None:
    """What was done is never refused."""
    if name is None:
        return None
    if name == "refused" and moment == "before":
        return TransferRefused("no")
    return TimeoutError() if name == "late" else unavailable("busy")


class PayoutMachine(RuleBasedStateMachine):
    """``_earned`` and ``_owed`` are what creators earned, less disputes, and what debts they were given."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._database = LossyDatabase(database_url, PoolOptions(size=6))
        self._run(self._database.__aenter__())

    def teardown(self) -> None:
        if hasattr(self, "_nodes"):
            self._run(self._settle())
            self._run(self._check())
        self._run(self._database.__aexit__())
        self._runner.close()

    def _run(self, awaitable: Any) -> Any:
        return self._runner.run(awaitable)

    @initialize()
    def begin(self) -> None:
        self._provider = FakePayouts()
        self._nodes = [Paying(self._database, self._provider, None, MINIMUM) for _ in range(NODES)]
        self._creators: list[User] = []
        self._earned, self._owed = [0] * CREATORS, [0] * CREATORS
        self._run(self._populate())

    async def _populate(self) -> None:
        # The database is that of the machines before, too: theirs are not due.
        await self._database.execute("UPDATE payout_settings SET due_at = now() + interval '1 year'")
        for _ in range(CREATORS):
            name = f"u_{new_id().hex[-20:]}"
            user = await Users(self._database).add(name, f"{name}@example.com", "hash")
            self._creators.append(user)
            accounts = PayoutAccounts(self._database, self._provider.name)
            account = await accounts.add(user.id, f"acct_{name}")
            await accounts.set_state(account, Onboarding.ACTIVE, "", datetime.now(UTC))
            settled = SettingsChange(Schedule.WEEKLY, None, None)
            await self._nodes[0].settings.change(user.id, settled)

    @rule(creator=creators, amount=incomes)
    def earn(self, creator, amount) -> None:
        if not amount:
            return
        self._run(self._move(AccountKind.PLATFORM, AccountKind.EARNINGS, creator, amount))
        self._earned[creator] += amount

    @rule(creator=creators, amount=st.integers(1, 500))
    def dispute(self, creator, amount) -> None:
        with suppress(InvalidValue):
            self._run(self._move(AccountKind.EARNINGS, AccountKind.PROVIDER, creator, amount))
            self._earned[creator] -= amount

    @rule(creator=creators, amount=st.integers(1, 500))
    def owe(self, creator, amount) -> None:
        self._run(self._move(AccountKind.DEBT, AccountKind.PROVIDER, creator, amount))
        self._owed[creator] += amount

    @rule(creator=creators, income=incomes, copies=copies, loss=losses)
    def demand(self, creator, income, copies, loss) -> None:
        self.earn(creator, income)
        user, key = self._creators[creator].id, str(new_id())
        results = self._tried(lambda: self._nodes[0].payouts.demand(user, key), copies, loss)
        assert len({result.id for result in results if isinstance(result, Payout)}) <= 1

    @rule(creator=creators, income=incomes, fault=faults, moment=moments, loss=losses)
    def work(self, creator, income, fault, moment, loss) -> None:
        """On all nodes, while somebody is due and the provider or the database fails once."""
        self.earn(creator, income)
        sql = "UPDATE payout_settings SET due_at = $2 WHERE user_id = $1"
        self._run(self._database.execute(sql, self._creators[creator].id, datetime(2026, 1, 1, tzinfo=UTC)))
        setattr(self._provider, moment, _fault(fault, moment))
        jobs = iter([node.job.work_once for node in self._nodes] * 2)
        self._tried(lambda: next(jobs)(), NODES, loss)
        self._provider.before = self._provider.after = None

    @rule(data=st.data(), copies=copies, part=st.integers(1, 3), loss=losses)
    def take_back(self, data, copies, part, loss) -> None:
        if not self._provider.transfers:
            return
        payout_id = data.draw(st.sampled_from(sorted(self._provider.transfers)))
        amount = self._provider.transfers[payout_id].amount
        reversal = {
            "id": f"tr_{payout_id.hex}",
            "amount_reversed": amount // part,
            "metadata": {"payout_id": str(payout_id)},
        }
        handler = self._nodes[0].sending.handlers()["transfer.reversed"]

        async def tell() -> None:
            async with self._database.transaction() as transaction:
                event = ProviderEvent("evt", "transfer.reversed", datetime.now(UTC), reversal)
                await handler(transaction, event)

        self._tried(tell, copies, loss)

    @rule(data=st.data(), copies=copies, loss=losses)
    def retry(self, data, copies, loss) -> None:
        payouts = self._run(self._all())
        if payouts:
            payout = data.draw(st.sampled_from(payouts))
            actor = self._creators[0].id
            self._tried(lambda: self._nodes[0].payouts.retry(actor, "", payout.id), copies, loss)

    @invariant()
    def everything_adds_up(self) -> None:
        if hasattr(self, "_nodes"):
            self._run(self._check())

    async def _check(self) -> None:
        assert (await reconcile(self._database)).differences == ()
        payouts = await self._all()
        self._check_transfers(payouts)
        for number, creator in enumerate(self._creators):
            own = [payout for payout in payouts if payout.user_id == creator.id]
            assert Counter(payout.state for payout in own)[PayoutState.PENDING] <= 1
            await self._check_money(number, creator, own)

    def _check_transfers(self, payouts: list[Payout]) -> None:
        """What was refused has not been done, and what is paid has."""
        for payout in payouts:
            order = self._provider.transfers.get(payout.id)
            if payout.state is PayoutState.FAILED:
                assert order is None
            elif payout.state is not PayoutState.PENDING:
                assert order is not None
                assert (order.amount, order.account) == (payout.amount, payout.account)

    async def _check_money(self, number: int, creator: User, payouts: list[Payout]) -> None:
        held = {each.kind: each.balance for each in await Ledger(self._database).holdings(creator.id)}
        pending = sum(payout.amount for payout in payouts if payout.state is PayoutState.PENDING)
        paid = sum(payout.amount - payout.returned for payout in payouts if payout.reference is not None)
        repaid = self._owed[number] + held.get(AccountKind.DEBT, 0)
        assert repaid >= 0
        assert held.get(AccountKind.PENDING_PAYOUT, 0) == pending
        assert held.get(AccountKind.EARNINGS, 0) == self._earned[number] - pending - paid - repaid

    async def _settle(self) -> None:
        """Once nothing fails any more, nothing stays on its way."""
        self._database.loss = None
        await self._nodes[0].job.work_once()
        assert all(payout.state is not PayoutState.PENDING for payout in await self._all())

    async def _all(self) -> list[Payout]:
        found = [
            payout
            for creator in self._creators
            for payout in await Payouts(self._database).of_user(creator.id, None, MANY)
        ]
        return sorted(found, key=lambda payout: payout.id)

    async def _move(self, source: AccountKind, target: AccountKind, creator: int, amount: int) -> None:
        owner = self._creators[creator].id
        servers = (AccountKind.PLATFORM, AccountKind.PROVIDER)
        wanted = [Account(each, "usd", None if each in servers else owner) for each in (source, target)]
        taken, given = await LedgerAccounts(self._database).ids(wanted)
        lines = (Line(taken, -amount), Line(given, amount))
        transfer = NewTransfer(TransferKind.ADJUSTMENT, "test", str(new_id()), "", lines)
        await Ledger(self._database).post(transfer)

    def _tried(self, call: Callable[[], Awaitable[Any]], copies: int, loss: Any) -> list[Any]:
        """What ``copies`` at once gave, and another try, as of who got no answer."""
        self._database.loss = loss
        results = self._run(_gathered(call, copies))
        self._database.loss = None
        results += self._run(_gathered(call, 1))
        for result in results:
            known = ApiError | DatabaseUnavailable | TooEarly
            assert isinstance(result, known) or not isinstance(result, BaseException), repr(result)
        return results


async def _gathered(call: Callable[[], Awaitable[Any]], copies: int) -> list[Any]:
    return await asyncio.gather(*(call() for _ in range(copies)), return_exceptions=True)


@pytest.mark.slow
def test_nobody_is_paid_twice_or_forgotten(database_url: str) -> None:
    """Slow: each step moves money on several connections, and proves the whole ledger."""
    run_state_machine_as_test(
        lambda: PayoutMachine(database_url),
        settings=settings(
            max_examples=5,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
