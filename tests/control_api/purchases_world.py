"""Purchases behind the real dispatcher, paid at a stand-in for Stripe through the real ``stripe`` package."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from control_api.mail import Delivery
from control_api.payments.events import PaymentEvents
from control_api.payments.return_addresses import ReturnAddresses
from control_api.payments.stripe_checkout import StripeCheckout
from control_api.payments.stripe_client import StripeApi, StripeOptions
from control_api.routes.coin_packages import CoinPackageRoutes
from control_api.routes.discounts import DiscountRoutes
from control_api.routes.payment_webhooks import PaymentWebhookRoutes
from control_api.routes.purchases import PurchaseRoutes
from control_api.routes.wallet import WalletRoutes
from control_api.services.coin_packages import CoinPackagesService
from control_api.services.discounts import DiscountsService
from control_api.services.notifications import Notifications
from control_api.services.purchase_events import PurchaseEvents
from control_api.services.purchase_keeping import PurchaseKeeper
from control_api.services.purchases import PurchasesService
from control_api.services.wallet import Adjustment
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Role, User, Users
from tests.control_api.money_world import NO_BONUS, Money
from tests.control_api.rooms_world import Nouns
from tests.control_api.sample import Sample
from tests.control_api.serving import serve
from tests.helpers.stripe_stand_in import SECRET_KEY, WEBHOOK_SECRET, StripeStandIn

CHEST = UUID("01900000-0000-7000-8000-000000000103")
CHEST_COINS = 1000
CHEST_PRICE = 1099


class Letters:
    """Mail that was sent: (to, subject, text). ``outcome`` is what becomes of the next."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str]] = []
        self.outcome = Delivery.DELIVERED

    async def deliver(self, to: str, subject: str, text: str) -> Delivery:
        if self.outcome is Delivery.DELIVERED:
            self.sent.append((to, subject, text))
        return self.outcome


