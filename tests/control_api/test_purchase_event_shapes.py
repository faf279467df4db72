"""Events of purchases that are of something else, or of another shape than this version knows."""

import pytest

from storage.ids import new_id
from tests.control_api.purchases_world import CHEST_COINS, CHEST_PRICE, purchases_world

PAID = "checkout.session.completed"
REFUNDED = "charge.refunded"
DISPUTED = "charge.dispute.created"
CLOSED = "charge.dispute.closed"


@pytest.fixture
async def world(database, aiohttp_client):
    async with purchases_world(database, aiohttp_client) as world:
        yield world
        assert await world.money.is_right()


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {}},
        {"metadata": None},
        {"metadata": {"purchase_id": "x"}},
        {"metadata": {"purchase_id": str(new_id())}},
        {"mode": "subscription"},
        {"mode": "setup"},
    ],
)
async def test_pages_of_something_else_are_left_alone(world, changes):
    order = await world.bought()
    assert await world.tell(PAID, order.page(**changes)) == 200
    assert (await world.coins(), await world.state(order)) == (0, "pending")


@pytest.mark.parametrize(
    "changes", [{"metadata": "x"}, {"amount_total": "1099"}, {"amount_total": 10**30}, {"id": None}]
)
async def test_what_is_not_understood_counts_when_it_is_sent_again(world, changes):
    """After an update, which this test does the other way round: it sends another shape."""
    order = await world.bought()
    assert await world.tell(PAID, order.page(**changes), "evt_1") == 409
    assert (await world.coins(), await world.state(order)) == (0, "pending")
    assert await world.tell(PAID, order.page(), "evt_1") == 200
    assert (await world.coins(), await world.state(order)) == (CHEST_COINS, "paid")


async def test_a_payment_may_be_told_of_as_a_whole(world):
    order = await world.bought()
    await world.tell(PAID, order.page(payment_intent={"id": order.payment, "object": "payment_intent"}))
    assert await world.state(order) == "paid"
    await world.tell(REFUNDED, order.charge(CHEST_PRICE) | {"payment_intent": {"id": order.payment}})
    assert (await world.coins(), await world.state(order)) == (0, "refunded")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (REFUNDED, {"amount_refunded": 5, "currency": "usd", "payment_intent": "pi_unknown"}),
        (REFUNDED, {"amount_refunded": 5, "currency": "usd", "payment_intent": None}),
        (REFUNDED, {"amount_refunded": -5, "currency": "usd", "payment_intent": "pi_unknown"}),
        (REFUNDED, {"amount_refunded": 2**70, "currency": "usd", "payment_intent": "pi_unknown"}),
        (REFUNDED, {"amount_refunded": 5, "currency": "\u2603", "payment_intent": "pi_unknown"}),
        (REFUNDED, {}),
        (DISPUTED, {"id": "dp_1", "status": "x", "amount": 5, "currency": "usd", "payment_intent": "pi_x"}),
        (DISPUTED, {"id": "dp_1", "status": "x", "amount": 5, "currency": "usd"}),
        (CLOSED, {"id": 7}),
        ("checkout.session.expired", {}),
        ("checkout.session.async_payment_failed", {"id": "x", "mode": "payment", "payment_status": "unpaid"}),
    ],
)
async def test_events_about_others_are_left_alone(world, kind, data):
    order = await world.paid()
    assert await world.tell(kind, data) in (200, 409)
    assert (await world.coins(), await world.state(order)) == (CHEST_COINS, "paid")
