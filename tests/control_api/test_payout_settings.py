"""Where and how often creators are paid, and the way through the provider's onboarding."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from control_api.payments.payout_ports import Standing
from storage.repositories import Users
from storage.repositories.ledger import TransferKind
from storage.repositories.ledger_accounts import AccountKind
from storage.repositories.payouts import Onboarding, PayoutAccounts
from tests.control_api.payouts_world import BASE, LONG_AGO, payouts_world

SETTINGS = "/payouts/settings"


@pytest.fixture
async def world(database, aiohttp_client):
    return await payouts_world(database, aiohttp_client)


async def test_there_are_settings_before_anybody_chose(world):
    status, settings = await world.call("GET", SETTINGS, "alice")
    assert (status, settings["schedule"], settings["minimum"], settings["currency"]) == (
        200,
        "monthly",
        5000,
        "usd",
    )
    assert (settings["onboarding"], settings["problem"], settings["least"]) == (None, "", 5000)
    assert await world.call("GET", SETTINGS) == (401, "unauthorized")


@pytest.mark.parametrize("schedule", ["weekly", "biweekly", "monthly", "manual"])
async def test_settings_are_kept(world, schedule):
    body = {"schedule": schedule, "minimum": 7500, "currency": "usd"}
    status, changed = await world.call("PUT", SETTINGS, "alice", json=body)
    assert (status, changed["schedule"], changed["minimum"]) == (200, schedule, 7500)
    assert (changed["nextAt"] is None) == (schedule == "manual")
    assert await world.call("GET", SETTINGS, "alice") == (200, changed)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"schedule": "daily"},
        {"schedule": "weekly", "minimum": 4999},
        {"schedule": "weekly", "minimum": 10**20},
        {"schedule": "weekly", "minimum": 100_000_000},
        {"schedule": "weekly", "minimum": -1},
        {"schedule": "weekly", "minimum": "5000"},
        {"schedule": "weekly", "minimum": 5000.5},
        {"schedule": "weekly", "currency": "eur"},
        {"schedule": "weekly", "currency": "coin"},
        {"schedule": "weekly", "currency": "USD"},
        {"schedule": "weekly", "account": "acct_x"},
    ],
    ids=str,
)
async def test_settings_that_cannot_be(world, body):
    assert await world.call("PUT", SETTINGS, "alice", json=body) == (400, "invalid_request")


async def set_settings(world, etag, **body):
    """The status, and the new ETag."""
    headers = {"If-Match": etag}
    body = {"schedule": "weekly", **body}
    status, _, sent = await world.world.api.call("PUT", SETTINGS, "alice", json=body, headers=headers)
    return status, sent.get("ETag")


async def test_who_has_not_seen_the_last_change_changes_nothing(world):
    _, _, sent = await world.world.api.call("GET", SETTINGS, "alice")
    first = sent["ETag"]
    status, second = await set_settings(world, first, minimum=6000)
    assert (status, second != first) == (200, True)
    assert (await set_settings(world, first, minimum=7000))[0] == 412
    status, body, sent = await world.world.api.call("GET", SETTINGS, "alice")
    assert (body["data"]["minimum"], sent["ETag"]) == (6000, second)
    assert (await set_settings(world, second, minimum=7000))[0] == 200


async def test_of_two_who_change_the_same_at_once_one_does(world):
    for least in (6000, 7000):
        _, _, sent = await world.world.api.call("GET", SETTINGS, "alice")
        answers = await asyncio.gather(
            *(set_settings(world, sent["ETag"], minimum=minimum + 1) for minimum in range(least, least + 4))
        )
        assert sorted(status for status, _ in answers) == [200, 412, 412, 412]


async def test_to_keep_a_schedule_does_not_bring_back_a_turn_that_was_taken(world):
    await world.onboard("alice")
    alice, following = world.people["alice"].id, datetime(2027, 1, 4, tzinfo=UTC)
    async with world.database.transaction() as transaction:
        # As the payout job does.
        await Users(transaction).lock(alice)
        changing = asyncio.create_task(
            world.call("PUT", SETTINGS, "alice", json={"schedule": "weekly", "minimum": 6000})
        )
        await waits_for_a_lock(world.database)
        assert await PayoutAccounts(transaction).take_turn(alice, LONG_AGO, following)
    assert (await changing)[0] == 200
    assert (await world.accounts.settings(alice)).due_at == following


async def waits_for_a_lock(database):
    sql = """SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    async with asyncio.timeout(10):
        while not await database.fetch_value(sql):  # noqa: ASYNC110 (only the database knows)
            await asyncio.sleep(0.005)


