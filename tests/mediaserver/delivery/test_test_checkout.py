"""The test checkout: a page that says that it is a test, and sends signed events alone."""

from uuid import UUID

import jwt
import pytest
from aiohttp import web

from control_api.payments.demo_checkout import DemoCheckout, DemoTill
from control_api.payments.demo_events import DemoEvents
from control_api.payments.events import PaymentEvents
from control_api.payments.return_addresses import ReturnAddresses
from control_api.services.notifications import Notifications
from control_api.services.purchase_events import PurchaseEvents
from control_api.services.purchase_keeping import PurchaseKeeper
from control_api.services.purchases import PurchasesService
from mediaserver.delivery.test_checkout import add_test_checkout
from storage.ids import new_id
from storage.reconciliation import reconcile
from storage.repositories import Role, Users
from tests.control_api.money_world import NO_BONUS, Money
from tests.control_api.purchases_world import CHEST, CHEST_COINS, Letters

SECRET = "0123456789abcdef0123456789abcdef"


class World:
    def __init__(self, database, user):
        self.database, self.user, self.money = database, user, Money(database, NO_BONUS)
        checkout = DemoCheckout(SECRET, str)
        self.events = PaymentEvents(database, checkout, PurchaseEvents("test").handlers())
        self.till = DemoTill(checkout, DemoEvents(self.events, SECRET))
        self.purchases = PurchasesService(database, self.money.accounts, checkout)

    async def buy(self):
        return await self.purchases.buy(self.user.id, str(new_id()), CHEST, None)

    async def state(self):
        return await self.database.fetch_value("SELECT state FROM purchases ORDER BY id DESC LIMIT 1")


@pytest.fixture
async def world(database, aiohttp_client):
    user = await Users(database).add("bob", "bob@example.com", "hash", Role.USER)
    world = World(database, user)
    app = web.Application()
    add_test_checkout(app, world.till, ReturnAddresses(""))
    world.client = await aiohttp_client(app)
    yield world
    assert (await reconcile(database)).differences == ()


async def test_the_page_says_that_it_is_a_test(world):
    purchase = await world.buy()
    async with world.client.get(purchase.checkout_url) as answer:
        text = await answer.text()
        assert answer.status == 200
        assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
    assert "TEST: no money moves" in text
    assert "Chest: 1000 coins" in text and "USD 10.99" in text
    assert "{{" not in text
    assert await world.money.coins(world.user) == 0


async def test_paying_credits_once(world):
    purchase = await world.buy()
    for _ in range(3):
        async with world.client.post(f"{purchase.checkout_url}/pay", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/?purchase=done")
    assert await world.money.coins(world.user) == CHEST_COINS
    assert await world.state() == "paid"


async def test_declining_credits_nothing(world):
    purchase = await world.buy()
    async with world.client.post(f"{purchase.checkout_url}/decline", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/?purchase=cancelled")
    assert await world.money.coins(world.user) == 0
    assert await world.state() == "failed"


async def test_a_receipt_says_that_it_was_a_test(world):
    purchase = await world.buy()
    async with world.client.post(f"{purchase.checkout_url}/pay", allow_redirects=False):
        pass
    letters = Letters()
    notifications = Notifications(world.database, world.money.bus)
    assert await PurchaseKeeper(world.database, letters, notifications, "").send_receipts() == 1
    assert "TEST" in letters.sent[0][2]


def forged(**claims):
    claims = {
        "aud": "test-checkout",
        "exp": 4_000_000_000,
        "sub": str(UUID(int=5)),
        "session": "cs_test_x",
        "description": "x",
        "amount": 1,
        "currency": "usd",
    } | claims
    return jwt.encode(claims, claims.pop("secret", SECRET), "HS256")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "x" * 5000,
        "a.b.c",
        "%00",
        forged(secret="another secret of thirty-two bytes"),
        forged(exp=1),
        forged(aud="playback"),
        jwt.encode({"aud": "test-checkout", "exp": 4_000_000_000}, SECRET, "HS256"),
        jwt.encode({"aud": "test-checkout", "sub": "x"}, "", "none"),
    ],
)
async def test_addresses_that_were_not_given_out_are_none(world, token):
    for method, path in (("GET", ""), ("POST", "/pay"), ("POST", "/decline")):
        async with world.client.request(method, f"/test-checkout/{token}{path}") as answer:
            assert answer.status == 404
            assert "Traceback" not in await answer.text()


async def test_what_is_signed_but_unknown_changes_nothing(world):
    await world.buy()
    async with world.client.post(f"/test-checkout/{forged()}/pay", allow_redirects=False) as answer:
        assert answer.status == 303
    assert await world.state() == "pending"
