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
from mediaserver.errors import StartError
from storage.database import Database, Executor
from storage.repositories.ledger import Ledger

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
    """Where the operator says so, and otherwise where the server listens to nobody but this machine."""
    if settings.money.test_payments is not None:
        return settings.money.test_payments
    return is_of_this_machine(settings)


def is_of_this_machine(settings: Settings) -> bool:
    """Whether nobody else reaches the server."""
    # What others reach is decided by where the server listens; an address of this machine says nothing of it.
    if not _is_loopback(settings.http.host) or settings.http.trusted_proxies:
        return False
    public_url = settings.public_url
    return public_url is None or _is_loopback(urlsplit(public_url).hostname or "")


async def check_test_coins(settings: Settings, database: Executor) -> None:
    """Raises StartError where test payments would turn into money: balances do not tell them apart."""
    if _stripe_options(settings.stripe) is None or settings.money.accept_test_coins:
        return
    if await Ledger(database).has_scope(DemoCheckout.scope):
        raise StartError(
            "stripe.secret_key: coins or subscriptions here were paid for at the test checkout, and creators"
            " would be paid real money for them; take a new database for real payments, or set"
            " money.accept_test_coins to true to let them count"
        )


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