async def test_to_keep_a_schedule_does_not_put_off_the_turn(world):
    await world.onboard("alice")
    await world.call("PUT", SETTINGS, "alice", json={"schedule": "weekly", "minimum": 6000})
    assert (await world.accounts.settings(world.people["alice"].id)).due_at == LONG_AGO


async def test_a_currency_that_was_earned_may_be_chosen(world):
    platform, earnings = AccountKind.PLATFORM, AccountKind.EARNINGS
    await world.move(platform, earnings, "alice", 10, TransferKind.ADJUSTMENT, "eur")
    status, changed = await world.call(
        "PUT", SETTINGS, "alice", json={"schedule": "weekly", "currency": "eur"}
    )
    assert (status, changed["currency"]) == (200, "eur")


async def test_gems_are_no_currency_to_be_paid_in(world):
    platform, earnings = AccountKind.PLATFORM, AccountKind.EARNINGS
    await world.move(platform, earnings, "alice", 10, TransferKind.ADJUSTMENT, "gem")
    body = {"schedule": "weekly", "currency": "gem"}
    assert await world.call("PUT", SETTINGS, "alice", json=body) == (400, "invalid_request")


async def test_onboarding_leads_to_the_provider_and_back(world):
    status, answer = await world.call("POST", "/payouts/onboarding", "alice")
    account = f"acct_{world.people['alice'].id.hex}"
    assert (status, answer["url"]) == (200, f"https://provider.example/{account}")
    for address in (world.provider.links.done, world.provider.links.expired):
        assert address.startswith(f"{BASE}/api/v1/payouts/onboarding/")
        page = await world.world.api.client.get(address.removeprefix(BASE))
        assert (page.status, page.content_type) == (200, "text/html")
    _, settings = await world.call("GET", SETTINGS, "alice")
    assert (settings["onboarding"], settings["schedule"]) == ("pending", "monthly")
    assert settings["nextAt"] is not None


async def test_onboarding_goes_on_with_the_same_account(world):
    for _ in range(2):
        assert (await world.call("POST", "/payouts/onboarding", "alice"))[0] == 200
    assert len(world.provider.opened) == 1


async def test_onboarding_ends(world):
    await world.call("POST", "/payouts/onboarding", "alice")
    account = f"acct_{world.people['alice'].id.hex}"
    world.provider.standings[account] = Standing(account, Onboarding.ACTIVE)
    assert await world.call("POST", "/payouts/onboarding", "alice") == (409, "already_onboarded")
    assert (await world.call("GET", SETTINGS, "alice"))[1]["onboarding"] == "active"


async def test_onboarding_while_the_provider_is_down(world):
    world.provider.is_down = True
    assert await world.call("POST", "/payouts/onboarding", "alice") == (503, "unavailable")
    assert (await world.call("GET", SETTINGS, "alice"))[1]["onboarding"] is None


def account(state: str, name: str) -> dict:
    """As Stripe describes it."""
    return {
        "id": name,
        "payouts_enabled": state == "active",
        "details_submitted": state != "pending",
        "capabilities": {"transfers": "active" if state == "active" else "pending"},
        "requirements": {"currently_due": ["individual.id_number"], "disabled_reason": "requirements.due"},
    }


async def test_the_provider_tells_of_accounts_in_any_order(world):
    await world.call("POST", "/payouts/onboarding", "alice")
    name, now = f"acct_{world.people['alice'].id.hex}", datetime.now(UTC)

    async def told(state, at):
        await world.tell("account.updated", account(state, name), at)
        settings = (await world.call("GET", SETTINGS, "alice"))[1]
        return settings["onboarding"], settings["problem"]

    assert await told("active", now) == ("active", "")
    assert await told("pending", now - timedelta(minutes=1)) == ("active", "")
    assert await told("restricted", now + timedelta(minutes=1)) == ("restricted", "individual.id_number")
    assert await told("active", now + timedelta(minutes=2)) == ("active", "")


async def test_of_an_account_of_nobody_nothing_is_kept(world):
    await world.tell("account.updated", account("active", "acct_nobody"))
    assert await world.database.fetch_value("SELECT count(*) FROM payout_accounts") == 0
