"""Payouts behind the real dispatcher: alice and carol are creators; a provider that fails as it is told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from control_api.errors import unavailable
from control_api.payments.payout_ports import OnboardingLinks, PayoutProvider, Standing, TransferOrder
from control_api.payments.ports import ProviderEvent
from control_api.routes.payout_settings import PayoutSettingsRoutes
from control_api.routes.payouts import PayoutsRoutes
from control_api.routes.revenue import RevenueRoutes
from control_api.services.money import MoneyOptions
from control_api.services.payout_job import PayoutJob
from control_api.services.payout_rules import PayoutOptions
from control_api.services.payout_sending import PayoutSending
from control_api.services.payout_settings import PayoutSettingsService
from control_api.services.payouts import PayoutsService
from control_api.services.revenue import RevenueService
from storage.bus import Bus, NotificationAdded
from storage.database import Database
from storage.ids import new_id
from storage.repositories import User
from storage.repositories.ledger import Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind
from storage.repositories.payouts import (
    Onboarding,
    PayoutAccounts,
    PayoutSettings,
    ProviderName,
    Schedule,
)
from tests.control_api.money_world import MoneyWorld, money_world
from tests.control_api.rooms_world import Nouns
from tests.control_api.serving import serve

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
NO_LEASE = timedelta()
BASE = "https://live.example"


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@dataclass
class FakePayouts:
    """A provider. ``before`` and ``after`` are raised by the next transfer, before or after it is done."""

    name: ProviderName = ProviderName.DEMO
    transfers: dict[UUID, TransferOrder] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    opened: dict[UUID, str] = field(default_factory=dict)
    links: OnboardingLinks | None = None
    before: BaseException | None = None
    after: BaseException | None = None
    is_down: bool = False
    asked: int = 0

    async def open_account(self, user_id: UUID, email: str) -> str:
        self._check()
        return self.opened.setdefault(user_id, f"acct_{user_id.hex}")

    async def onboarding_url(self, account: str, links: OnboardingLinks) -> str:
        self._check()
        self.links = links
        return f"https://provider.example/{account}"

    async def standing(self, account: str) -> Standing:
        self._check()
        return self.standings.get(account, Standing(account, Onboarding.PENDING))

    async def transfer(self, order: TransferOrder) -> str:
        self.asked += 1
        self._check()
        before, self.before = self.before, None
        if before is not None:
            raise before
        await asyncio.sleep(0)
        self.transfers.setdefault(order.payout_id, order)
        after, self.after = self.after, None
        if after is not None:
            raise after
        return f"tr_{order.payout_id.hex}"

    async def find_transfer(self, payout_id: UUID) -> str | None:
        self._check()
        return f"tr_{payout_id.hex}" if payout_id in self.transfers else None

    def _check(self) -> None:
        if self.is_down:
            raise unavailable("The payment provider cannot be reached.")


class Paying:
    """One node's services."""

    def __init__(
        self,
        database: Database,
        provider: PayoutProvider,
        options: MoneyOptions | None = None,
        minimum: int = 5000,
        lease: timedelta = NO_LEASE,
    ) -> None:
        options, payout_options = options or MoneyOptions(), PayoutOptions(minimum, lambda: BASE)
        self.provider = provider
        self.payouts = PayoutsService(database, provider, options, payout_options)
        self.bus, self.told = Bus(), list[NotificationAdded]()
        self.bus.subscribe(NotificationAdded, self.told.append)
        self.sending = PayoutSending(database, provider, self.bus, lease)
        self.settings = PayoutSettingsService(database, provider, options, payout_options)
        self.revenue = RevenueService(database, options)
        self.job = PayoutJob(database, provider.name, self.payouts, self.sending)


