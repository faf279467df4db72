"""Payouts and revenue put together: by Stripe, by the test provider, or not at all."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from pydantic import SecretStr

from control_api.payments.connect_events import ConnectEvents
from control_api.payments.demo_checkout import demo_secret
from control_api.payments.demo_payouts import DemoOnboarding, DemoPayouts
from control_api.payments.events import PaymentEvents
from control_api.payments.no_payouts import NoPayouts
from control_api.payments.payout_ports import PayoutProvider
from control_api.payments.stripe_connect import StripePayouts
from control_api.routes.admin_money import AdminMoneyRoutes
from control_api.routes.connect_webhooks import ConnectWebhookRoutes
from control_api.routes.demo_onboarding import DemoOnboardingRoutes
from control_api.routes.payout_settings import PayoutSettingsRoutes
from control_api.routes.payouts import PayoutsRoutes
from control_api.routes.revenue import RevenueRoutes
from control_api.routing import Noun
from control_api.services.admin_money import AdminMoneyService
from control_api.services.money import MoneyOptions
from control_api.services.payout_job import PayoutJob
from control_api.services.payout_rules import PayoutOptions
from control_api.services.payout_sending import PayoutSending
from control_api.services.payout_settings import PayoutSettingsService
from control_api.services.payouts import PayoutsService
from control_api.services.revenue import RevenueService
from mediaserver.payments import Payments
from storage.bus import Bus
from storage.database import Database
from storage.repositories.ledger_accounts import LedgerAccounts


class PayoutParts:
    """``nouns`` go into the API, ``tasks`` run as long as the server: none without a provider."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        payments: Payments,
        secret: bytes,
        money: MoneyOptions,
        options: PayoutOptions,
        connect_secret: SecretStr | None,
    ) -> None:
        provider, test_nouns = _provider(payments, secret, options.base_url)
        sending = PayoutSending(database, provider, bus)
        payments.listen(sending.handlers())
        payouts = PayoutsService(database, provider, money, options, lambda: job.wake())
        job = PayoutJob(database, provider.name, payouts, sending)
        has_provider = not isinstance(provider, NoPayouts)
        self.tasks: Final[Mapping[str, Callable[[], Awaitable[None]]]] = (
            {"payouts": job.run} if has_provider else {}
        )
        revenue = RevenueService(database, money)
        hand = AdminMoneyService(database, LedgerAccounts(database), money)
        self.nouns: Final[Sequence[Noun]] = [
            PayoutSettingsRoutes(PayoutSettingsService(database, provider, money, options)),
            PayoutsRoutes(payouts, revenue, sending),
            RevenueRoutes(revenue),
            AdminMoneyRoutes(hand),
            *test_nouns,
            *_webhooks(database, payments, sending, connect_secret),
        ]


def _webhooks(
    database: Database, payments: Payments, sending: PayoutSending, secret: SecretStr | None
) -> list[Noun]:
    """The endpoint for what happens in creators' accounts, and nothing else: it credits nobody."""
    if payments.stripe is None or secret is None:
        return []
    events = PaymentEvents(database, ConnectEvents(secret.get_secret_value()), sending.handlers())
    return [ConnectWebhookRoutes(events)]


def _provider(
    payments: Payments, secret: bytes, base_url: Callable[[], str]
) -> tuple[PayoutProvider, list[Noun]]:
    """With the routes of its own, which only the test provider has."""
    if payments.stripe is not None:
        return StripePayouts(payments.stripe), []
    if payments.test_events is not None:
        demo = DemoPayouts(demo_secret(secret), base_url)
        return demo, [DemoOnboardingRoutes(DemoOnboarding(demo, payments.test_events))]
    return NoPayouts(), []
