"""Wallets: the welcome bonus, what is in them, an administrator's hand."""

import asyncio

import pytest

from control_api.services.account_view import AccountViews
from storage.ids import new_id
from storage.repositories.credentials import Credentials
from tests.control_api.money_world import NO_BONUS, money_world

EMPTY = {"coins": 0, "gems": 0, "earnings": 0, "pendingEarnings": 0, "debtCoins": 0, "currency": "usd"}


@pytest.fixture
async def world(database, aiohttp_client):
    return await money_world(database, aiohttp_client)


async def test_a_wallet_is_empty_at_first(world):
    assert await world.call("GET", "/wallet", "bob") == (200, EMPTY)
    assert await world.call("GET", "/wallet/transactions", "bob") == (200, [])
    assert await world.call("GET", "/wallet") == (401, "unauthorized")


async def test_who_verified_the_address_is_welcomed_once(world):
    await world.call("GET", "/wallet", "bob")
    await world.verify("bob")
    for _ in range(2):
        assert (await world.call("GET", "/wallet", "bob"))[1]["coins"] == 100
    _, told = await world.call("GET", "/wallet/transactions", "bob")
    assert [(each["kind"], each["amount"], each["currency"]) for each in told] == [("bonus", 100, "coin")]
    assert await world.money.is_right()


async def test_the_bonus_comes_once_to_many_at_the_same_moment(world):
    await world.verify("bob")
    await asyncio.gather(*(world.call("GET", "/wallet", "bob") for _ in range(10)))
    assert await world.coins("bob") == 100


async def test_the_bonus_does_not_come_again_once_spent(world):
    await world.verify("bob")
    assert (await world.tip(100))[0] == 201
    assert await world.coins("bob") == 0


async def test_the_account_shows_the_wallet(world):
    await world.verify("bob")
    bob = await Credentials(world.database).find_by_id(world.people["bob"].id)
    assert (await AccountViews(world.money.wallets).of(bob)).wallet.coins == 100


async def test_there_may_be_no_bonus(database, aiohttp_client):
    world = await money_world(database, aiohttp_client, NO_BONUS)
    await world.verify("bob")
    assert await world.call("GET", "/wallet", "bob") == (200, EMPTY)


async def test_an_administrator_puts_in_and_takes_out(world):
    assert (await world.endow("bob", 50, 7))[1] == EMPTY | {"coins": 50, "gems": 7}
    assert (await world.endow("bob", -20))[1] == EMPTY | {"coins": 30, "gems": 7}
    details = await world.database.fetch_value(
        "SELECT details->>'reason' FROM audit_log WHERE action = 'wallet.adjusted' LIMIT 1"
    )
    assert details == "For a test"
    _, told = await world.call("GET", "/wallet/transactions?account=wallet", "bob")
    assert [(each["amount"], each["currency"], each["reason"]) for each in told] == [
        (-20, "coin", "For a test"),
        (50, "coin", "For a test"),
        (7, "gem", "For a test"),
    ]
    assert await world.money.is_right()


async def test_an_adjustment_takes_no_more_than_there_is(world):
    await world.endow("bob", 10)
    assert await world.endow("bob", -11) == (409, "insufficient_balance")
    assert await world.endow("bob", 5, -1) == (409, "insufficient_balance")
    assert await world.coins("bob") == 10
    assert await world.database.fetch_value("SELECT count(*) FROM audit_log") == 1


async def test_the_same_adjustment_counts_once(world):
    path = f"/admin/wallets/{world.people['bob'].id}/adjust"
    body = {"coins": 5, "reason": "Once"}
    for _ in range(2):
        assert (await world.call("POST", path, "admin", "key", json=body))[0] == 200
        await world.database.execute("DELETE FROM idempotency_keys")
    assert await world.coins("bob") == 5
    answer = await world.call("POST", path, "admin", "key", json=body | {"coins": 6})
    assert answer == (422, "idempotency_key_reused")
    assert await world.database.fetch_value("SELECT count(*) FROM audit_log") == 1


@pytest.mark.parametrize(
    "body",
    [
        {"coins": 5},
        {"reason": "Nothing"},
        {"coins": 0, "gems": 0, "reason": "Nothing"},
        {"coins": 10**9 + 1, "reason": "x"},
        {"coins": -(2**63), "reason": "x"},
        {"coins": 1.5, "reason": "x"},
        {"coins": 5, "reason": ""},
        {"coins": 5, "reason": " "},
        {"coins": 5, "reason": "a\x00b"},
        {"coins": 5, "reason": "a" * 201},
        {"coins": 5, "reason": "x", "money": 5},
    ],
)
async def test_what_is_no_adjustment_is_refused(world, body):
    path = f"/admin/wallets/{world.people['bob'].id}/adjust"
    assert (await world.call("POST", path, "admin", json=body))[0] == 400
    assert await world.coins("bob") == 0


async def test_only_administrators_adjust_and_only_users(world):
    body = {"coins": 5, "reason": "x"}
    mine = f"/admin/wallets/{world.people['bob'].id}/adjust"
    assert await world.call("POST", mine, "bob", json=body) == (403, "forbidden")
    path = f"/admin/wallets/{new_id()}/adjust"
    assert await world.call("POST", path, "admin", json=body) == (404, "user_not_found")


async def test_transactions_come_in_pages(world):
    for coins in (1, 2, 3):
        await world.endow("bob", coins, coins)
    seen, cursor = [], ""
    while cursor is not None:
        path = f"/wallet/transactions?limit=2{cursor and f'&cursor={cursor}'}"
        _, body, _ = await world.api.call("GET", path, "bob")
        seen += [(each["amount"], each["currency"]) for each in body["data"]]
        cursor = body["meta"]["nextCursor"]
    assert seen == [(amount, currency) for amount in (3, 2, 1) for currency in ("coin", "gem")]


@pytest.mark.parametrize("query", ["cursor=x", "limit=0", "account=platform", "account=", "who=alice"])
async def test_a_page_of_something_else(world, query):
    assert await world.call("GET", f"/wallet/transactions?{query}", "bob") == (400, "invalid_request")
