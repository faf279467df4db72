"""Discount and reward codes: what they do, who may use them, and never more often than they may."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from control_api.services.discounts import DiscountsService
from storage.ids import new_id
from tests.control_api.purchases_world import CHEST, CHEST_COINS, CHEST_PRICE, purchases_world

EXPIRED = "UPDATE discount_codes SET expires_at = now()"


@pytest.fixture
async def world(database, aiohttp_client):
    async with purchases_world(database, aiohttp_client) as world:
        yield world
        assert await world.money.is_right()


async def validate(world, code, user="bob", package=CHEST):
    body = {"code": code} | ({"packageId": str(package)} if package else {})
    return await world.call("POST", "/discounts/validate", user, json=body)


async def redeem(world, code, user="bob", key=None):
    return await world.call("POST", "/discounts/redeem", user, key, json={"code": code})


async def test_a_percentage_makes_a_purchase_cheaper(world):
    await world.add_code("Save-25", percent=25)
    status, checked = await validate(world, "save-25")
    assert status == 200
    assert checked["discount"] == {
        "code": "SAVE-25",
        "kind": "percentage",
        "percent": 25,
        "coins": 0,
        "expiresAt": None,
    }
    assert checked["offer"] == {
        "coins": CHEST_COINS,
        "amount": 824,
        "currency": "usd",
        "saved": 275,
        "bonusCoins": 0,
    }
    order = await world.paid(discountCode="SAVE-25")
    assert order.amount == 824
    assert world.stripe.requests[0].form["line_items[0][price_data][unit_amount]"] == "824"
    assert await world.coins() == CHEST_COINS


async def test_bonus_coins_come_on_top(world):
    await world.add_code("BONUS", "bonus_coins", coins=50)
    order = await world.paid(discountCode="BONUS")
    assert (order.amount, await world.coins()) == (CHEST_PRICE, CHEST_COINS + 50)
    await world.tell("charge.refunded", order.charge(CHEST_PRICE))
    assert (await world.coins(), await world.debt()) == (0, 0)


async def test_nothing_is_cheaper_than_providers_take(world):
    await world.add_code("NEARLY-FREE", percent=90)
    handful = "01900000-0000-7000-8000-000000000101"
    _, checked = await validate(world, "NEARLY-FREE", package=handful)
    assert checked["offer"]["amount"] == 50


async def test_a_reward_gives_coins_by_itself(world):
    await world.add_code("REWARD", "reward", coins=70)
    status, redeemed = await redeem(world, "reward")
    assert (status, redeemed["coins"], redeemed["wallet"]["coins"]) == (200, 70, 70)
    _, told = await world.call("GET", "/wallet/transactions", "bob")
    assert [(each["kind"], each["amount"], each["reason"]) for each in told] == [
        ("reward", 70, "Code REWARD")
    ]


async def test_each_kind_has_its_place(world):
    await world.add_code("REWARD", "reward", coins=70)
    await world.add_code("SAVE-25", percent=25)
    assert await redeem(world, "SAVE-25") == (409, "discount_needs_purchase")
    assert await world.buy(discountCode="REWARD") == (409, "discount_is_reward")
    assert await validate(world, "REWARD") == (409, "discount_is_reward")
    assert (await validate(world, "REWARD", package=None))[1]["offer"] is None
    assert (await validate(world, "SAVE-25", package=None))[0] == 200


@pytest.mark.parametrize("ask", [validate, redeem])
async def test_codes_that_cannot_be_used(world, ask):
    kind = {"kind": "reward", "coins": 1} if ask is redeem else {"percent": 10}
    await world.add_code("FOR-CAROL", userId=str(world.people["carol"].id), **kind)
    await world.add_code("GONE-BY", **kind)
    _, retired = await world.add_code("RETIRED", **kind)
    await world.database.execute(f"{EXPIRED} WHERE code = 'GONE-BY'")
    assert (await world.call("DELETE", f"/admin/discounts/{retired['id']}", "admin"))[0] == 200
    assert await ask(world, "FOR-CAROL") == (404, "discount_not_found")
    assert await ask(world, "GONE-BY") == (409, "discount_expired")
    assert await ask(world, "RETIRED") == (404, "discount_not_found")
    assert await ask(world, "NOBODY") == (404, "discount_not_found")
    assert (await ask(world, "FOR-CAROL", "carol"))[0] == 200


async def test_a_code_can_be_used_so_often_by_each(world):
    await world.add_code("TWICE-EACH", "reward", coins=5, usesPerUser=2)
    answers = [await redeem(world, "TWICE-EACH", user) for user in ("bob", "bob", "bob", "carol")]
    assert [answer[0] for answer in answers] == [200, 200, 409, 200]
    assert answers[2][1] == "discount_used"
    assert await validate(world, "TWICE-EACH", package=None) == (409, "discount_used")


async def test_a_code_can_be_used_once_by_each_unless_it_is_said(world):
    await world.add_code("ONCE", "reward", coins=5)
    await world.add_code("OFTEN", "reward", coins=5, usesPerUser=None)
    assert [(await redeem(world, "ONCE"))[0] for _ in range(2)] == [200, 409]
    assert [(await redeem(world, "OFTEN"))[0] for _ in range(3)] == [200, 200, 200]


async def test_no_reward_is_given_twice_at_the_same_moment(world):
    await world.add_code("ONCE", "reward", coins=5)
    answers = await asyncio.gather(*(redeem(world, "ONCE") for _ in range(10)))
    assert sorted(status for status, _ in answers) == [200] + [409] * 9
    assert await world.coins() == 5


async def test_no_more_rewards_than_there_are_at_the_same_moment(world):
    await world.add_code("THREE", "reward", coins=5, maxUses=3, usesPerUser=None)
    users = ("bob", "carol", "admin", "bob", "carol", "admin", "bob", "carol")
    answers = await asyncio.gather(*(redeem(world, "THREE", user) for user in users))
    assert sorted(status for status, _ in answers) == [200] * 3 + [409] * 5
    assert {answer for status, answer in answers if status == 409} == {"discount_used_up"}
    assert await world.uses("THREE") == 3


async def test_no_code_is_held_by_two_purchases_at_the_same_moment(world):
    await world.add_code("JUST-ONE", percent=50, maxUses=1, usesPerUser=None)
    answers = await asyncio.gather(
        *(world.buy(user, discountCode="JUST-ONE") for user in ("bob", "carol", "admin", "bob"))
    )
    assert sorted(status for status, _ in answers) == [201, 409, 409, 409]
    assert await world.database.fetch_value("SELECT count(*) FROM purchases") == 1


async def test_the_same_redemption_gives_once(world):
    await world.add_code("OFTEN", "reward", coins=5, usesPerUser=None)
    await world.add_code("OTHER", "reward", coins=5, usesPerUser=None)
    key = str(new_id())
    for _ in range(2):
        assert (await redeem(world, "OFTEN", key=key))[1]["coins"] == 5
        await world.database.execute("DELETE FROM idempotency_keys")
    assert await redeem(world, "OTHER", key=key) == (422, "idempotency_key_reused")
    assert (await world.coins(), await world.uses("OFTEN")) == (5, 1)


async def test_the_same_redemption_at_the_same_moment_gives_once(world):
    """Also where nothing before the service knows that it is the same."""
    await world.add_code("JUST-ONE", "reward", coins=5, maxUses=1)
    service = DiscountsService(world.database, world.money.accounts, world.money.wallets)
    bob = world.people["bob"].id
    redeemed = await asyncio.gather(*(service.redeem(bob, "key", "JUST-ONE") for _ in range(4)))
    assert [each.coins for each in redeemed] == [5] * 4
    assert await world.coins() == 5


async def test_one_sees_codes_for_oneself(world):
    bob = str(world.people["bob"].id)
    await world.add_code("FOR-ALL", percent=10)
    await world.add_code("BOBS-OWN", percent=10, userId=bob)
    await world.add_code("BOBS-REWARD", "reward", coins=5, userId=bob)
    await redeem(world, "BOBS-REWARD")
    _, codes = await world.call("GET", "/discounts/mine", "bob")
    assert [each["code"] for each in codes] == ["BOBS-OWN"]
    assert await world.call("GET", "/discounts/mine", "carol") == (200, [])


async def test_only_administrators_make_codes(world):
    body = {"code": "MINE", "kind": "reward", "coins": 5}
    assert await world.call("POST", "/admin/discounts", "bob", json=body) == (403, "forbidden")
    assert await world.call("GET", "/admin/discounts", "bob") == (403, "forbidden")
    assert (await world.add_code("MINE", "reward", coins=5))[0] == 201
    assert await world.add_code("mine", "reward", coins=5) == (409, "code_taken")
    _, codes = await world.call("GET", "/admin/discounts", "admin")
    assert [(each["code"], each["uses"]) for each in codes] == [("MINE", 0)]
    assert await world.call("DELETE", f"/admin/discounts/{new_id()}", "admin") == (404, "discount_not_found")


@pytest.mark.parametrize(
    "fields",
    [
        {"code": "abc"},
        {"code": "-abcd"},
        {"code": "ab cd"},
        {"code": "ab\u00e9cd"},
        {"code": "A" * 33},
        {"percent": 0},
        {"percent": 91},
        {"percent": -1},
        {"percent": 10, "coins": 5},
        {"kind": "reward", "percent": 10},
        {"kind": "reward"},
        {"kind": "bonus_coins", "coins": 1_000_001},
        {"kind": "free"},
        {"maxUses": 0},
        {"maxUses": 2**40},
        {"usesPerUser": 0},
        {"expiresAt": "2020-01-01T00:00:00Z"},
        {"expiresAt": "2090-01-01T00:00:00"},
        {"expiresAt": "9999-12-31T23:59:59-23:59"},
        {"userId": "x"},
    ],
)
async def test_wrong_codes_are_refused(world, fields):
    is_reward = fields.get("kind", "percentage") != "percentage"
    body = {"code": "GOOD", "kind": "percentage"} | ({} if is_reward else {"percent": 10}) | fields
    assert await world.call("POST", "/admin/discounts", "admin", json=body) == (400, "invalid_request")


async def test_a_code_for_nobody_is_refused(world):
    assert await world.add_code("GOOD", percent=10, userId=str(new_id())) == (404, "user_not_found")


async def test_a_code_lasts_until_it_expires(world):
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert (await world.add_code("GOOD", percent=10, expiresAt=soon))[0] == 201
    assert (await validate(world, "GOOD"))[0] == 200
    await world.database.execute(EXPIRED)
    assert await world.buy(discountCode="GOOD") == (409, "discount_expired")
