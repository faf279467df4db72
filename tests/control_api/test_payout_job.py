"""The task of payouts: everybody who is due, once, on one node, through whatever breaks."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from control_api.payments.payout_ports import Standing
from control_api.services import payout_job
from control_api.services.payout_job import PAYOUT_LOCK, Round
from control_api.services.payouts import Skipped
from storage.errors import DatabaseUnavailable
from storage.leadership import leadership
from storage.repositories.payouts import DuePosition, Onboarding, Schedule
from tests.control_api.payouts_world import LONG_AGO, Killed, Paying, payouts_world
from tests.helpers.waiting import eventually

CREATORS = ("alice", "bob", "carol")


@pytest.fixture
async def world(database, aiohttp_client):
    return await payouts_world(database, aiohttp_client)


async def ready(world, *users):
    for user in users:
        await world.onboard(user)
        await world.earn(user, 6000)


async def due_at(world, user):
    return (await world.accounts.settings(world.people[user].id)).due_at


async def test_everybody_who_is_due_is_paid(world):
    await ready(world, *CREATORS)
    assert await world.paying.job.work_once() == Round(due=3, begun=3, paid=3)
    assert [await world.states(user) for user in CREATORS] == [["paid"]] * 3
    assert await world.paying.job.work_once() == Round()
    assert await world.is_right()


async def test_due_creators_come_page_by_page(world, monkeypatch):
    monkeypatch.setattr(payout_job, "PAGE", 1)
    await ready(world, *CREATORS)
    assert await world.paying.job.work_once() == Round(due=3, begun=3, paid=3)


async def test_two_nodes_at_once_pay_once(world):
    await ready(world, *CREATORS)
    nodes = [Paying(world.database, world.provider) for _ in range(3)]
    rounds = await asyncio.gather(*(node.job.work_once() for node in nodes))
    assert sum(done.paid for done in rounds if done is not None) == 3
    assert len(world.provider.transfers) == 3
    assert await world.held("alice") == (0, 0, 18000)
    assert await world.is_right()


async def test_without_the_lock_each_is_paid_once_all_the_same(world, monkeypatch):
    """As after a connection that was lost, and the lock with it."""
    await ready(world, *CREATORS)
    nodes = [Paying(world.database, world.provider).job for _ in range(3)]
    now = datetime.now(UTC)
    await asyncio.gather(*(node._begin_due(now) for node in nodes))
    await asyncio.gather(*(node._send_pending() for node in nodes))
    assert len(world.provider.transfers) == 3
    assert await world.held("alice") == (0, 0, 18000)
    assert await world.is_right()


async def test_one_node_leads(world):
    async with leadership(world.database, PAYOUT_LOCK) as is_leader:
        assert is_leader
        assert await world.paying.job.work_once() is None
    assert await world.paying.job.work_once() == Round()


async def until_free(database, lock):
    """The lock of who was killed ends with its connection, a moment later."""
    async with asyncio.timeout(10):
        while True:
            async with leadership(database, lock) as is_leader:
                if is_leader:
                    return
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("amount", [0, 4999])
async def test_too_little_waits_for_the_next_turn(world, amount):
    await world.onboard("alice")
    if amount:
        await world.earn("alice", amount)
    assert await world.paying.job.work_once() == Round(due=1)
    assert await world.states("alice") == []
    assert await due_at(world, "alice") > datetime.now(UTC)


async def test_the_creators_own_minimum_counts(world):
    await world.onboard("alice", minimum=10_000)
    await world.earn("alice", 9_999)
    assert (await world.paying.job.work_once()).begun == 0
    await world.be_due("alice")
    await world.earn("alice", 1)
    assert (await world.paying.job.work_once()).paid == 1


async def test_who_is_not_onboarded_is_passed_over(world):
    await ready(world, "alice", "bob")
    account = await world.accounts.find(world.people["alice"].id)
    await world.accounts.set_state(account.account, Onboarding.RESTRICTED, "passport", datetime.now(UTC))
    world.provider.standings[account.account] = Standing(account.account, Onboarding.RESTRICTED, "passport")
    assert await world.paying.job.work_once() == Round(due=2, begun=1, paid=1)
    assert await world.held("alice") == (6000, 0, 6000)


async def test_who_was_onboarded_without_being_told_of_is_paid(world):
    """The provider's event was lost, or its webhook is not set up."""
    await ready(world, "alice")
    account = (await world.accounts.find(world.people["alice"].id)).account
    await world.accounts.set_state(account, Onboarding.PENDING, "", datetime.now(UTC))
    world.provider.standings[account] = Standing(account, Onboarding.ACTIVE)
    assert (await world.paying.job.work_once()).paid == 1