class PayoutsWorld:
    def __init__(self, money: MoneyWorld, paying: Paying, provider: FakePayouts) -> None:
        self.world, self.paying, self.provider = money, paying, provider
        self.database, self.people = money.database, money.people
        self.call = money.call
        self.accounts = PayoutAccounts(money.database, paying.provider.name)

    async def earn(self, user: str, amount: int, kind: TransferKind = TransferKind.ADJUSTMENT) -> None:
        await self.move(AccountKind.PLATFORM, AccountKind.EARNINGS, user, amount, kind)

    async def owe(self, user: str, amount: int, currency: str = "usd") -> None:
        """As after a refund that found nothing."""
        await self.move(AccountKind.DEBT, AccountKind.PROVIDER, user, amount, TransferKind.REFUND, currency)

    async def move(
        self,
        source: AccountKind,
        target: AccountKind,
        user: str,
        amount: int,
        kind: TransferKind,
        currency: str = "usd",
    ) -> None:
        owner = self.people[user].id
        servers = (AccountKind.PLATFORM, AccountKind.PROVIDER)
        wanted = [Account(each, currency, None if each in servers else owner) for each in (source, target)]
        taken, given = await self.world.money.accounts.ids(wanted)
        lines = (Line(taken, -amount), Line(given, amount))
        await Ledger(self.database).post(NewTransfer(kind, "test", str(new_id()), "", lines))

    async def onboard(self, user: str, schedule: Schedule = Schedule.WEEKLY, minimum: int = 5000) -> None:
        """Can be paid, and is due."""
        person = self.people[user]
        account = await self.accounts.add(person.id, f"acct_{person.id.hex}")
        await self.accounts.set_state(account, Onboarding.ACTIVE, "", datetime.now(UTC))
        due_at = LONG_AGO if schedule is not Schedule.MANUAL else None
        await self.accounts.set_settings(person.id, PayoutSettings(schedule, minimum, "usd", due_at))

    async def be_due(self, user: str) -> None:
        await self.database.execute(
            "UPDATE payout_settings SET due_at = $2 WHERE user_id = $1", self.people[user].id, LONG_AGO
        )

    async def held(self, user: str) -> tuple[int, int, int]:
        """Earnings, pending payouts, and what was paid in all."""
        rows = await self.database.fetch(
            """SELECT kind, sum(balance)::bigint FROM ledger_accounts
               JOIN ledger_balances ON account_id = ledger_accounts.id
               WHERE currency = 'usd' AND (owner_id = $1 OR kind = 'payouts') GROUP BY kind""",
            self.people[user].id,
        )
        held = {row[0]: row[1] for row in rows}
        return held.get("earnings", 0), held.get("pending_payout", 0), held.get("payouts", 0)

    async def states(self, user: str) -> list[str]:
        """Of the payouts, the newest first."""
        _, payouts = await self.call("GET", "/payouts", user)
        return [payout["state"] for payout in payouts]

    async def tell(self, kind: str, data: dict[str, Any], at: datetime | None = None) -> None:
        """As an event of the provider."""
        handler = self.paying.sending.handlers()[kind]
        async with self.database.transaction() as transaction:
            await handler(
                transaction, ProviderEvent(f"evt_{new_id().hex}", kind, at or datetime.now(UTC), data)
            )

    async def last(self, user: str) -> Any:
        page = await self.paying.payouts.list(self.people[user].id, None, 1)
        return page.items[0] if page.items else None

    async def is_right(self) -> bool:
        return await self.world.money.is_right()


async def payouts_world(
    database: Database,
    aiohttp_client: Callable[..., Awaitable[Any]],
    options: MoneyOptions | None = None,
) -> PayoutsWorld:
    money = await money_world(database, aiohttp_client, options)
    provider = FakePayouts()
    paying = Paying(database, provider, options)
    nouns = Nouns(
        PayoutSettingsRoutes(paying.settings),
        PayoutsRoutes(paying.payouts, paying.revenue, paying.sending),
        RevenueRoutes(paying.revenue),
    )
    people: list[User] = list(money.people.values())
    money.api = await serve(nouns, database, aiohttp_client, *people)
    return PayoutsWorld(money, paying, provider)
