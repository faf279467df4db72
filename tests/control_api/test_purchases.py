"""Buying coins: packages, orders, Stripe's pages, and coins only for what Stripe signed."""

import asyncio
import json
from contextlib import contextmanager

import pytest

from control_api.errors import ApiError
from control_api.mail import Delivery
from control_api.services import purchase_keeping
from control_api.services.notification_kinds import words_of
from control_api.services.purchases import PurchasesService
from storage.ids import new_id
from tests.control_api.purchases_world import CHEST, CHEST_COINS, CHEST_PRICE, purchases_world
from tests.helpers.waiting import eventually


@pytest.fixture
async def world(database, aiohttp_client):
    async with purchases_world(database, aiohttp_client) as world:
        yield world
        assert await world.money.is_right()


async def test_there_are_five_packages(world):
    status, packages = await world.call("GET", "/coin-packages")
    assert status == 200
    assert [each["name"] for each in packages] == ["Handful", "Pouch", "Chest", "Vault", "Treasury"]
    assert packages[2] == {
        "id": str(CHEST),
        "name": "Chest",
        "coins": CHEST_COINS,
        "price": CHEST_PRICE,
        "currency": "usd",
    }


async def test_packages_come_page_by_page(world):
    _, body, _ = await world.api.call("GET", "/coin-packages?limit=3")
    cursor = body["meta"]["nextCursor"]
    _, rest = await world.call("GET", f"/coin-packages?limit=3&cursor={cursor}")
    assert [each["name"] for each in rest] == ["Vault", "Treasury"]


async def test_stripe_is_asked_for_a_page(world):
    status, data = await world.buy()
    assert status == 201
    purchase = data["purchase"]
    assert data["checkoutUrl"].startswith("https://checkout.stripe.com/")
    assert (purchase["state"], purchase["coins"], purchase["amount"]) == ("pending", 1000, 1099)
    (asked,) = world.stripe.requests
    assert asked.headers["Authorization"] == "Bearer sk_test_stand_in"
    assert asked.key == f"purchase-{purchase['id']}"
    wanted = {
        "mode": "payment",
        "line_items[0][price_data][unit_amount]": "1099",
        "line_items[0][price_data][currency]": "usd",
        "metadata[purchase_id]": purchase["id"],
        "payment_intent_data[metadata][purchase_id]": purchase["id"],
        "adaptive_pricing[enabled]": "false",
        "customer_email": "bob@example.com",
        "success_url": "https://live.example/?purchase=done",
        "cancel_url": "https://live.example/?purchase=cancelled",
    }
    assert wanted.items() <= asked.form.items()


async def test_coins_come_with_the_event_and_not_before(world):
    order = await world.bought()
    assert await world.coins() == 0
    assert await world.tell("checkout.session.completed", order.page()) == 200
    assert await world.coins() == CHEST_COINS
    assert await world.state(order) == "paid"
    platform = await world.database.fetch_value(
        """SELECT sum(balance)::bigint FROM ledger_balances JOIN ledger_accounts ON id = account_id
           WHERE kind = 'platform' AND currency = 'usd'"""
    )
    assert platform == CHEST_PRICE


async def test_what_has_become_of_a_purchase_is_kept(world):
    order = await world.paid()
    rows = await world.database.fetch(
        """SELECT state, event_id IS NOT NULL AS by_event FROM purchase_history
           WHERE purchase_id = $1::text::uuid ORDER BY place""",
        order.id,
    )
    assert [tuple(row) for row in rows] == [("pending", False), ("paid", True)]


async def test_the_same_key_buys_once(world):
    key = str(new_id())
    _, first = await world.buy(key=key)
    await world.database.execute("DELETE FROM idempotency_keys")
    status, second = await world.buy(key=key)
    assert (status, second["checkoutUrl"]) == (201, first["checkoutUrl"])
    await world.database.execute("DELETE FROM idempotency_keys")
    assert await world.buy(key=key, discountCode="OTHER") == (422, "idempotency_key_reused")
    assert await world.database.fetch_value("SELECT count(*) FROM purchases") == 1


async def test_the_same_key_buys_once_at_the_same_moment(world):
    key = str(new_id())
    answers = await asyncio.gather(*(world.buy(key=key) for _ in range(5)))
    assert {status for status, _ in answers} <= {201, 409}
    assert await world.database.fetch_value("SELECT count(*) FROM purchases") == 1


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([500, 500, 500], (503, "unavailable")),
        ([402], (502, "payment_provider_refused")),
        ([401], (502, "payment_provider_refused")),
        ([429], (503, "unavailable")),
    ],
)
async def test_what_stripe_refuses_can_be_tried_again(world, failures, expected):
    await world.add_code("ONCE-ONLY", percent=10)
    world.stripe.failures = failures
    key = str(new_id())
    assert await world.buy(key=key, discountCode="once-only") == expected
    assert await world.uses("ONCE-ONLY") == 0
    assert (await world.buy(key=key, discountCode="once-only"))[0] == 201
    assert await world.uses("ONCE-ONLY") == 1


