"""Payouts: from earnings to a bank or back, once, whatever happens in between."""

import asyncio
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from control_api.errors import unavailable
from control_api.payments.payout_ports import TransferRefused
from control_api.payments.ports import NotUnderstood, TooEarly
from control_api.services.notification_kinds import words_of
from storage.ids import new_id
from storage.repositories.account_data import AccountData
from storage.repositories.ledger import TransferKind
from storage.repositories.ledger_accounts import AccountKind
from storage.repositories.notifications_store import NotificationStore
from storage.repositories.payouts import MAX_PAYOUT, PayoutState, ProviderName
from tests.control_api.payouts_world import FakePayouts, Killed, Paying, payouts_world


@pytest.fixture
async def world(database, aiohttp_client):
    world = await payouts_world(database, aiohttp_client)
    await world.onboard("alice")
    await world.earn("alice", 6000)
    return world


async def demand(world, user="alice", key=None):
    return await world.call("POST", "/payouts", user, key)


async def test_what_was_earned_is_paid(world):
    status, payout = await demand(world)
    assert (status, payout["state"], payout["amount"], payout["currency"]) == (201, "pending", 6000, "usd")
    assert await world.held("alice") == (0, 6000, 0)
    await world.paying.job.work_once()
    assert await world.held("alice") == (0, 0, 6000)
    assert await world.states("alice") == ["paid"]
    (order,) = world.provider.transfers.values()
    assert (order.amount, order.currency, str(order.payout_id)) == (6000, "usd", payout["id"])
    assert await world.is_right()


async def test_the_same_key_pays_once(world):
    key = str(new_id())
    first = (await demand(world, key=key))[1]
    await world.paying.job.work_once()
    await world.earn("alice", 9000)
    again = await world.paying.payouts.demand(world.people["alice"].id, key)
    assert str(again.id) == first["id"]
    assert await world.held("alice") == (9000, 0, 6000)


async def test_of_many_demands_at_once_one_is_begun(world):
    answers = await asyncio.gather(*(demand(world) for _ in range(6)))
    assert sorted(status for status, _ in answers) == [201] + [409] * 5
    assert {code for status, code in answers if status == 409} == {"payout_in_progress"}
    assert await world.held("alice") == (0, 6000, 0)


async def test_the_same_demand_at_once_is_one(world):
    user, key = world.people["alice"].id, str(new_id())
    payouts = await asyncio.gather(*(world.paying.payouts.demand(user, key) for _ in range(5)))
    assert len({payout.id for payout in payouts}) == 1


async def test_who_is_not_onboarded_is_not_paid(world):
    await world.earn("carol", 6000)
    assert await demand(world, "carol") == (409, "payout_not_onboarded")
    assert await world.held("carol") == (6000, 0, 0)


async def test_less_than_the_minimum_stays(world):
    await world.onboard("carol")
    await world.earn("carol", 4999)
    assert await demand(world, "carol") == (409, "below_payout_minimum")
    await world.earn("carol", 1)
    assert (await demand(world, "carol"))[0] == 201


async def test_a_demand_needs_a_key_and_somebody(world):
    assert await world.call("POST", "/payouts", "alice", key="") == (400, "invalid_request")
    assert await world.call("POST", "/payouts") == (401, "unauthorized")


async def test_who_is_banned_is_not_paid(world):
    sql = "UPDATE users SET state = 'banned' WHERE id = $1"
    await world.database.execute(sql, world.people["alice"].id)
    assert await demand(world) == (409, "account_not_active")


async def test_more_than_the_provider_takes_is_paid_in_parts(world):
    await world.earn("alice", MAX_PAYOUT)
    assert (await demand(world))[1]["amount"] == MAX_PAYOUT
    assert await world.held("alice") == (6000, MAX_PAYOUT, 0)


async def test_a_debt_is_repaid_first(world):
    await world.owe("alice", 400)
    await world.owe("alice", 300, "coin")
    assert (await demand(world))[1]["amount"] == 5300
    assert await world.held("alice") == (0, 5300, 0)
    assert await world.is_right()
    assert (await world.call("GET", "/payouts", "alice"))[1][0]["amount"] == 5300