async def test_who_has_a_payout_on_its_way_gets_no_other(world):
    await ready(world, "alice")
    world.provider.is_down = True
    assert await world.paying.payouts.pay_due(DuePosition(LONG_AGO, world.people["alice"].id))
    await world.earn("alice", 7000)
    await world.be_due("alice")
    assert await world.paying.payouts.pay_due(DuePosition(LONG_AGO, world.people["alice"].id)) is (
        Skipped.IN_FLIGHT
    )
    assert await world.held("alice") == (7000, 6000, 0)


async def test_a_turn_is_taken_once(world):
    await ready(world, "alice")
    due = DuePosition(LONG_AGO, world.people["alice"].id)
    outcomes = await asyncio.gather(*(world.paying.payouts.pay_due(due) for _ in range(4)))
    assert outcomes.count(Skipped.NOT_ITS_TURN) == 3


async def test_a_manual_schedule_has_no_turn(world):
    await world.onboard("alice", Schedule.MANUAL)
    await world.earn("alice", 6000)
    assert await world.paying.job.work_once() == Round()
    assert await world.paying.payouts.pay_due(DuePosition(LONG_AGO, world.people["alice"].id)) is (
        Skipped.NOT_ITS_TURN
    )


@pytest.mark.parametrize("fault", [DatabaseUnavailable("gone"), ZeroDivisionError()], ids=str)
async def test_one_that_fails_does_not_stop_the_others(world, monkeypatch, fault):
    await ready(world, *CREATORS)
    whole = world.paying.payouts.pay_due
    victim = world.people["bob"].id

    async def failing(due):
        if due.user_id == victim:
            raise fault
        return await whole(due)

    with monkeypatch.context() as patch:
        patch.setattr(world.paying.payouts, "pay_due", failing)
        assert await world.paying.job.work_once() == Round(due=3, begun=2, paid=2)
    assert await world.paying.job.work_once() == Round(due=1, begun=1, paid=1)


async def test_a_crash_between_beginning_and_sending_is_continued(world, monkeypatch):
    await ready(world, *CREATORS)

    async def killed(_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(world.paying.sending, "send", killed)
        with pytest.raises(Killed):
            await world.paying.job.work_once()
    assert await world.held("alice") == (0, 6000, 0)
    another = Paying(world.database, world.provider)
    await until_free(world.database, PAYOUT_LOCK)
    await another.job.work_once()
    assert await world.held("alice") == (0, 0, 18000)
    assert len(world.provider.transfers) == 3


async def test_while_the_provider_is_down_everything_waits(world):
    await ready(world, "alice")
    world.paying.sending._lease = timedelta(hours=1)
    world.provider.is_down = True
    assert await world.paying.job.work_once() == Round(due=1, begun=1)
    assert await world.held("alice") == (0, 6000, 0)
    assert (await world.last("alice")).problem == "The payment provider cannot be reached."
    await world.database.execute("UPDATE payouts SET attempt_at = now(), lease_until = now()")
    world.provider.is_down = False
    assert await world.paying.job.work_once() == Round(paid=1)


async def test_the_task_runs_and_is_woken(world):
    task = asyncio.create_task(world.paying.job.run())
    try:
        await world.earn("alice", 6000)
        await world.onboard("alice")
        world.paying.job.wake()
        await eventually(lambda: len(world.provider.transfers) == 1)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
