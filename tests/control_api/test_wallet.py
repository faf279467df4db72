"""Wallets: the welcome bonus, what is in them, an administrator's hand."""

import asyncio
import hashlib

import pytest

from control_api.services.account_view import AccountViews
from control_api.services.money import MoneyOptions
from storage.ids import new_id
from storage.repositories import Users
from storage.repositories.account_data import AccountData
from storage.repositories.credentials import Credentials
from storage.repositories.gift_orders import Asked, GiftOrders
from storage.repositories.ledger import COIN, Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind
from storage.repositories.wallets import BONUS_SCOPE
from tests.control_api.money_world import NO_BONUS, Money, money_world

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


async def remove_account(world, user_id):
    async with world.database.transaction() as transaction:
        await AccountData(transaction).remove(user_id)


async def test_the_bonus_does_not_come_again_to_an_address(world):
    """A deleted account frees its address."""
    await world.verify("bob")
    assert await world.coins("bob") == 100
    await remove_account(world, world.people["bob"].id)
    for number, address in enumerate(("bob@example.com", "BOB@example.com")):
        again = await Users(world.database).add(f"again{number}", address, "hash")
        await world.database.execute("UPDATE users SET email_verified_at = now() WHERE id = $1", again.id)
        assert await world.money.coins(again) == 0
        asked = Asked(again.id, world.room_id, "scope", "key", None)
        (facts,) = await GiftOrders(world.database).facts([asked], "usd")
        assert not facts.is_owed_bonus
        await remove_account(world, again.id)
    assert await world.money.is_right()


async def test_the_bonus_does_not_come_again_with_another_address(world):
    bob = world.people["bob"].id
    await world.verify("bob")
    assert await world.coins("bob") == 100
    await world.database.execute("UPDATE users SET email = 'bob@other.example' WHERE id = $1", bob)
    assert (await Money(world.database, MoneyOptions()).wallets.of(bob)).coins == 100


async def test_a_bonus_from_when_users_were_its_key_counts(world):
    bob = world.people["bob"].id
    bonus, wallet = await world.money.accounts.ids(
        [Account(AccountKind.BONUS, COIN), Account(AccountKind.WALLET, COIN, bob)]
    )
    lines = (Line(bonus, -100), Line(wallet, 100))
    transfer = NewTransfer(TransferKind.BONUS, BONUS_SCOPE, str(bob), "welcome", lines, "Welcome")
    await Ledger(world.database).post(transfer)
    await world.verify("bob")
    assert await world.coins("bob") == 100
    (facts,) = await GiftOrders(world.database).facts([Asked(bob, world.room_id, "s", "k", None)], "usd")
    assert not facts.is_owed_bonus


async def test_of_an_address_only_a_digest_is_kept(world):
    await world.verify("bob")
    await world.coins("bob")
    key = await world.database.fetch_value("SELECT key FROM ledger_transfers WHERE kind = 'bonus'")
    assert len(key) == 64
    assert key not in {hashlib.sha256(text).hexdigest() for text in (b"bob@example.com", b"")}


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
