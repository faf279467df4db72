"""An administrator adds to earnings and takes from them, with a reason, once."""

import asyncio

import pytest

from control_api.routes.admin_money import AdminMoneyRoutes
from control_api.services.admin_money import AdminMoneyService, EarningsAdjustment
from storage.ids import new_id
from tests.control_api.payouts_world import payouts_world
from tests.control_api.serving import serve


@pytest.fixture
async def world(database, aiohttp_client):
    world = await payouts_world(database, aiohttp_client)
    world.service = AdminMoneyService(database, world.world.money.accounts)
    people = world.people.values()
    world.world.api = await serve(AdminMoneyRoutes(world.service), database, aiohttp_client, *people)
    return world


async def adjust(world, amount, user="admin", key=None, **fields):
    path = f"/admin/earnings/{world.people['alice'].id}/adjust"
    body = {"amount": amount, "reason": "A mistake of ours", **fields}
    return await world.call("POST", path, user, key, json=body)


async def test_earnings_are_put_right(world):
    view = {"earnings": 500, "pending": 0, "currency": "usd"}
    assert await adjust(world, 500) == (200, view)
    assert await adjust(world, -200) == (200, view | {"earnings": 300})
    assert await adjust(world, 7, currency="eur") == (200, {"earnings": 7, "pending": 0, "currency": "eur"})
    sql = "SELECT details->>'reason' FROM audit_log WHERE action = 'earnings.adjusted' LIMIT 1"
    assert await world.database.fetch_value(sql) == "A mistake of ours"
    assert await world.is_right()


async def test_no_more_is_taken_than_there_is(world):
    await adjust(world, 100)
    assert await adjust(world, -101) == (409, "insufficient_balance")
    assert await world.held("alice") == (100, 0, 0)


async def test_a_key_does_it_once(world):
    admin, alice, key = world.people["admin"].id, world.people["alice"].id, str(new_id())
    wanted = EarningsAdjustment(100, None, "x")
    await asyncio.gather(*(world.service.adjust(admin, "", alice, key, wanted) for _ in range(5)))
    assert await world.held("alice") == (100, 0, 0)
    assert await adjust(world, 101, key=key) == (422, "idempotency_key_reused")
    assert await world.database.fetch_value("SELECT count(*) FROM audit_log") == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": 0},
        {"amount": 10**20},
        {"amount": 1.5},
        {"amount": "1"},
        {"reason": ""},
        {"reason": "a\ab"},
        {"reason": "x" * 201},
        {"currency": "coin"},
        {"currency": "gem"},
        {"currency": "eur\n"},
        {"currency": "US"},
        {"coins": 5},
    ],
    ids=str,
)
async def test_what_cannot_be_is_refused(world, fields):
    assert await adjust(world, **{"amount": 5, **fields}) == (400, "invalid_request")


async def test_a_currency_that_cannot_be_is_told_by_its_field(world):
    path = f"/admin/earnings/{world.people['alice'].id}/adjust"
    body, headers = {"amount": 5, "reason": "x", "currency": "eur\n"}, {"Idempotency-Key": "x"}
    _, answer, _ = await world.world.api.call("POST", path, "admin", json=body, headers=headers)
    assert answer["details"][0]["field"] == "currency"


async def test_who_may_do_it_to_whom(world):
    assert await adjust(world, 5, "alice") == (403, "forbidden")
    assert await adjust(world, 5, None) == (401, "unauthorized")
    for user in (new_id(), "x"):
        body = {"amount": 5, "reason": "x"}
        assert await world.call("POST", f"/admin/earnings/{user}/adjust", "admin", json=body) == (
            404,
            "user_not_found",
        )