async def test_a_debt_that_leaves_too_little_is_repaid_all_the_same(world):
    await world.owe("alice", 2000)
    assert await demand(world) == (409, "below_payout_minimum")
    assert await world.held("alice") == (4000, 0, 0)


async def test_a_debt_may_take_everything(world):
    await world.owe("alice", 7000)
    assert await demand(world) == (409, "below_payout_minimum")
    assert await world.held("alice") == (0, 0, 0)
    assert await world.is_right()


async def test_what_the_provider_refuses_is_returned(world):
    world.provider.before = TransferRefused("This account cannot be paid.")
    await demand(world)
    await world.paying.job.work_once()
    assert await world.held("alice") == (6000, 0, 0)
    last = await world.last("alice")
    assert (last.state, last.problem) == (PayoutState.FAILED, "This account cannot be paid.")
    assert await world.is_right()


async def send(world):
    """An attempt, as long as nobody is killed by it."""
    last = await world.last("alice")
    return await world.paying.sending.send(last.id)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("fault", [Killed(), unavailable("busy"), TimeoutError()], ids=str)
async def test_nothing_is_paid_twice_after_a_fault(world, moment, fault):
    """``before``: the money was not sent. ``after``: it was, and nobody heard."""
    await demand(world)
    setattr(world.provider, moment, fault)
    if isinstance(fault, Killed):
        with pytest.raises(Killed):
            await send(world)
    else:
        assert await send(world) is PayoutState.PENDING
    assert await world.held("alice") == (0, 6000, 0)
    assert await send(world) is PayoutState.PAID
    assert len(world.provider.transfers) == 1
    assert world.provider.asked == (2 if moment == "before" else 1)
    assert await world.held("alice") == (0, 0, 6000)
    assert await world.is_right()


async def test_a_crash_before_the_end_is_written_down(world, monkeypatch):
    await demand(world)

    async def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("control_api.services.payout_sending._post", killed)
        with pytest.raises(Killed):
            await send(world)
    assert await world.held("alice") == (0, 6000, 0)
    assert await send(world) is PayoutState.PAID
    assert (world.provider.asked, len(world.provider.transfers)) == (1, 1)


async def test_a_crash_while_it_begins_leaves_nothing(world, monkeypatch):
    async def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("control_api.services.payouts._set_aside", killed)
        with pytest.raises(Killed):
            await world.paying.payouts.demand(world.people["alice"].id, "a key")
    assert await world.held("alice") == (6000, 0, 0)
    assert await world.states("alice") == []


async def test_who_sends_at_the_same_time_sends_once(world):
    await demand(world)
    last = await world.last("alice")
    others = [Paying(world.database, world.provider) for _ in range(4)]
    await asyncio.gather(*(other.sending.send(last.id) for other in others))
    assert len(world.provider.transfers) == 1
    assert await world.held("alice") == (0, 0, 6000)
    assert await world.is_right()


async def test_a_payout_waits_for_the_provider_it_was_begun_with(world):
    await demand(world)
    other = Paying(world.database, FakePayouts(ProviderName.STRIPE))
    last = await world.last("alice")
    assert await other.sending.send(last.id) is PayoutState.PENDING
    assert await world.held("alice") == (0, 6000, 0)


async def paid(world):
    await demand(world)
    await world.paying.job.work_once()
    return await world.last("alice")


async def test_what_comes_back_is_earned_again(world):
    payout = await paid(world)
    reversal = {"id": payout.reference, "amount": 6000, "amount_reversed": 1000}
    for _ in range(2):
        await world.tell("transfer.reversed", reversal)
    assert await world.held("alice") == (1000, 0, 5000)
    assert await world.states("alice") == ["paid"]
    await world.tell("transfer.reversed", reversal | {"amount_reversed": 6000})
    await world.tell("transfer.reversed", reversal)
    assert await world.held("alice") == (6000, 0, 0)
    assert await world.states("alice") == ["reversed"]
    assert await world.is_right()