async def test_a_short_failure_of_stripe_is_not_noticed(world):
    world.stripe.failures = [503]
    assert (await world.buy())[0] == 201
    assert len({request.key for request in world.stripe.requests}) == 1


async def test_nobody_there_is_unavailable(world):
    await world.stripe.__aexit__()
    assert await world.buy() == (503, "unavailable")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "invalid_request")),
        ({"packageId": "x"}, (400, "invalid_request")),
        ({"packageId": str(new_id())}, (404, "package_not_found")),
        ({"packageId": str(CHEST), "coins": 5}, (400, "invalid_request")),
        ({"packageId": str(CHEST), "discountCode": "a\u0000b-c"}, (400, "malformed_json")),
        ({"packageId": str(CHEST), "discountCode": "NOBODY-KNOWS"}, (404, "discount_not_found")),
    ],
)
async def test_wrong_orders_are_refused(world, body, expected):
    status, code = await world.call("POST", "/purchases", "bob", json=body)
    assert (status, code) == expected
    assert world.stripe.requests == []


async def test_buying_needs_somebody_and_a_key(world):
    assert (await world.buy(user=None))[0] == 401
    assert (await world.buy(key=""))[0] == 400


async def test_everybody_sees_their_own_purchases(world):
    order = await world.paid()
    await world.bought("carol")
    _, purchases = await world.call("GET", "/purchases", "bob")
    (purchase,) = purchases
    assert purchase["id"] == order.id and purchase["paidAt"] is not None
    assert purchase["checkoutUrl"] is None


async def test_without_a_provider_it_is_said_what_to_set(world, database):
    with pytest.raises(ApiError, match=r"stripe\.secret_key") as refused:
        await PurchasesService(database, world.money.accounts, None).buy(
            world.people["bob"].id, "key", CHEST, None
        )
    assert (refused.value.status, refused.value.code) == (503, "payments_not_configured")


async def test_a_receipt_is_mailed_once(world):
    await world.paid()
    assert await world.keeper.send_receipts() == 1
    assert await world.keeper.send_receipts() == 0
    ((to, _, text),) = world.letters.sent
    assert to == "bob@example.com"
    assert "USD 10.99" in text and "1000 coins" in text


async def after_the_lease(world):
    await world.database.execute("UPDATE purchases SET receipt_after = now() - interval '1 second'")


async def test_a_receipt_is_due_until_it_is_delivered(world):
    await world.paid()
    world.letters.outcome = Delivery.FAILED
    assert await world.keeper.send_receipts() == 0
    world.letters.outcome = Delivery.DELIVERED
    assert await world.keeper.send_receipts() == 0
    await after_the_lease(world)
    assert await world.keeper.send_receipts() == 1
    await after_the_lease(world)
    assert await world.keeper.send_receipts() == 0
    assert len(world.letters.sent) == 1
    assert await world.database.fetch_value("SELECT count(*) FROM notifications") == 1


async def test_a_receipt_that_is_refused_for_good_is_not_tried_again(world):
    await world.paid()
    world.letters.outcome = Delivery.REFUSED
    assert await world.keeper.send_receipts() == 1
    await after_the_lease(world)
    assert await world.keeper.send_receipts() == 0


async def test_nobody_delivers_what_somebody_else_does(world):
    await world.paid()
    assert sorted(await asyncio.gather(*(world.keeper.send_receipts() for _ in range(3)))) == [0, 0, 1]
    assert len(world.letters.sent) == 1


async def test_what_is_taken_back_while_a_receipt_is_delivered_is_told_too(world, monkeypatch):
    order, deliver = await world.paid(), world.letters.deliver

    async def refunded_meanwhile(*letter):
        await world.tell("charge.refunded", order.charge(CHEST_PRICE))
        return await deliver(*letter)

    monkeypatch.setattr(world.letters, "deliver", refunded_meanwhile)
    assert await world.keeper.send_receipts() == 1
    monkeypatch.undo()
    assert await world.keeper.send_receipts() == 1
    assert [subject for _, subject, _ in world.letters.sent] == ["Your receipt", "Your refund"]