@dataclass
class PurchasesWorld:
    database: Database
    money: Money
    stripe: StripeStandIn
    events: PaymentEvents
    keeper: PurchaseKeeper
    letters: Letters
    people: dict[str, User]
    api: Sample

    async def call(
        self, method: str, path: str, user: str | None = None, key: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        """(status, data), or (status, code) of what is refused."""
        headers = {"Idempotency-Key": key if key is not None else str(new_id())}
        status, body, _ = await self.api.call(method, path, user, headers=headers, **options)
        return status, body["data"] if body["success"] else body["code"]

    async def buy(
        self, user: str = "bob", key: str | None = None, package: UUID = CHEST, **fields: Any
    ) -> tuple[int, Any]:
        return await self.call("POST", "/purchases", user, key, json={"packageId": str(package), **fields})

    async def bought(self, user: str = "bob", **fields: Any) -> "Order":
        """A purchase that is open."""
        status, data = await self.buy(user, **fields)
        assert status == 201, data
        purchase = data["purchase"]
        session = await self.database.fetch_value(
            "SELECT session FROM purchases WHERE id = $1::text::uuid", purchase["id"]
        )
        payment = f"pi_{purchase['id'].replace('-', '')}"
        return Order(purchase["id"], session, payment, purchase["amount"], purchase["currency"])

    async def paid(self, user: str = "bob", **fields: Any) -> "Order":
        order = await self.bought(user, **fields)
        assert await self.tell("checkout.session.completed", order.page()) == 200
        return order

    async def tell(self, kind: str, data: dict[str, Any], event_id: str | None = None) -> int:
        """An event over HTTP, signed; the answer's status."""
        body = self.stripe.event(kind, data, event_id)
        return await self.post(body, self.stripe.signature(body))

    async def post(self, body: bytes, signature: str) -> int:
        status, _ = await self.posted(body, signature)
        return status

    async def posted(self, body: bytes, signature: str) -> tuple[int, Any]:
        headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
        status, answer, _ = await self.api.call("POST", "/webhooks/stripe", data=body, headers=headers)
        return status, answer.get("code")

    async def coins(self, user: str = "bob") -> int:
        return await self.money.coins(self.people[user])

    async def debt(self, user: str = "bob") -> int:
        return (await self.money.wallets.of(self.people[user].id)).debt_coins

    async def spend(self, coins: int, user: str = "bob") -> None:
        admin = self.people["admin"].id
        adjustment = Adjustment(-coins, 0, "Spent")
        await self.money.wallets.adjust(admin, "", self.people[user].id, str(new_id()), adjustment)

    async def state(self, order: "Order", user: str = "bob") -> str:
        _, purchases = await self.call("GET", "/purchases?limit=100", user)
        found = next(each for each in purchases if each["id"] == order.id)
        return str(found["state"])

    async def add_code(self, code: str, kind: str = "percentage", **fields: Any) -> tuple[int, Any]:
        return await self.call(
            "POST", "/admin/discounts", "admin", json={"code": code, "kind": kind, **fields}
        )

    async def uses(self, code: str) -> int:
        found: int = await self.database.fetch_value("SELECT uses FROM discount_codes WHERE code = $1", code)
        return found


@dataclass(frozen=True)
class Order:
    """A purchase as the provider sees it."""

    id: str
    session: str
    payment: str
    amount: int
    currency: str

    def page(self, **changes: Any) -> dict[str, Any]:
        """The checkout session, paid."""
        return {
            "id": self.session,
            "object": "checkout.session",
            "mode": "payment",
            "status": "complete",
            "payment_status": "paid",
            "amount_total": self.amount,
            "currency": self.currency,
            "payment_intent": self.payment,
            "metadata": {"purchase_id": self.id},
            **changes,
        }

    def charge(self, refunded: int, **changes: Any) -> dict[str, Any]:
        return {
            "id": f"ch_{self.payment}",
            "object": "charge",
            "amount": self.amount,
            "amount_refunded": refunded,
            "currency": self.currency,
            "payment_intent": self.payment,
            "refunded": refunded == self.amount,
            "metadata": {"purchase_id": self.id},
            **changes,
        }

    def dispute(self, status: str = "needs_response", **changes: Any) -> dict[str, Any]:
        return {
            "id": f"dp_{self.payment}",
            "object": "dispute",
            "amount": self.amount,
            "currency": self.currency,
            "charge": f"ch_{self.payment}",
            "payment_intent": self.payment,
            "status": status,
            **changes,
        }


@asynccontextmanager
async def purchases_world(
    database: Database, aiohttp_client: Callable[..., Awaitable[Any]]
) -> AsyncIterator[PurchasesWorld]:
    money, letters = Money(database, NO_BONUS), Letters()
    people = {
        name: await Users(database).add(name, f"{name}@example.com", "hash", role)
        for name, role in (("bob", Role.USER), ("carol", Role.USER), ("admin", Role.ADMIN))
    }
    async with StripeStandIn() as stripe:
        options = StripeOptions(SECRET_KEY, WEBHOOK_SECRET, stripe.url, 5)
        async with StripeApi(options) as stripe_api:
            provider = StripeCheckout(stripe_api, WEBHOOK_SECRET, ReturnAddresses("https://live.example"))
            events = PaymentEvents(database, provider, PurchaseEvents(provider.scope).handlers())
            nouns = Nouns(
                CoinPackageRoutes(CoinPackagesService(database)),
                DiscountRoutes(DiscountsService(database, money.accounts, money.wallets)),
                PurchaseRoutes(PurchasesService(database, money.accounts, provider)),
                PaymentWebhookRoutes(events),
                WalletRoutes(money.wallets),
            )
            api = await serve(nouns, database, aiohttp_client, *people.values())
            keeper = PurchaseKeeper(
                database, letters, Notifications(database, money.bus), "https://live.example"
            )
            yield PurchasesWorld(database, money, stripe, events, keeper, letters, people, api)
