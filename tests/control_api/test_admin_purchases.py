"""Everybody's purchases, for administrators."""

import pytest

from storage.ids import new_id
from storage.repositories.purchases import PurchaseState
from tests.control_api.purchases_world import CHEST_COINS, CHEST_PRICE, purchases_world

LIST = "/admin/purchases"


@pytest.fixture
async def world(database, aiohttp_client):
    async with purchases_world(database, aiohttp_client) as world:
        yield world


async def ids(world, query: str = "") -> list[str]:
    status, found = await world.call("GET", f"{LIST}{query}", "admin")
    assert status == 200, found
    return [each["id"] for each in found]


async def test_administrators_see_whose_it_is_and_what_the_provider_calls_it(world):
    order = await world.paid("bob")
    status, (purchase,) = await world.call("GET", LIST, "admin")
    assert status == 200
    seen = {
        "id": order.id,
        "userId": str(world.people["bob"].id),
        "username": "bob",
        "state": "paid",
        "coins": CHEST_COINS,
        "amount": CHEST_PRICE,
        "currency": "usd",
        "provider": "stripe",
        "session": order.session,
        "payment": order.payment,
        "isTest": False,
    }
    assert seen.items() <= purchase.items()


async def test_the_page_to_pay_at_is_for_the_buyer_alone(world):
    await world.bought("bob")
    _, (purchase,) = await world.call("GET", LIST, "admin")
    assert (purchase["state"], purchase["checkoutUrl"], purchase["payment"]) == ("pending", None, None)
    _, (own,) = await world.call("GET", "/purchases", "bob")
    assert own["checkoutUrl"].startswith("https://checkout.stripe.com/")
    assert "payment" not in own and "session" not in own


async def test_they_are_found_by_state_and_by_user(world):
    open_one, paid_one = await world.bought("bob"), await world.paid("bob")
    carols = await world.paid("carol")
    bob, carol = world.people["bob"].id, world.people["carol"].id
    assert await ids(world) == [carols.id, paid_one.id, open_one.id]
    assert await ids(world, "?state=paid") == [carols.id, paid_one.id]
    assert await ids(world, "?state=pending") == [open_one.id]
    assert await ids(world, "?state=charged_back") == []
    assert await ids(world, f"?userId={bob}") == [paid_one.id, open_one.id]
    assert await ids(world, f"?userId={bob}&state=paid") == [paid_one.id]
    assert await ids(world, f"?userId={carol}&state=pending") == []
    assert await ids(world, f"?userId={new_id()}") == []


async def test_every_state_can_be_asked_for(world):
    order = await world.paid("bob")
    for state in PurchaseState:
        assert await ids(world, f"?state={state.value}") == [order.id] * (state is PurchaseState.PAID)


@pytest.mark.parametrize("of_bob", [True, False])
async def test_they_come_page_by_page(world, of_bob):
    orders = [await world.paid("bob") for _ in range(5)]
    await world.bought("bob")
    query, seen, cursor = "?state=paid&limit=2", [], ""
    if of_bob:
        query += f"&userId={world.people['bob'].id}"
    for _ in range(3):
        _, body, _ = await world.api.call("GET", f"{LIST}{query}{cursor}", "admin")
        seen.append([each["id"] for each in body["data"]])
        cursor = f"&cursor={body['meta']['nextCursor']}"
    newest_first = [order.id for order in reversed(orders)]
    assert seen == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    assert body["meta"]["nextCursor"] is None


@pytest.mark.parametrize(
    "query", ["?state=free", "?state=", "?userId=bob", "?cursor=x", "?limit=0", "?limit=101", "?user=x"]
)
async def test_what_cannot_be_asked_is_refused(world, query):
    assert await world.call("GET", f"{LIST}{query}", "admin") == (400, "invalid_request")


async def test_others_see_nothing(world):
    await world.paid("bob")
    assert await world.call("GET", LIST, "bob") == (403, "forbidden")
    assert (await world.call("GET", LIST))[0] == 401