async def test_who_is_gone_gets_no_receipt(world):
    await world.paid()
    await world.database.execute("UPDATE users SET state = 'deleted' WHERE username = 'bob'")
    assert await world.keeper.send_receipts() == 0
    assert not await world.database.fetch_value("SELECT bool_or(receipt_due) FROM purchases")


async def test_the_buyer_hears_of_what_is_taken_back(world):
    order = await world.paid()
    await world.keeper.send_receipts()
    await world.tell("charge.refunded", order.charge(CHEST_PRICE))
    await world.keeper.send_receipts()
    other = await world.paid()
    await world.tell("charge.dispute.created", other.dispute())
    await world.keeper.send_receipts()
    await world.tell("charge.dispute.closed", other.dispute("won"))
    assert await world.keeper.send_receipts() == 0
    assert [subject for _, subject, _ in world.letters.sent] == [
        "Your receipt",
        "Your refund",
        "Your payment is disputed",
    ]
    assert "USD 10.99" in world.letters.sent[1][2] and "1000 coins were taken" in world.letters.sent[1][2]
    told = await world.database.fetch("SELECT kind, data FROM notifications ORDER BY id")
    words = [words_of(row["kind"], json.loads(row["data"])).title for row in told]
    assert words == ["Purchase paid", "Purchase refunded", "Payment disputed"]


async def test_what_is_not_paid_in_time_ends(world):
    await world.add_code("HELD-ONE", percent=10)
    order = await world.bought(discountCode="HELD-ONE")
    assert await world.keeper.sweep() == 0
    await world.database.execute("UPDATE purchases SET expires_at = now() - interval '1 hour'")
    assert await world.keeper.sweep() == 1
    assert await world.state(order) == "expired"
    assert await world.uses("HELD-ONE") == 0
    # The money came after all.
    assert await world.tell("checkout.session.completed", order.page()) == 200
    assert await world.coins() == CHEST_COINS


async def test_packages_are_decided_by_administrators(world):
    new = {"name": "Sip", "coins": 10, "price": 50, "currency": "eur"}
    assert await world.call("POST", "/admin/coin-packages", "bob", json=new) == (403, "forbidden")
    status, package = await world.call("POST", "/admin/coin-packages", "admin", json=new)
    assert status == 201 and package["isOffered"]
    path = f"/admin/coin-packages/{package['id']}"
    _, changed = await world.call("PATCH", path, "admin", json={"price": 60})
    assert (changed["price"], changed["coins"]) == (60, 10)
    assert (await world.call("DELETE", path, "admin"))[0] == 200
    assert len((await world.call("GET", "/coin-packages"))[1]) == 5
    assert len((await world.call("GET", "/admin/coin-packages", "admin"))[1]) == 6
    assert await world.buy(package=package["id"]) == (404, "package_not_found")
    actions = await world.database.fetch("SELECT action FROM audit_log ORDER BY id")
    assert [row["action"] for row in actions] == [
        "coin_package.added",
        "coin_package.changed",
        "coin_package.changed",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"price": 49},
        {"price": 10**9},
        {"coins": 0},
        {"currency": "EUR"},
        {"currency": "gem"},
        {"currency": "eur\n"},
        {"name": "\u0007"},
    ],
)
async def test_wrong_packages_are_refused(world, change):
    status, _ = await world.call("PATCH", f"/admin/coin-packages/{CHEST}", "admin", json=change)
    assert status == 400
    new = {"name": "Sip", "coins": 10, "price": 50, "currency": "eur"} | change
    assert (await world.call("POST", "/admin/coin-packages", "admin", json=new))[0] == 400


async def test_a_package_that_is_changed_costs_what_it_did_when_it_was_bought(world):
    order = await world.bought()
    await world.call("PATCH", f"/admin/coin-packages/{CHEST}", "admin", json={"price": 5000, "coins": 1})
    assert await world.tell("checkout.session.completed", order.page()) == 200
    assert await world.coins() == CHEST_COINS


@contextmanager
def kept(world):
    """While what is beside requests is done."""
    working = asyncio.create_task(world.keeper.run())
    try:
        yield
    finally:
        working.cancel()


async def test_events_come_before_the_first_sweep(world, monkeypatch):
    swept = []

    async def sweep():
        swept.append(1)
        return 0

    monkeypatch.setattr(purchase_keeping, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(world.keeper, "sweep", sweep)
    with kept(world):
        for count in (1, 2):
            await world.paid("carol")
            await eventually(lambda count=count: len(world.letters.sent) == count)
        assert not swept
    monkeypatch.setattr(purchase_keeping, "FIRST_SWEEP_SECONDS", -1)
    with kept(world):
        await eventually(lambda: swept)
