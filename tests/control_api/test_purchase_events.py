"""Refunds, disputes and late payments: whatever order events come in, the ledger ends up the same."""

import asyncio
from itertools import permutations
from uuid import UUID

import pytest

from storage.ids import new_id
from tests.control_api.money_world import live_room
from tests.control_api.purchases_world import CHEST_COINS, CHEST_PRICE, purchases_world

PAID = "checkout.session.completed"
REFUNDED = "charge.refunded"
DISPUTED = "charge.dispute.created"
WITHDRAWN = "charge.dispute.funds_withdrawn"
REINSTATED = "charge.dispute.funds_reinstated"
CLOSED = "charge.dispute.closed"
HANDFUL = UUID("01900000-0000-7000-8000-000000000101")


@pytest.fixture
async def world(database, aiohttp_client):
    async with purchases_world(database, aiohttp_client) as world:
        yield world
        assert await world.money.is_right()


async def test_a_full_refund_takes_the_coins_back(world):
    order = await world.paid()
    assert await world.tell(REFUNDED, order.charge(CHEST_PRICE)) == 200
    assert (await world.coins(), await world.debt()) == (0, 0)
    assert await world.state(order) == "refunded"


async def test_refunds_are_cumulative(world):
    order = await world.paid()
    await world.tell(REFUNDED, order.charge(CHEST_PRICE // 2))
    assert await world.coins() == CHEST_COINS - CHEST_COINS * (CHEST_PRICE // 2) // CHEST_PRICE
    assert await world.state(order) == "partially_refunded"
    await world.tell(REFUNDED, order.charge(CHEST_PRICE // 2))
    await world.tell(REFUNDED, order.charge(CHEST_PRICE))
    assert await world.coins() == 0
    # An older event that comes late gives nothing back.
    await world.tell(REFUNDED, order.charge(CHEST_PRICE // 2))
    assert await world.coins() == 0
    assert await world.state(order) == "refunded"


async def test_many_small_refunds_take_no_more_than_one_large_one(world):
    order = await world.paid()
    for refunded in range(0, CHEST_PRICE + 1, 157):
        await world.tell(REFUNDED, order.charge(refunded))
    await world.tell(REFUNDED, order.charge(CHEST_PRICE))
    assert (await world.coins(), await world.debt()) == (0, 0)


async def test_what_is_spent_already_becomes_a_debt(world):
    order = await world.paid()
    await world.spend(900)
    await world.tell(REFUNDED, order.charge(CHEST_PRICE))
    assert (await world.coins(), await world.debt()) == (0, 900)


async def test_the_next_purchase_repays_the_debt_first(world):
    order = await world.paid()
    await world.spend(900)
    await world.tell(REFUNDED, order.charge(CHEST_PRICE))
    await world.paid()
    assert (await world.coins(), await world.debt()) == (100, 0)
    kinds = await world.database.fetch("SELECT kind FROM ledger_transfers ORDER BY id")
    assert [row["kind"] for row in kinds] == ["purchase", "adjustment", "refund", "purchase", "repayment"]


async def test_a_debt_that_is_larger_than_a_purchase_stays(world):
    order = await world.paid()
    await world.spend(1000)
    await world.tell(REFUNDED, order.charge(CHEST_PRICE))
    await world.paid(package=HANDFUL)
    assert (await world.coins(), await world.debt()) == (0, 900)


async def test_refunds_that_come_before_the_payment(world):
    order = await world.bought()
    await world.tell(REFUNDED, order.charge(CHEST_PRICE // 2))
    assert await world.state(order) == "pending"
    await world.tell(PAID, order.page())
    assert await world.coins() == CHEST_COINS - CHEST_COINS * (CHEST_PRICE // 2) // CHEST_PRICE
    assert await world.state(order) == "partially_refunded"


async def test_a_dispute_takes_the_coins_and_gives_them_back_when_it_is_won(world):
    order = await world.paid()
    await world.tell(DISPUTED, order.dispute())
    assert (await world.coins(), await world.state(order)) == (0, "disputed")
    await world.tell(WITHDRAWN, order.dispute())
    assert await world.coins() == 0
    await world.tell(CLOSED, order.dispute("won"))
    assert (await world.coins(), await world.state(order)) == (CHEST_COINS, "paid")
    await world.tell(REINSTATED, order.dispute("won"))
    assert await world.coins() == CHEST_COINS


async def test_a_dispute_that_is_lost_stays_taken(world):
    order = await world.paid()
    await world.spend(400)
    await world.tell(DISPUTED, order.dispute())
    await world.tell(CLOSED, order.dispute("lost"))
    assert (await world.coins(), await world.debt()) == (0, 400)
    assert await world.state(order) == "charged_back"


async def test_a_dispute_that_is_won_repays_its_own_debt(world):
    order = await world.paid()
    await world.spend(400)
    await world.tell(DISPUTED, order.dispute())
    await world.tell(CLOSED, order.dispute("won"))
    assert (await world.coins(), await world.debt()) == (600, 0)


async def test_what_was_repaid_meanwhile_comes_back_when_a_dispute_is_won(world):
    order = await world.paid()
    await world.spend(400)
    await world.tell(DISPUTED, order.dispute())
    await world.paid()
    assert (await world.coins(), await world.debt()) == (600, 0)
    await world.tell(CLOSED, order.dispute("won"))
    assert (await world.coins(), await world.debt()) == (1600, 0)


async def test_an_inquiry_takes_nothing(world):
    order = await world.paid()
    await world.tell(DISPUTED, order.dispute("warning_needs_response"))
    assert (await world.coins(), await world.state(order)) == (CHEST_COINS, "paid")
    await world.tell(CLOSED, order.dispute("warning_closed"))
    assert await world.coins() == CHEST_COINS


async def test_an_inquiry_may_become_a_dispute(world):
    order = await world.paid()
    await world.tell(DISPUTED, order.dispute("warning_needs_response"))
    await world.tell(WITHDRAWN, order.dispute("needs_response"))
    assert await world.coins() == 0


async def test_a_dispute_about_a_part_takes_a_part(world):
    order = await world.paid()
    await world.tell(DISPUTED, order.dispute(amount=CHEST_PRICE // 2))
    assert await world.coins() == CHEST_COINS - CHEST_COINS * (CHEST_PRICE // 2) // CHEST_PRICE


async def test_a_dispute_in_another_currency_is_about_all(world):
    order = await world.paid()
    await world.tell(DISPUTED, order.dispute(amount=5, currency="eur"))
    assert await world.coins() == 0


async def test_a_refund_and_a_dispute_take_no_more_than_was_bought(world):
    order = await world.paid()
    await world.tell(REFUNDED, order.charge(CHEST_PRICE // 2))
    await world.tell(DISPUTED, order.dispute())
    assert (await world.coins(), await world.debt()) == (0, 0)
    await world.tell(CLOSED, order.dispute("won"))
    assert await world.coins() == CHEST_COINS - CHEST_COINS * (CHEST_PRICE // 2) // CHEST_PRICE


async def test_the_order_of_events_does_not_matter(world):
    expected = CHEST_COINS - CHEST_COINS * 300 // CHEST_PRICE
    for count, places in enumerate(permutations(range(4)), 1):
        order = await world.bought()
        events = [
            (PAID, order.page()),
            (REFUNDED, order.charge(100)),
            (DISPUTED, order.dispute(amount=200)),
            (CLOSED, order.dispute("lost", amount=200)),
        ]
        for place in places:
            assert await world.tell(*events[place]) == 200
        assert (await world.coins(), await world.debt()) == (count * expected, 0), places
        assert await world.state(order) == "charged_back"


async def test_all_at_once_ends_the_same(world):
    order = await world.bought()
    events = [
        (PAID, order.page()),
        ("checkout.session.async_payment_succeeded", order.page()),
        (REFUNDED, order.charge(100)),
        (REFUNDED, order.charge(300)),
        (DISPUTED, order.dispute(amount=200)),
        (CLOSED, order.dispute("won", amount=200)),
        (REINSTATED, order.dispute("won", amount=200)),
    ]
    answers = await asyncio.gather(*(world.tell(*event) for event in events))
    assert set(answers) == {200}
    assert (await world.coins(), await world.debt()) == (CHEST_COINS - 1000 * 300 // CHEST_PRICE, 0)
    assert await world.state(order) == "partially_refunded"


async def test_many_purchases_of_one_user_at_once(world):
    orders = [await world.bought() for _ in range(6)]
    await asyncio.gather(*(world.tell(PAID, order.page()) for order in orders))
    assert await world.coins() == 6 * CHEST_COINS
    await world.spend(5500)
    await asyncio.gather(*(world.tell(REFUNDED, order.charge(CHEST_PRICE)) for order in orders))
    assert (await world.coins(), await world.debt()) == (0, 5500)


async def test_purchases_refunds_and_gifts_of_many_at_once(world):
    """Everybody's locks are taken in one order, so nobody waits for ever."""
    people = ("bob", "carol", "admin")
    room = await live_room(world.money, world.people["admin"])
    orders = [await world.paid(user) for user in people[:2] for _ in range(4)]
    later = [await world.bought(user) for user in people for _ in range(3)]

    async def tip(user):
        await world.money.gifts.tip(world.people[user].id, room, str(new_id()), 100, "")

    tips = [tip(user) for user in people[:2] for _ in range(10)]
    refunds = [world.tell(REFUNDED, order.charge(CHEST_PRICE)) for order in orders[::2]]
    payments = [world.tell(PAID, order.page()) for order in later]
    await asyncio.gather(*tips, *refunds, *payments)
    for user, bought in zip(people, (5, 5, 3), strict=True):
        given = 0 if user == "admin" else 10 * 100
        assert (await world.coins(user), await world.debt(user)) == (bought * CHEST_COINS - given, 0)


async def test_payments_that_take_days(world):
    order = await world.bought()
    await world.tell(PAID, order.page(payment_status="unpaid"))
    assert (await world.coins(), await world.state(order)) == (0, "processing")
    await world.tell("checkout.session.async_payment_succeeded", order.page())
    assert (await world.coins(), await world.state(order)) == (CHEST_COINS, "paid")


async def test_payments_that_take_days_in_another_order(world):
    order = await world.bought()
    await world.tell("checkout.session.async_payment_succeeded", order.page())
    await world.tell(PAID, order.page(payment_status="unpaid"))
    assert (await world.coins(), await world.state(order)) == (CHEST_COINS, "paid")


@pytest.mark.parametrize(
    ("kind", "state"),
    [("checkout.session.async_payment_failed", "failed"), ("checkout.session.expired", "expired")],
)
async def test_what_fails_frees_its_code(world, kind, state):
    await world.add_code("HELD-ONE", percent=10, maxUses=1)
    order = await world.bought(discountCode="HELD-ONE")
    assert await world.buy("carol", discountCode="HELD-ONE") == (409, "discount_used_up")
    for _ in range(2):
        await world.tell(kind, order.page(payment_status="unpaid"))
    assert await world.state(order) == state
    assert await world.uses("HELD-ONE") == 0
    await world.bought("carol", discountCode="HELD-ONE")


async def test_an_end_that_comes_after_the_payment_changes_nothing(world):
    order = await world.paid()
    await world.tell("checkout.session.expired", order.page())
    await world.tell("checkout.session.async_payment_failed", order.page())
    assert (await world.coins(), await world.state(order)) == (CHEST_COINS, "paid")


async def test_paid_after_its_end(world):
    await world.add_code("HELD-ONE", percent=10, maxUses=1)
    order = await world.bought(discountCode="HELD-ONE")
    await world.tell("checkout.session.expired", order.page())
    await world.paid("carol", discountCode="HELD-ONE")
    await world.tell(PAID, order.page())
    assert (await world.coins(), await world.state(order)) == (CHEST_COINS, "paid")
    # Above the limit: both have it.
    assert await world.uses("HELD-ONE") == 2
    assert await world.buy("admin", discountCode="HELD-ONE") == (409, "discount_used_up")


async def test_a_code_that_is_paid_for_after_its_end_is_used(world):
    await world.add_code("HELD-ONE", percent=50, maxUses=1)
    order = await world.bought(discountCode="HELD-ONE")
    await world.tell("checkout.session.expired", order.page())
    for event in ("evt_paid", "evt_paid", "evt_again"):
        await world.tell(PAID, order.page(), event)
    assert (await world.state(order), await world.uses("HELD-ONE")) == ("paid", 1)
    assert await world.buy("bob", discountCode="HELD-ONE") == (409, "discount_used")
    assert await world.buy("carol", discountCode="HELD-ONE") == (409, "discount_used_up")


async def test_each_user_has_a_code_as_often_as_it_says_however_late_they_pay(world):
    await world.add_code("HELD-ONE", percent=50, usesPerUser=1)
    order = await world.bought(discountCode="HELD-ONE")
    await world.tell("checkout.session.expired", order.page())
    await world.tell(PAID, order.page())
    assert await world.buy(discountCode="HELD-ONE") == (409, "discount_used")
    await world.bought("carol", discountCode="HELD-ONE")


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_total": CHEST_PRICE - 1},
        {"amount_total": CHEST_PRICE + 1},
        {"amount_total": None},
        {"currency": "eur"},
        {"currency": None},
        {"payment_status": "no_payment_required"},
        {"payment_intent": None},
    ],
)
async def test_what_is_not_paid_as_asked_is_for_people_to_look_at(world, changes):
    order = await world.bought()
    assert await world.tell(PAID, order.page(**changes)) == 200
    assert (await world.coins(), await world.state(order)) == (0, "review")
    await world.tell(REFUNDED, order.charge(CHEST_PRICE))
    assert (await world.coins(), await world.debt()) == (0, 0)


async def test_the_payment_of_another_purchase_pays_once(world):
    first, second = await world.paid(), await world.bought()
    await world.tell(PAID, second.page(payment_intent=first.payment))
    assert (await world.coins(), await world.state(second)) == (CHEST_COINS, "review")


async def test_the_page_of_another_purchase_does_not_pay(world):
    order = await world.bought()
    await world.tell(PAID, order.page(id="cs_test_another"))
    assert (await world.coins(), await world.state(order)) == (0, "pending")


async def test_a_refund_that_fails_is_for_people_to_look_at(world):
    order = await world.paid()
    await world.tell(REFUNDED, order.charge(CHEST_PRICE))
    refund = {"amount": CHEST_PRICE, "currency": "usd", "payment_intent": order.payment, "status": "failed"}
    await world.tell("refund.failed", refund)
    await world.tell("refund.failed", refund | {"payment_intent": "pi_unknown"})
    await world.tell("refund.failed", {})
    assert (await world.coins(), await world.state(order)) == (0, "refunded")
    note = await world.database.fetch_value("SELECT note FROM purchase_history ORDER BY place DESC LIMIT 1")
    assert note == "a refund of 1099 usd failed: pay it another way"


async def test_a_refund_in_another_currency_takes_nothing(world):
    order = await world.paid()
    await world.tell(REFUNDED, order.charge(CHEST_PRICE, currency="eur"))
    assert await world.coins() == CHEST_COINS


async def test_purchases_of_another_provider_are_left_alone(world):
    order = await world.bought()
    await world.database.execute("UPDATE purchases SET provider = 'test'")
    await world.tell(PAID, order.page())
    assert await world.coins() == 0


async def test_the_user_sees_what_it_was_for(world):
    order = await world.paid()
    await world.tell(REFUNDED, order.charge(CHEST_PRICE))
    _, told = await world.call("GET", "/wallet/transactions", "bob")
    assert [(each["kind"], each["amount"], each["reason"]) for each in told] == [
        ("refund", -CHEST_COINS, "Refund: Chest: 1000 coins"),
        ("purchase", CHEST_COINS, "Chest: 1000 coins"),
    ]
