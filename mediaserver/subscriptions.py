"""Subscriptions in the server: with Stripe, with the test provider, or with none, as payments have it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from control_api.payments.billing_ports import BillingProvider
from control_api.payments.demo_billing import DemoBilling, DemoSubscriptionTill
from control_api.payments.demo_checkout import Till, demo_secret
from control_api.payments.return_addresses import ReturnAddresses
from control_api.payments.stripe_billing import StripeBilling
from control_api.routes.plans import PlansRoutes
from control_api.routes.subscriptions import SubscriptionsRoutes
from control_api.routing import Noun
from control_api.services.money import MoneyOptions
from control_api.services.plans import PlansService
from control_api.services.subscription_upkeep import SubscriptionUpkeep
from control_api.services.subscriptions import SubscriptionsService
from mediaserver.payments import Payments
from storage.database import Database

Run = Callable[[], Awaitable[None]]
WHAT: Final = "subscription"


class SubscriptionParts:
    """``nouns`` go into the API, ``tasks`` run as long as the server, ``till`` is for the test page."""

    def __init__(
        self, database: Database, payments: Payments, secret: bytes, public_url: str, options: MoneyOptions
    ) -> None:
        self.tasks: Final[dict[str, Run]] = {}
        self.till: Till | None = None
        provider = self._provider(database, payments, secret, public_url)
        service = SubscriptionsService(database, provider, options)
        if provider is not None:
            payments.listen(service.handlers())
            self.tasks["subscriptions"] = SubscriptionUpkeep(database, provider).run
        self.nouns: Final[Sequence[Noun]] = [
            PlansRoutes(PlansService(database, options)),
            SubscriptionsRoutes(service),
        ]

    def _provider(
        self, database: Database, payments: Payments, secret: bytes, public_url: str
    ) -> BillingProvider | None:
        if payments.stripe is not None:
            return StripeBilling(payments.stripe, ReturnAddresses(public_url, WHAT))
        if payments.test_events is None:
            return None
        demo = DemoBilling(demo_secret(secret), public_url, database, payments.test_events)
        self.till = DemoSubscriptionTill(demo)
        self.tasks["test_subscriptions"] = demo.run
        return demo
