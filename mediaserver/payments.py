"""Which payment provider there is, by the settings."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog

from control_api.payments.demo_checkout import DemoCheckout, DemoTill, demo_secret
from control_api.payments.demo_events import DemoEvents
from control_api.payments.events import PaymentEvents
from control_api.payments.ports import EventHandler, PaymentProvider
from control_api.payments.return_addresses import ReturnAddresses
from control_api.payments.stripe_checkout import StripeCheckout
from control_api.payments.stripe_client import StripeApi, StripeOptions
from mediaserver.config import Settings
from mediaserver.config.service_settings import StripeSettings
from storage.database import Database

logger = structlog.get_logger("mediaserver.money")


class Payments:
    """The payment provider: Stripe; the test provider, where that is allowed; or none.

    ``listen`` takes handlers of its events. With Stripe there is ``stripe``, with the test provider there are
    ``test_events``; both are None where nothing can be paid for. ``base_url`` is where the server is reached,
    known once it listens; ``public_url`` the same by the settings alone.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        secret: bytes,
        public_url: str,
        base_url: Callable[[], str],
    ) -> None:
        addresses = ReturnAddresses(public_url)
        self.provider: PaymentProvider | None = None
        self.stripe: StripeApi | None = None
        self.events: PaymentEvents | None = None
        self.test_events: DemoEvents | None = None
        self.test_till: DemoTill | None = None
        options = _stripe_options(settings.stripe)
        if options is not None:
            self.stripe = StripeApi(options)
            self.provider = StripeCheckout(self.stripe, options.webhook_secret, addresses)
            self.events = PaymentEvents(database, self.provider)
        elif allows_test_payments(settings):
            logger.warning("test_payments", reason="coins are given away: no payment provider is set")
            test_secret = demo_secret(secret)
            checkout = DemoCheckout(test_secret, base_url)
            self.provider = checkout
            self.events = PaymentEvents(database, checkout)
            self.test_events = DemoEvents(self.events, test_secret)
            self.test_till = DemoTill(checkout, self.test_events)

    def listen(self, handlers: Mapping[str, EventHandler]) -> None:
        if self.events is not None:
            self.events.add(handlers)


def allows_test_payments(settings: Settings) -> bool:
    """Where the operator says so, and otherwise where nobody but this machine reaches the server."""
    if settings.money.test_payments is not None:
        return settings.money.test_payments
    if settings.public_url is not None:
        return _is_loopback(urlsplit(settings.public_url).hostname or "")
    return _is_loopback(settings.http.host) and not settings.http.trusted_proxies


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _stripe_options(stripe: StripeSettings) -> StripeOptions | None:
    if stripe.secret_key is None or stripe.webhook_secret is None:
        return None
    return StripeOptions(
        stripe.secret_key.get_secret_value(),
        stripe.webhook_secret.get_secret_value(),
        stripe.api_base,
        stripe.timeout_seconds,
    )
