"""Subscribing to creators, at the test provider."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from storage.database import Database
from storage.ids import new_id
from storage.repositories import Users, UserState
from storage.repositories.subscriptions import Subscriptions
from tests.control_api.subscriptions_world import (
    MONTHLY,
    YEARLY,
    SubscriptionsWorld,
    subscriptions_world,
)


@pytest.fixture
async def world(database: Database, aiohttp_client: Any) -> SubscriptionsWorld:
    return await subscriptions_world(database, aiohttp_client)


async def is_subscriber(world: SubscriptionsWorld, user: str = "bob", creator: str = "alice") -> bool:
    ids = world.people[user].id, world.people[creator].id
    return await Subscriptions(world.database).is_subscriber(*ids)


async def change(world: SubscriptionsWorld, subscription_id: UUID, user: str = "bob", **body: Any) -> Any:
    return await world.call("PATCH", f"/subscriptions/{subscription_id}", user, json=body)


async def cancel(world: SubscriptionsWorld, subscription_id: UUID, user: str = "bob") -> Any:
    return await world.call("DELETE", f"/subscriptions/{subscription_id}", user)


async def another_plan(world: SubscriptionsWorld, user: str = "alice", **prices: int) -> str:
    _, plan = await world.call("POST", "/plans", user, json={"name": "Another", **prices})
    plan_id: str = plan["id"]
    return plan_id


# Beginning


async def test_nothing_is_given_before_it_is_paid(world: SubscriptionsWorld):
    status, made = await world.ask()
    subscription = made["subscription"]
    assert (status, subscription["state"], subscription["givesAccess"]) == (201, "incomplete", False)
    assert (subscription["creator"]["username"], subscription["plan"]) == ("alice", "Regular")
    assert (subscription["interval"], subscription["price"], subscription["currency"]) == (
        "month",
        MONTHLY,
        "usd",
    )
    assert made["checkoutUrl"].startswith("https://video.example/test-subscription/")
    assert not await is_subscriber(world)


async def test_who_has_paid_is_a_subscriber_and_the_creator_gets_their_part(world: SubscriptionsWorld):
    subscription_id = await world.subscribe()
    assert await world.state(subscription_id) == ("active", True)
    assert await is_subscriber(world)
    assert not await is_subscriber(world, "alice", "bob")
    assert await world.held("alice") == 350
    _, seen = await world.call("GET", f"/subscriptions/{subscription_id}", "bob")
    assert (seen["state"], seen["cancelAtPeriodEnd"], seen["endedAt"]) == ("active", False, None)
    assert seen["startedAt"] and seen["currentPeriodEnd"]
    assert await world.is_right()


async def test_a_year_at_once(world: SubscriptionsWorld):
    subscription_id = await world.subscribe(interval="year")
    found = await world.find(subscription_id)
    assert (found.interval.value, found.amount) == ("year", YEARLY)
    assert await world.held("alice") == 3500


async def test_a_creator_may_have_another_share(world: SubscriptionsWorld):
    await world.database.execute(
        "INSERT INTO creator_shares (user_id, percent) VALUES ($1, 85)", world.people["alice"].id
    )
    await world.subscribe()
    assert await world.held("alice") == 425


async def test_a_page_can_be_paid_once(world: SubscriptionsWorld):
    subscription_id = await world.subscribe()
    assert not await world.billing.demo.pay(subscription_id)
    assert await world.held("alice") == 350


async def test_who_asks_again_gets_the_same_page(world: SubscriptionsWorld):
    first, again = await world.ask(), await world.ask()
    assert first == again
    assert await world.call("GET", "/subscriptions", "bob") == (200, [first[1]["subscription"]])


async def test_who_asks_for_something_else_gets_another_page_and_the_first_is_closed(
    world: SubscriptionsWorld,
):
    _, first = await world.ask()
    _, second = await world.ask(interval="year")
    assert first["checkoutUrl"] != second["checkoutUrl"]
    closed = UUID(first["subscription"]["id"])
    assert not await world.billing.demo.pay(closed)
    assert await world.state(closed) == ("ended", False)
    assert await world.billing.demo.pay(UUID(second["subscription"]["id"]))


async def test_the_same_call_twice_is_one(world: SubscriptionsWorld):
    assert await world.ask(key="k") == await world.ask(key="k")
    assert await world.ask(key="k", interval="year") == (422, "idempotency_key_reused")


async def test_many_at_once_make_one_subscription(world: SubscriptionsWorld):
    asked = await asyncio.gather(*(world.ask() for _ in range(8)))
    made = {answer["subscription"]["id"] for status, answer in asked if status == 201}
    assert len(made) == 1
    assert {answer for status, answer in asked if status != 201} <= {"request_in_progress"}
    assert await world.database.fetch_value("SELECT count(*) FROM subscriptions") == 1


async def test_a_subscription_is_not_bought_twice(world: SubscriptionsWorld):
    await world.subscribe()
    assert await world.ask() == (409, "already_subscribed")
    assert await world.ask(plan=await another_plan(world, monthlyPrice=900)) == (409, "already_subscribed")
    await world.subscribe(plan=await another_plan(world, "carol", monthlyPrice=900))
    assert await is_subscriber(world, "bob", "carol")


async def test_who_cannot_subscribe(world: SubscriptionsWorld):
    assert await world.ask("alice") == (403, "own_plan")
    ids = world.people["alice"].id, world.people["bob"].id
    await world.database.execute("INSERT INTO blocks VALUES ($1, $2)", *ids)
    assert await world.ask() == (403, "blocked")
    assert (await world.ask(""))[0] == 401
    await Users(world.database).set_state(world.people["alice"].id, UserState.SUSPENDED)
    assert await world.ask("carol") == (404, "plan_not_found")


async def test_what_cannot_be_subscribed_to(world: SubscriptionsWorld):
    assert await world.ask(plan=str(new_id())) == (404, "plan_not_found")
    assert (await world.ask(plan="x"))[0] == 400
    assert (await world.ask(interval="week"))[0] == 400
    monthly = await another_plan(world, monthlyPrice=900)
    assert await world.ask(plan=monthly, interval="year") == (409, "plan_not_offered")
    await world.call("PATCH", f"/plans/{monthly}", "alice", json={"active": False})
    assert await world.ask(plan=monthly) == (409, "plan_not_offered")
    await Users(world.database).set_creator(world.people["alice"].id, False)
    assert await world.ask() == (409, "plan_not_offered")


# Going on


async def test_a_new_price_is_for_new_subscribers(world: SubscriptionsWorld):
    subscription_id = await world.subscribe()
    await world.call("PATCH", f"/plans/{world.plan['id']}", "alice", json={"monthlyPrice": 900})
    await world.billing.demo.renew(subscription_id)
    assert [each.amount for each in await world.invoices(subscription_id)] == [MONTHLY, MONTHLY]
    assert (await world.find(subscription_id)).amount == MONTHLY
    other = await world.subscribe("carol")
    assert [each.amount for each in await world.invoices(other)] == [900]


async def test_renewals_are_paid_once_each(world: SubscriptionsWorld):
    subscription_id = await world.subscribe()
    before = await world.find(subscription_id)
    later = before.standing.period_end
    assert later is not None
    await asyncio.gather(*(world.billing.demo.run_once(later + timedelta(hours=1)) for _ in range(4)))
    after = await world.find(subscription_id)
    assert after.standing.period_end == later + timedelta(days=30)
    assert await world.held("alice") == 700
    assert await world.is_right()


async def test_another_plan(world: SubscriptionsWorld):
    subscription_id = await world.subscribe()
    plan = await another_plan(world, monthlyPrice=900)
    status, changed = await change(world, subscription_id, planId=plan)
    assert (status, changed["plan"], changed["price"], changed["state"]) == (200, "Another", 900, "active")
    assert await change(world, subscription_id, interval="year") == (409, "plan_not_offered")
    back = await change(world, subscription_id, planId=world.plan["id"], interval="year")
    assert (back[1]["plan"], back[1]["price"], back[1]["interval"]) == ("Regular", YEARLY, "year")


async def test_a_plan_of_somebody_else_is_another_subscription(world: SubscriptionsWorld):
    subscription_id = await world.subscribe()
    plan = await another_plan(world, "carol", monthlyPrice=900)
    assert await change(world, subscription_id, planId=plan) == (409, "plan_of_another_creator")
    assert await change(world, subscription_id, planId=str(new_id())) == (404, "plan_not_found")


@pytest.mark.parametrize(
    "body", [{}, {"resume": False}, {"resume": True, "interval": "year"}, {"state": "active"}]
)
async def test_changes_that_say_nothing_or_too_much(world: SubscriptionsWorld, body: dict[str, Any]):
    subscription_id = await world.subscribe()
    assert await change(world, subscription_id, **body) == (400, "invalid_request")


async def test_canceled_goes_on_to_the_end_of_what_is_paid(world: SubscriptionsWorld):
    subscription_id = await world.subscribe()
    status, seen = await cancel(world, subscription_id)
    assert (status, seen["state"], seen["cancelAtPeriodEnd"], seen["givesAccess"]) == (
        200,
        "canceled",
        True,
        True,
    )
    assert await cancel(world, subscription_id) == (200, seen)
    end = (await world.find(subscription_id)).standing.period_end
    assert end is not None
    await world.billing.demo.run_once(end - timedelta(hours=1))
    assert await is_subscriber(world)
    await world.billing.demo.run_once(end + timedelta(hours=1))
    assert await world.state(subscription_id) == ("ended", False)
    assert not await is_subscriber(world)
    assert await world.held("alice") == 350


async def test_resumed_before_the_end_it_goes_on(world: SubscriptionsWorld):
    subscription_id = await world.subscribe()
    await cancel(world, subscription_id)
    status, seen = await change(world, subscription_id, resume=True)
    assert (status, seen["state"], seen["cancelAtPeriodEnd"]) == (200, "active", False)
    assert await change(world, subscription_id, resume=True) == (200, seen)


async def test_what_has_ended_does_not_come_back_but_can_be_bought_again(world: SubscriptionsWorld):
    first = await world.subscribe()
    await world.billing.demo.end_now(f"sub_test_{first.hex}")
    assert await change(world, first, resume=True) == (409, "subscription_not_running")
    assert await change(world, first, interval="year") == (409, "subscription_not_running")
    assert (await cancel(world, first))[1]["state"] == "ended"
    second = await world.subscribe()
    assert first != second
    _, listed = await world.call("GET", "/subscriptions?limit=1", "bob")
    assert [each["id"] for each in listed] == [str(second)]


async def test_what_was_never_paid_is_canceled_at_once(world: SubscriptionsWorld):
    _, made = await world.ask()
    subscription_id = UUID(made["subscription"]["id"])
    assert await change(world, subscription_id, interval="year") == (409, "subscription_not_running")
    _, seen = await cancel(world, subscription_id)
    assert (seen["state"], seen["startedAt"]) == ("ended", None)
    assert not await world.billing.demo.pay(subscription_id)
    assert await world.held("alice") == 0


async def test_a_payment_that_fails(world: SubscriptionsWorld):
    subscription_id = await world.subscribe()
    await world.billing.demo.fail(subscription_id)
    assert await world.state(subscription_id) == ("past_due", True)
    assert await world.ask() == (409, "already_subscribed")
    await world.billing.demo.renew(subscription_id)
    assert await world.state(subscription_id) == ("active", True)


async def test_somebody_elses_is_not_there(world: SubscriptionsWorld):
    subscription_id = await world.subscribe()
    refused = (404, "subscription_not_found")
    for user in ("alice", "carol"):
        assert await world.call("GET", f"/subscriptions/{subscription_id}", user) == refused
        assert await change(world, subscription_id, user, resume=True) == refused
        assert await cancel(world, subscription_id, user) == refused
    assert await world.call("GET", "/subscriptions/x", "bob") == refused
    assert await world.call("GET", "/subscriptions", "carol") == (200, [])


async def test_another_provider_than_it_was_paid_at(world: SubscriptionsWorld):
    subscription_id = await world.subscribe()
    await world.database.execute("UPDATE subscriptions SET provider = 'stripe'")
    assert await cancel(world, subscription_id) == (409, "payment_provider_changed")
    assert await is_subscriber(world)


async def test_of_a_page_at_a_provider_that_is_gone_nothing_is_left(world: SubscriptionsWorld):
    _, made = await world.ask()
    await world.database.execute("UPDATE subscriptions SET provider = 'stripe'")
    assert (await world.ask())[0] == 201
    assert await world.state(UUID(made["subscription"]["id"])) == ("ended", False)