async def test_no_more_comes_back_than_was_paid(world):
    payout = await paid(world)
    await world.tell("transfer.reversed", {"id": payout.reference, "amount_reversed": 10**12})
    assert await world.held("alice") == (6000, 0, 0)


async def test_a_reversal_waits_for_the_payout_to_be_known_as_paid(world):
    await demand(world)
    payout = await world.last("alice")
    event = {"id": "tr_x", "amount_reversed": 6000, "metadata": {"payout_id": str(payout.id)}}
    with pytest.raises(TooEarly):
        await world.tell("transfer.reversed", event)
    await world.paying.job.work_once()
    await world.tell("transfer.reversed", event)
    assert await world.held("alice") == (6000, 0, 0)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"id": 5},
        {"id": "tr_nobody", "amount_reversed": 5},
        {"metadata": {"payout_id": "x"}},
        {"metadata": {"payout_id": 7}},
        {"metadata": [], "amount_reversed": "all"},
        {"metadata": {"payout_id": "01a1ff00-0000-7000-8000-000000000000"}, "amount_reversed": 1},
        {"id": "\0"},
        {"requirements": [], "capabilities": 3, "id": "acct_x"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["transfer.reversed", "payout.failed", "account.updated"])
async def test_events_of_nothing_do_nothing(world, kind, data):
    with suppress(NotUnderstood):
        await world.tell(kind, data)
    assert await world.held("alice") == (6000, 0, 0)


@pytest.mark.parametrize("amount", [None, "6000", -5, 0, True, 1.5])
async def test_a_reversal_of_no_amount_returns_nothing(world, amount):
    payout = await paid(world)
    with pytest.raises(NotUnderstood) if amount != 0 else nullcontext():
        await world.tell("transfer.reversed", {"id": payout.reference, "amount_reversed": amount})
    assert await world.held("alice") == (0, 0, 6000)


async def test_a_banks_refusal_is_told(world):
    payout = await paid(world)
    metadata = {"payout_id": str(payout.id)}
    await world.tell("payout.failed", {"metadata": metadata, "failure_message": "Account closed"})
    last = await world.last("alice")
    assert (last.state, last.problem) == (PayoutState.PAID, "Account closed")


async def test_creators_are_told_how_it_ended(world):
    world.provider.before = TransferRefused("no")
    await demand(world)
    await world.paying.job.work_once()
    await paid(world)
    store, alice = NotificationStore(world.database), world.people["alice"].id
    told = await store.page(alice, None, 9)
    assert [each.kind for each in told] == ["payout_paid", "payout_failed"]
    assert [each.data["amountText"] for each in told] == ["60.00 USD"] * 2
    assert len(world.paying.told) == 2
    assert "60.00 USD" in words_of(told[1].kind, told[1].data).text
    assert words_of(told[0].kind, told[0].data).title == "Payout sent"


async def test_administrators_see_all_and_others_nothing(world):
    await demand(world)
    status, (payout,) = await world.call("GET", "/admin/payouts?state=pending", "admin")
    assert (status, payout["username"], payout["account"][:5]) == (200, "alice", "acct_")
    assert await world.call("GET", "/admin/payouts?state=paid", "admin") == (200, [])
    assert len((await world.call("GET", "/admin/payouts", "admin"))[1]) == 1
    assert await world.call("GET", "/admin/payouts", "alice") == (403, "forbidden")
    path = f"/admin/payouts/{payout['id']}/retry"
    assert await world.call("POST", path, "alice") == (403, "forbidden")
    assert await world.call("GET", "/payouts", "bob") == (200, [])


async def retry(world, payout_id):
    return await world.call("POST", f"/admin/payouts/{payout_id}/retry", "admin")


