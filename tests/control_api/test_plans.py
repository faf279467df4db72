"""What creators offer to subscribers."""

import asyncio
from typing import Any

import pytest

from storage.database import Database
from storage.errors import InvalidValue
from storage.ids import new_id
from storage.repositories import Users, UserState
from tests.control_api.subscriptions_world import (
    MONTHLY,
    YEARLY,
    SubscriptionsWorld,
    subscriptions_world,
)


@pytest.fixture
async def world(database: Database, aiohttp_client: Any) -> SubscriptionsWorld:
    return await subscriptions_world(database, aiohttp_client)


async def plans_of(world: SubscriptionsWorld, asking: str | None = None) -> Any:
    return (await world.call("GET", f"/users/{world.people['alice'].id}/plans", asking))[1]


async def test_everybody_sees_what_is_offered(world: SubscriptionsWorld):
    [plan] = await plans_of(world)
    assert plan == world.plan
    assert (plan["name"], plan["currency"], plan["active"]) == ("Regular", "usd", True)
    assert (plan["monthlyPrice"], plan["yearlyPrice"]) == (MONTHLY, YEARLY)


async def test_what_is_not_offered_any_more_is_seen_by_its_creator_alone(world: SubscriptionsWorld):
    status, plan = await world.call("PATCH", f"/plans/{world.plan['id']}", "alice", json={"active": False})
    assert (status, plan["active"]) == (200, False)
    assert await plans_of(world) == await plans_of(world, "bob") == []
    assert await plans_of(world, "alice") == [plan]


async def test_a_change_leaves_the_rest(world: SubscriptionsWorld):
    path = f"/plans/{world.plan['id']}"
    _, changed = await world.call("PATCH", path, "alice", json={"description": " For\r\nall "})
    assert changed == {**world.plan, "description": "For\nall"}
    _, changed = await world.call("PATCH", path, "alice", json={"monthlyPrice": 700, "yearlyPrice": None})
    assert (changed["monthlyPrice"], changed["yearlyPrice"], changed["name"]) == (700, None, "Regular")
    assert await plans_of(world) == [changed]


async def test_a_price_that_stays_is_no_new_one(world: SubscriptionsWorld):
    await world.call("PATCH", f"/plans/{world.plan['id']}", "alice", json={"monthlyPrice": MONTHLY})
    assert await world.database.fetch_value("SELECT count(*) FROM plan_prices") == 2


@pytest.mark.parametrize("sql", ["UPDATE plan_prices SET amount = 1", "DELETE FROM plan_prices"])
async def test_the_database_lets_nobody_change_a_price(world: SubscriptionsWorld, sql: str):
    with pytest.raises(InvalidValue, match="plan_prices_immutable"):
        await world.database.execute(sql)


@pytest.mark.parametrize(
    "change",
    [
        {"monthlyPrice": None, "yearlyPrice": None},
        {"monthlyPrice": 99},
        {"monthlyPrice": 10_000_001},
        {"monthlyPrice": "500"},
        {"monthlyPrice": 5.5},
        {"name": ""},
        {"name": " "},
        {"name": "x" * 51},
        {"name": "a\x00b"},
        {"name": "a\nb"},
        {"name": None},
        {"description": "x" * 501},
        {"description": "a\x00b"},
        {"description": "\u202edlog"},
        {"active": "no"},
        {"currency": "eur"},
    ],
)
async def test_what_no_plan_may_be(world: SubscriptionsWorld, change: dict[str, Any]):
    path = f"/plans/{world.plan['id']}"
    assert (await world.call("PATCH", path, "alice", json=change))[0] == 400
    offer = {"name": "Other", "monthlyPrice": 500, **change}
    assert (await world.call("POST", "/plans", "alice", json=offer))[0] == 400
    assert await plans_of(world, "alice") == [world.plan]


async def test_plans_are_for_creators(world: SubscriptionsWorld):
    offer = {"name": "Mine", "monthlyPrice": 500}
    assert await world.call("POST", "/plans", "bob", json=offer) == (403, "creators_only")
    path = f"/plans/{world.plan['id']}"
    assert await world.call("PATCH", path, "bob", json={"name": "x"}) == (403, "creators_only")
    assert await world.call("PATCH", path, "carol", json={"name": "x"}) == (404, "plan_not_found")
    assert (await world.call("PATCH", path, json={"name": "x"}))[0] == 401


async def test_plans_that_are_not_there(world: SubscriptionsWorld):
    for plan_id in (new_id(), "x"):
        answer = await world.call("PATCH", f"/plans/{plan_id}", "alice", json={"name": "x"})
        assert answer == (404, "plan_not_found")
    assert await world.call("GET", f"/users/{new_id()}/plans") == (404, "user_not_found")
    await Users(world.database).set_state(world.people["alice"].id, UserState.BANNED)
    assert await world.call("GET", f"/users/{world.people['alice'].id}/plans") == (404, "user_not_found")


async def test_there_are_not_more_than_so_many_even_if_asked_for_at_once(world: SubscriptionsWorld):
    offer = {"name": "More", "yearlyPrice": 5000}
    made = await asyncio.gather(*(world.call("POST", "/plans", "alice", json=offer) for _ in range(25)))
    codes = [answer if status == 409 else status for status, answer in made]
    assert (codes.count(201), codes.count("too_many_plans")) == (19, 6)
    _, first = await world.call("GET", f"/users/{world.people['alice'].id}/plans?limit=15")
    assert len(first) == 15
