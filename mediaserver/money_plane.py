"""Everything about money: the services, their routes, and the tasks that work for them.

Each of the things that move money adds a method that returns its nouns and notes its tasks.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Self

from control_api.mail import Mailer
from control_api.payments.demo_checkout import DemoTill, Till
from control_api.ports import LiveRooms
from control_api.routes.coin_packages import CoinPackageRoutes
from control_api.routes.discounts import DiscountRoutes
from control_api.routes.gift_catalogue import GiftCatalogueRoutes
from control_api.routes.gifts import GiftsRoutes
from control_api.routes.payment_webhooks import PaymentWebhookRoutes
from control_api.routes.purchases import PurchaseRoutes
from control_api.routes.wallet import WalletRoutes
from control_api.routing import Noun
from control_api.services.coin_packages import CoinPackagesService
from control_api.services.discounts import DiscountsService
from control_api.services.gift_catalogue import GiftCatalogueService
from control_api.services.gift_keeping import LeaderboardKeeper
from control_api.services.gift_news import GiftNews
from control_api.services.gift_rules import GiftParts
from control_api.services.gifts import GiftsService
from control_api.services.money import MoneyOptions
from control_api.services.notifications import Notifications
from control_api.services.payout_rules import PayoutOptions
from control_api.services.playback import PlaybackAccess
from control_api.services.purchase_events import PurchaseEvents
from control_api.services.purchase_keeping import PurchaseKeeper
from control_api.services.purchases import PurchasesService
from control_api.services.wallet import WalletService
from mediaserver.config import Settings
from mediaserver.config.service_settings import MoneySettings
from mediaserver.payments import Payments
from mediaserver.payouts import PayoutParts
from mediaserver.subscriptions import SubscriptionParts
from mediaserver.tip_words import ChatTipWords
from storage.bus import Bus
from storage.database import Database
from storage.repositories.ledger_accounts import LedgerAccounts

Run = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class MoneyGround:
    """What money stands on. ``secret`` is the server's. ``public_url`` is where browsers reach it by the
    settings alone, ``base_url`` where they do once it listens."""

    settings: Settings
    database: Database
    bus: Bus
    secret: bytes
    public_url: str
    base_url: Callable[[], str]
    live: LiveRooms
    mailer: Mailer
    notifications: Notifications


class MoneyPlane:
    """``nouns`` go into the API, ``tasks`` run as long as the server. An async context manager."""

    def __init__(self, ground: MoneyGround) -> None:
        self._ground = ground
        self._options = _options(ground.settings.money)
        self._accounts = LedgerAccounts(ground.database)
        self._tasks: dict[str, Run] = {}
        self._open = AsyncExitStack()
        self._payments = Payments(
            ground.settings, ground.database, ground.secret, ground.public_url, ground.base_url
        )
        self.wallets: Final = WalletService(ground.database, self._accounts, ground.secret, self._options)
        self._subscriptions = SubscriptionParts(
            ground.database, self._payments, ground.secret, ground.public_url, self._options
        )
        self.nouns: Final[Sequence[Noun]] = [
            WalletRoutes(self.wallets),
            *self._gifts(),
            *self._purchases(),
            *self._payouts(),
            *self._subscriptions.nouns,
        ]
        self._tasks |= self._subscriptions.tasks

    async def __aenter__(self) -> Self:
        if self._payments.stripe is not None:
            await self._open.enter_async_context(self._payments.stripe)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def tasks(self) -> dict[str, Run]:
        """By name."""
        return self._tasks

    @property
    def test_till(self) -> DemoTill | None:
        """TEST: what the page of the test checkout works for, where there is one."""
        return self._payments.test_till

    @property
    def test_subscription_till(self) -> Till | None:
        """TEST: the same for subscriptions."""
        return self._subscriptions.till

    def _gifts(self) -> Sequence[Noun]:
        ground = self._ground
        news = GiftNews(ground.database, ground.bus)
        self._tasks |= {"gifts": news.run, "leaderboards": LeaderboardKeeper(ground.database).run}
        parts = GiftParts(
            self._accounts,
            self.wallets,
            PlaybackAccess(ground.database),
            ground.live,
            self._options,
            news.wake,
            ChatTipWords(ground.database),
        )
        return [
            GiftsRoutes(GiftsService(ground.database, parts)),
            GiftCatalogueRoutes(GiftCatalogueService(ground.database)),
        ]

    def _purchases(self) -> Sequence[Noun]:
        ground, payments = self._ground, self._payments
        database = ground.database
        if payments.provider is not None:
            payments.listen(PurchaseEvents(payments.provider.scope).handlers())
        self._tasks["purchases"] = PurchaseKeeper(
            database, ground.mailer, ground.notifications, ground.public_url
        ).run
        return [
            CoinPackageRoutes(CoinPackagesService(database)),
            DiscountRoutes(DiscountsService(database, self._accounts, self.wallets)),
            PurchaseRoutes(PurchasesService(database, self._accounts, payments.provider)),
            PaymentWebhookRoutes(payments.events),
        ]

    def _payouts(self) -> Sequence[Noun]:
        ground = self._ground
        settings, database = ground.settings, ground.database
        options = PayoutOptions(settings.money.payout_minimum, ground.base_url)
        parts = PayoutParts(
            database,
            ground.bus,
            self._payments,
            ground.secret,
            self._options,
            options,
            settings.stripe.connect_webhook_secret,
        )
        self._tasks |= parts.tasks
        return parts.nouns


def _options(money: MoneySettings) -> MoneyOptions:
    return MoneyOptions(money.currency, money.coin_value, money.creator_percent, money.welcome_coins)