async def test_a_failed_payout_is_tried_again_once(world):
    world.provider.before = TransferRefused("no")
    failed = (await demand(world))[1]["id"]
    await world.paying.job.work_once()
    status, again = await retry(world, failed)
    assert (status, again["state"], again["retryOf"], again["amount"]) == (200, "pending", failed, 6000)
    await world.paying.job.work_once()
    await world.earn("alice", 6000)
    assert await retry(world, failed) == (409, "payout_already_retried")
    assert await retry(world, again["id"]) == (409, "payout_paid")
    assert await retry(world, new_id()) == (404, "payout_not_found")
    assert await retry(world, "x") == (404, "payout_not_found")
    audited = "SELECT count(*) FROM audit_log WHERE action = 'payout.retried'"
    assert await world.database.fetch_value(audited) == 1
    assert await world.is_right()


async def test_many_retries_at_once_are_one(world):
    world.provider.before = TransferRefused("no")
    failed = (await demand(world))[1]["id"]
    await world.paying.job.work_once()
    answers = await asyncio.gather(*(retry(world, failed) for _ in range(5)))
    assert [status for status, _ in answers].count(200) == 1
    assert await world.held("alice") == (0, 6000, 0)


async def test_a_pending_payout_is_hurried(world):
    payout = (await demand(world))[1]["id"]
    slow = Paying(world.database, world.provider)
    slow.sending._lease = timedelta(hours=1)
    world.provider.is_down = True
    await slow.job.work_once()
    world.provider.is_down = False
    await end_lease(world)
    assert (await slow.job.work_once()).paid == 0
    assert (await retry(world, payout))[0] == 200
    assert (await slow.job.work_once()).paid == 1


async def end_lease(world):
    """As if the time of the last attempt were over, though not the pause after it."""
    await world.database.execute("UPDATE payouts SET lease_until = now()")


async def test_earnings_that_vanish_meanwhile_are_looked_at_again(world, monkeypatch):
    """A dispute takes them between the look and the transfer."""
    taken = False

    async def taking(transaction, user_id, currency, options, scope, cause):
        nonlocal taken
        if not taken:
            taken = True
            earnings, provider = AccountKind.EARNINGS, AccountKind.PROVIDER
            await world.move(earnings, provider, "alice", 500, TransferKind.DISPUTE)
            return 6000
        return 5500

    monkeypatch.setattr("control_api.services.payouts.repay", taking)
    assert (await demand(world))[1]["amount"] == 5500
    assert await world.is_right()


async def test_an_export_of_the_account_has_all_of_it(world):
    await paid(world)
    export = await AccountData(world.database).export(world.people["alice"].id)
    (payout,) = msgspec.json.decode(export["payouts"])
    assert (payout["amount"], payout["state"], payout["currency"]) == (6000, "paid", "usd")
    assert msgspec.json.decode(export["payout-settings"])[0]["schedule"] == "weekly"
    assert msgspec.json.decode(export["payout-accounts"])[0]["state"] == "active"
    assert {"payout", "payout_paid"} <= {each["kind"] for each in msgspec.json.decode(export["wallet"])}


async def test_an_account_that_is_deleted_keeps_its_payouts(world):
    payout, alice = await paid(world), world.people["alice"].id
    async with world.database.transaction() as transaction:
        await AccountData(transaction).remove(alice)
    assert await world.accounts.find(alice) is None
    assert await world.accounts.settings(alice) is None
    await world.tell("transfer.reversed", {"id": payout.reference, "amount_reversed": 6000})
    assert await world.held("alice") == (6000, 0, 0)
    assert await demand(world) == (409, "account_not_active")
    assert await world.is_right()


async def test_lists_have_pages(world):
    for _ in range(3):
        await paid(world)
        await world.earn("alice", 6000)
    page = await world.paying.payouts.list(world.people["alice"].id, None, 2)
    rest = await world.paying.payouts.list(world.people["alice"].id, page.next_cursor, 2)
    assert (len(page.items), len(rest.items), rest.next_cursor) == (2, 1, None)
    assert await world.call("GET", "/payouts?cursor=x", "alice") == (400, "invalid_request")
    assert datetime.now(UTC) - page.items[0].created_at < timedelta(minutes=5)
