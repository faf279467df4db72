"""Attempts to send a payout that meet each other: the money goes once, and the ledger knows where it is."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from control_api.payments.payout_ports import TransferRefused
from control_api.services.payout_job import Round
from storage.repositories.ledger import TransferKind
from storage.repositories.ledger_accounts import AccountKind
from storage.repositories.payouts import Payouts, PayoutState
from tests.control_api.payouts_world import Paying, payouts_world


@pytest.fixture
async def world(database, aiohttp_client):
    world = await payouts_world(database, aiohttp_client)
    await world.onboard("alice")
    await world.earn("alice", 6000)
    return world


class Held:
    """A transfer that is not done before ``free`` is set, while others are refused."""

    def __init__(self, provider):
        self.transfer, self.reached, self.free = provider.transfer, asyncio.Event(), asyncio.Event()
        provider.transfer = self

    async def __call__(self, order):
        if self.reached.is_set():
            raise TransferRefused("Restricted for a moment.")
        self.reached.set()
        await self.free.wait()
        return await self.transfer(order)


async def begun(world, sending):
    """The payout, and an attempt that asks the provider just now."""
    payout_id = UUID((await world.call("POST", "/payouts", "alice"))[1]["id"])
    held = Held(world.provider)
    attempt = asyncio.create_task(sending.send(payout_id))
    await held.reached.wait()
    return payout_id, held, attempt


async def test_a_hurried_payout_waits_for_the_attempt_that_runs(world):
    slow = Paying(world.database, world.provider).sending
    slow._lease = timedelta(minutes=1)
    payout_id, held, attempt = await begun(world, slow)
    assert (await world.call("POST", f"/admin/payouts/{payout_id}/retry", "admin"))[0] == 200
    assert await slow.send(payout_id) is None
    held.free.set()
    assert await attempt is PayoutState.PAID
    assert await world.held("alice") == (0, 0, 6000)


async def test_a_refusal_of_another_attempt_does_not_give_back(world):
    """The first may be done yet, however long ago it began."""
    payout_id, held, attempt = await begun(world, world.paying.sending)
    assert await world.paying.sending.send(payout_id) is PayoutState.PENDING
    assert await world.held("alice") == (0, 6000, 0)
    assert (await world.last("alice")).problem == "Restricted for a moment."
    held.free.set()
    assert await attempt is PayoutState.PAID
    assert await world.held("alice") == (0, 0, 6000)
    assert len(world.provider.transfers) == 1


@pytest.mark.parametrize("left", [6000, 1000, 0])
async def test_what_is_paid_after_it_failed_is_taken_from_earnings_or_owed(world, left):
    payout_id, held, attempt = await begun(world, world.paying.sending)
    payout = await world.last("alice")
    assert await world.paying.sending._fail(payout, "no") is PayoutState.FAILED
    if left < 6000:
        await world.move(
            AccountKind.EARNINGS, AccountKind.PROVIDER, "alice", 6000 - left, TransferKind.DISPUTE
        )
    held.free.set()
    with capture_logs() as logs:
        assert await attempt is PayoutState.PAID
    assert [each["log_level"] for each in logs if each["event"] == "payout_paid_late"] == ["error"]
    assert await world.held("alice") == (0, 0, 6000)
    last = await world.last("alice")
    assert (last.state, last.reference) == (PayoutState.PAID, f"tr_{payout_id.hex}")
    assert (await world.world.money.wallets.of(world.people["alice"].id)).earnings == 0
    owed = "SELECT coalesce(sum(balance), 0) FROM ledger_balances WHERE bounds = 'debit'"
    assert await world.database.fetch_value(owed) == left - 6000
    assert await world.is_right()


async def test_reconciliation_sees_what_was_paid_and_not_taken(world):
    await world.call("POST", "/payouts", "alice")
    payout = await world.last("alice")
    await world.paying.sending._fail(payout, "no")
    assert await Payouts(world.database).set_paid_late(payout.id, "tr_x")
    assert not await world.is_right()


async def test_a_round_ends_while_another_attempt_runs(world):
    world.paying.sending._lease = timedelta(minutes=1)
    payout_id, held, attempt = await begun(world, world.paying.sending)
    await world.call("POST", f"/admin/payouts/{payout_id}/retry", "admin")
    await world.database.execute("UPDATE payouts SET attempt_at = now()")
    assert await world.paying.job.work_once() == Round(due=1)
    held.free.set()
    assert await attempt is PayoutState.PAID
