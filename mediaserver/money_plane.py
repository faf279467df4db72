"""Everything about money: the services, their routes, and the tasks that work for them.

Each of the things that move money adds a method that returns its nouns and notes its tasks.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from control_api.mail import Mailer
from control_api.ports import LiveRooms
from control_api.routes.gifts import GiftsRoutes
from control_api.routes.wallet import WalletRoutes
from control_api.routing import Noun
from control_api.services.gift_news import GiftNews
from control_api.services.gift_rules import GiftParts
from control_api.services.gifts import GiftsService
from control_api.services.money import MoneyOptions
from control_api.services.playback import PlaybackAccess
from control_api.services.wallet import WalletService
from mediaserver.config import Settings
from mediaserver.config.service_settings import MoneySettings
from storage.bus import Bus
from storage.database import Database
from storage.repositories.ledger_accounts import LedgerAccounts

Run = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class MoneyGround:
    """What money stands on. ``secret`` is the server's, ``public_url`` where browsers reach it."""

    settings: Settings
    database: Database
    bus: Bus
    secret: bytes
    public_url: str
    live: LiveRooms
    mailer: Mailer


class MoneyPlane:
    """``nouns`` go into the API, ``tasks`` run as long as the server."""

    def __init__(self, ground: MoneyGround) -> None:
        self._ground = ground
        self._options = _options(ground.settings.money)
        self._accounts = LedgerAccounts(ground.database)
        self._tasks: dict[str, Run] = {}
        self.wallets: Final = WalletService(ground.database, self._accounts, self._options)
        self.nouns: Final[Sequence[Noun]] = [WalletRoutes(self.wallets), *self._gifts()]

    def tasks(self) -> dict[str, Run]:
        """By name."""
        return self._tasks

    async def close(self) -> None:
        """Leave the payment provider."""

    def _gifts(self) -> Sequence[Noun]:
        ground = self._ground
        news = GiftNews(ground.database, ground.bus)
        self._tasks["gifts"] = news.run
        parts = GiftParts(
            self._accounts,
            self.wallets,
            PlaybackAccess(ground.database),
            ground.live,
            self._options,
            news.wake,
        )
        return [GiftsRoutes(GiftsService(ground.database, parts))]


def _options(money: MoneySettings) -> MoneyOptions:
    return MoneyOptions(money.currency, money.coin_value, money.creator_percent, money.welcome_coins)
