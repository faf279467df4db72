"""Plans and subscriptions behind the real dispatcher, paid at the test provider. Bob subscribes to alice."""

import time
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from typing import Any
from uuid import UUID

import msgspec

from control_api.payments.billing_ports import SUBSCRIPTION_ID
from control_api.payments.demo_billing import DemoBilling
from control_api.payments.demo_checkout import demo_secret
from control_api.payments.demo_events import DemoEvents
from control_api.payments.events import PaymentEvents
from control_api.payments.signatures import SignedEvents, signature_of
from control_api.routes.plans import PlansRoutes
from control_api.routes.subscriptions import SubscriptionsRoutes
from control_api.services.money import MoneyOptions
from control_api.services.plans import PlansService
from control_api.services.subscriptions import SubscriptionsService
from storage.database import Database
from storage.ids import new_id
from storage.reconciliation import reconcile
from storage.repositories import Role, User, Users
from storage.repositories.ledger import Ledger
from storage.repositories.ledger_accounts import AccountKind
from storage.repositories.subscription_invoices import SubscriptionInvoice, SubscriptionInvoices
from storage.repositories.subscriptions import Subscription, Subscriptions
from tests.control_api.rooms_world import Nouns
from tests.control_api.sample import Sample
from tests.control_api.serving import serve

SECRET = demo_secret(b"secret")
MONTHLY, YEARLY = 500, 5000


class Billing:
    """The services, and the provider's side of them."""

    def __init__(self, database: Database, options: MoneyOptions) -> None:
        self.database = database
        self.events = PaymentEvents(database, SignedEvents(SECRET), {})
        self.demo = DemoBilling(SECRET, "https://video.example", database, DemoEvents(self.events, SECRET))
        self.plans = PlansService(database, options)
        self.subscriptions = SubscriptionsService(database, self.demo, options)
        self.events.add(self.subscriptions.handlers())

    async def send(
        self, kind: str, data: Mapping[str, Any], at: float | None = None, event_id: str | None = None
    ) -> bool:
        """An event as the provider sends it now, of something that happened ``at`` that time."""
        event = {
            "id": event_id or f"evt_{token_hex(8)}",
            "type": kind,
            "created": int(time.time() if at is None else at),
            "data": {"object": dict(data)},
        }
        body = msgspec.json.encode(event)
        return await self.events.receive(body, signature_of(SECRET, body, time.time()))


class SubscriptionsWorld:
    def __init__(self, billing: Billing, people: dict[str, User], api: Sample, plan: dict[str, Any]) -> None:
        self.billing, self.database = billing, billing.database
        self.people, self.api, self.plan = people, api, plan

    async def call(
        self, method: str, path: str, user: str | None = None, key: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        """(status, data), or (status, code) of what is refused."""
        headers = {"Idempotency-Key": key if key is not None else str(new_id())}
        status, body, _ = await self.api.call(method, path, user, headers=headers, **options)
        return status, body["data"] if body["success"] else body["code"]

    async def ask(
        self, user: str = "bob", plan: Any = None, key: str | None = None, **fields: Any
    ) -> tuple[int, Any]:
        """To subscribe."""
        body = {"planId": plan or self.plan["id"], **fields}
        return await self.call("POST", "/subscriptions", user, key, json=body)

    async def subscribe(self, user: str = "bob", **fields: Any) -> UUID:
        """And pay; the id of the subscription."""
        status, made = await self.ask(user, **fields)
        assert status == 201, made
        subscription_id = UUID(made["subscription"]["id"])
        assert await self.billing.demo.pay(subscription_id)
        return subscription_id

    async def find(self, subscription_id: UUID) -> Subscription:
        found = await Subscriptions(self.database).find(subscription_id)
        assert found is not None
        return found

    async def state(self, subscription_id: UUID) -> tuple[str, bool]:
        """And whether it makes its user a subscriber."""
        standing = (await self.find(subscription_id)).standing
        return standing.state.value, standing.gives_access

    async def invoices(self, subscription_id: UUID) -> list[SubscriptionInvoice]:
        return await SubscriptionInvoices(self.database).of_subscription(subscription_id, 100)

    async def held(self, user: str, kind: AccountKind = AccountKind.EARNINGS) -> int:
        holdings = await Ledger(self.database).holdings(self.people[user].id)
        return sum(each.balance for each in holdings if each.kind is kind)

    async def is_right(self) -> bool:
        return (await reconcile(self.database)).differences == ()


async def subscriptions_world(
    database: Database, aiohttp_client: Callable[..., Awaitable[Any]], options: MoneyOptions | None = None
) -> SubscriptionsWorld:
    billing = Billing(database, options or MoneyOptions())
    users = Users(database)
    people = {
        name: await users.add(name, f"{name}@example.com", "hash", Role.USER)
        for name in ("alice", "bob", "carol")
    }
    for name in ("alice", "carol"):
        await users.set_creator(people[name].id, True)
    nouns = Nouns(PlansRoutes(billing.plans), SubscriptionsRoutes(billing.subscriptions))
    api = await serve(nouns, database, aiohttp_client, *people.values())
    world = SubscriptionsWorld(billing, people, api, {})
    offer = {"name": "Regular", "monthlyPrice": MONTHLY, "yearlyPrice": YEARLY}
    status, world.plan = await world.call("POST", "/plans", "alice", json=offer)
    assert status == 201, world.plan
    return world


def billed(subscription: Subscription, status: str = "active", **fields: Any) -> dict[str, Any]:
    """The subscription as the provider describes it."""
    return {
        "id": f"sub_{subscription.id.hex}",
        "status": status,
        "metadata": {SUBSCRIPTION_ID: str(subscription.id)},
        "cancel_at_period_end": False,
        "items": {"data": [{"price": {"id": f"price_test_{subscription.standing.price_id.hex}"}}]},
        **fields,
    }


def invoice(subscription: Subscription, number: str = "in_1", /, **fields: Any) -> dict[str, Any]:
    """An invoice of it, which was paid."""
    details = {
        "subscription": f"sub_{subscription.id.hex}",
        "metadata": {SUBSCRIPTION_ID: str(subscription.id)},
    }
    return {
        "id": number,
        "currency": "usd",
        "amount_paid": MONTHLY,
        "billing_reason": "subscription_create",
        "parent": {"subscription_details": details},
        **fields,
    }
