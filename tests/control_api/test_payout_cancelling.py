"""Payouts that wait for what does not come: an administrator has them given back, if they were not sent."""

import asyncio
from datetime import timedelta

import pytest

from control_api.errors import unavailable
from control_api.payments.payout_ports import TransferRefused
from storage.ids import new_id
from storage.repositories.payouts import PayoutState, ProviderName
from tests.control_api.payouts_world import FakePayouts, Paying, payouts_world


@pytest.fixture
async def world(database, aiohttp_client):
    """With a payout that the provider has not sent, because the balance there is too small."""
    world = await payouts_world(database, aiohttp_client)
    await world.onboard("alice")
    await world.earn("alice", 6000)
    await world.call("POST", "/payouts", "alice")
    world.provider.before = unavailable("balance_insufficient")
    assert await world.paying.sending.send((await world.last("alice")).id) is PayoutState.PENDING
    return world


async def cancel(world, payout_id=None, user="admin", **body):
    payout_id = payout_id or (await world.last("alice")).id
    return await world.call("POST", f"/admin/payouts/{payout_id}/cancel", user, json=body)


async def test_what_was_not_sent_is_given_back(world):
    status, payout = await cancel(world)
    assert (status, payout["state"], payout["problem"]) == (200, "failed", "An administrator cancelled it.")
    assert await world.held("alice") == (6000, 0, 0)
    audited = "SELECT count(*) FROM audit_log WHERE action = 'payout.cancelled' AND subject_id = $1"
    assert await world.database.fetch_value(audited, payout["id"]) == 1
    assert await cancel(world) == (409, "payout_not_pending")
    assert (await world.call("POST", f"/admin/payouts/{payout['id']}/retry", "admin"))[0] == 200
    await world.paying.job.work_once()
    assert await world.held("alice") == (0, 0, 6000)
    assert await world.is_right()


async def test_what_was_sent_is_paid(world):
    world.provider.after = TimeoutError()
    await world.paying.sending.send((await world.last("alice")).id)
    assert await world.held("alice") == (0, 6000, 0)
    assert await cancel(world) == (409, "payout_paid")
    assert await world.held("alice") == (0, 0, 6000)
    assert await world.database.fetch_value("SELECT count(*) FROM audit_log") == 0
    assert await cancel(world) == (409, "payout_not_pending")


async def test_what_may_be_on_its_way_is_not_given_back(world):
    world.paying.sending._lease = timedelta(minutes=1)
    world.provider.before = unavailable("busy")
    await world.paying.sending.send((await world.last("alice")).id)
    assert await cancel(world) == (409, "payout_being_sent")
    assert await world.held("alice") == (0, 6000, 0)


async def test_nobody_sends_what_is_being_cancelled(world):
    world.paying.sending._lease = timedelta(minutes=1)
    payout, find, reached = await world.last("alice"), world.provider.find_transfer, asyncio.Event()
    free = asyncio.Event()

    async def slow(payout_id):
        reached.set()
        await free.wait()
        return await find(payout_id)

    world.provider.find_transfer = slow
    cancelling = asyncio.create_task(cancel(world))
    await reached.wait()
    assert await world.paying.sending.send(payout.id) is None
    free.set()
    assert (await cancelling)[0] == 200
    assert not world.provider.transfers


async def test_many_cancel_once(world):
    answers = await asyncio.gather(*(cancel(world) for _ in range(5)))
    assert 200 in {status for status, _ in answers}
    assert await world.held("alice") == (6000, 0, 0)
    audited = "SELECT count(*) FROM audit_log WHERE action = 'payout.cancelled'"
    assert await world.database.fetch_value(audited) == 1
    assert await world.is_right()


async def test_a_provider_that_does_not_answer_keeps_it_waiting(world):
    world.provider.is_down = True
    assert (await cancel(world))[0] == 503
    assert await world.held("alice") == (0, 6000, 0)


async def test_a_refusal_after_the_first_attempt_waits_for_an_administrator(world):
    world.provider.before = TransferRefused("no")
    assert await world.paying.sending.send((await world.last("alice")).id) is PayoutState.PENDING
    assert (await cancel(world))[0] == 200
    assert await world.held("alice") == (6000, 0, 0)


async def test_another_provider_does_not_know(world):
    """Only the administrator does, unless the payout is of the test provider or was never tried."""
    payout, admin = await world.last("alice"), world.people["admin"].id
    await world.database.execute("UPDATE payouts SET provider = 'stripe'")
    assert await cancel(world) == (409, "payout_maybe_paid")
    assert await world.held("alice") == (0, 6000, 0)
    assert (await cancel(world, isUnpaid=True))[0] == 200
    assert await world.held("alice") == (6000, 0, 0)
    again = await world.paying.payouts.demand(world.people["alice"].id, "again")
    assert again.id != payout.id
    stripe = Paying(world.database, FakePayouts(ProviderName.STRIPE)).sending
    assert (await stripe.cancel(admin, "", again.id, False)).state is PayoutState.FAILED
    assert await world.is_right()


async def test_an_administrators_word_does_not_count_where_the_provider_can_be_asked(world):
    world.provider.after = TimeoutError()
    await world.paying.sending.send((await world.last("alice")).id)
    assert await cancel(world, isUnpaid=True) == (409, "payout_paid")


async def test_only_administrators_cancel_and_only_payouts(world):
    assert await cancel(world, user="alice") == (403, "forbidden")
    assert await cancel(world, user=None) == (401, "unauthorized")
    assert await cancel(world, new_id()) == (404, "payout_not_found")
    assert await cancel(world, "x") == (404, "payout_not_found")
    for body in ({"isUnpaid": "yes"}, {"sure": True}):
        assert (await cancel(world, **body))[0] == 400
