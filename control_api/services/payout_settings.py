"""Where and how often a creator is paid, and the way to the payment provider's onboarding."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from control_api.errors import conflict, invalid, not_found
from control_api.payments.payout_ports import OnboardingLinks, PayoutProvider
from control_api.routing import PREFIX
from control_api.services.money import MoneyOptions
from control_api.services.payout_rules import PayoutOptions, next_turn
from storage.database import Database
from storage.repositories import Users, UserState
from storage.repositories.ledger import Ledger
from storage.repositories.ledger_accounts import AccountKind
from storage.repositories.payouts import (
    MAX_PAYOUT,
    Onboarding,
    PayoutAccount,
    PayoutAccounts,
    PayoutSettings,
    Schedule,
)

DONE_PATH: Final = "/payouts/onboarding/done"
EXPIRED_PATH: Final = "/payouts/onboarding/expired"


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """``minimum`` and ``currency`` of None are the server's."""

    schedule: Schedule
    minimum: int | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class PayoutOverview:
    """``account`` is None before the first onboarding; ``least`` is the least that the server pays out."""

    settings: PayoutSettings
    account: PayoutAccount | None
    least: int


class PayoutSettingsService:
    def __init__(
        self,
        database: Database,
        provider: PayoutProvider,
        money: MoneyOptions | None = None,
        options: PayoutOptions | None = None,
    ) -> None:
        self._database = database
        self._provider = provider
        self._money = money or MoneyOptions()
        self._options = options or PayoutOptions()
        self._accounts = PayoutAccounts(database, provider.name)

    async def of(self, user_id: UUID) -> PayoutOverview:
        settings = await self._accounts.settings(user_id) or self._defaults()
        # The server's least may have been raised since.
        settings = replace(settings, minimum=max(settings.minimum, self._options.minimum))
        return PayoutOverview(settings, await self._accounts.find(user_id), self._options.minimum)

    async def change(self, user_id: UUID, change: SettingsChange) -> PayoutOverview:
        """Raises ApiError 400."""
        least = self._options.minimum
        minimum = change.minimum if change.minimum is not None else least
        if not least <= minimum <= MAX_PAYOUT:
            raise invalid("minimum", f"must be {least} to {MAX_PAYOUT} in minor units of the currency")
        currency = await self._allowed_currency(user_id, change.currency)
        due_at = await self._due_at(user_id, change.schedule)
        settings = PayoutSettings(change.schedule, minimum, currency, due_at)
        await self._accounts.set_settings(user_id, settings)
        return await self.of(user_id)

    async def onboard(self, user_id: UUID) -> str:
        """Where to go. Raises ApiError: 404, 409 ``already_onboarded``, 502, 503."""
        user = await Users(self._database).find_by_id(user_id)
        if user is None or user.state is not UserState.ACTIVE:
            raise not_found("user")
        account = await self._accounts.find(user_id)
        if account is None:
            opened = await self._provider.open_account(user_id, user.email)
            name = await self._accounts.add(user_id, opened)
        else:
            name = account.account
            if await refreshed_state(self._accounts, self._provider, account) is Onboarding.ACTIVE:
                raise conflict("already_onboarded", "Everything is set up: you can be paid.")
        await self._begin_schedule(user_id)
        return await self._provider.onboarding_url(name, self._links())

    async def _begin_schedule(self, user_id: UUID) -> None:
        """Who has chosen nothing is paid by the schedule that they were shown."""
        if await self._accounts.settings(user_id) is None:
            await self._accounts.set_settings(user_id, self._defaults())

    async def _due_at(self, user_id: UUID, schedule: Schedule) -> datetime | None:
        """To keep a schedule must not put off the turn that is due."""
        before = await self._accounts.settings(user_id)
        if before is not None and before.schedule is schedule:
            return before.due_at
        return next_turn(schedule, datetime.now(UTC))

    async def _allowed_currency(self, user_id: UUID, currency: str | None) -> str:
        if currency is None or currency == self._money.currency:
            return self._money.currency
        for holding in await Ledger(self._database).holdings(user_id):
            if holding.kind is AccountKind.EARNINGS and holding.currency == currency:
                return currency
        raise invalid("currency", f"must be {self._money.currency}, or one that you have earned")

    def _defaults(self) -> PayoutSettings:
        due_at = next_turn(Schedule.MONTHLY, datetime.now(UTC))
        return PayoutSettings(Schedule.MONTHLY, self._options.minimum, self._money.currency, due_at)

    def _links(self) -> OnboardingLinks:
        base = f"{self._options.base_url().rstrip('/')}{PREFIX}"
        return OnboardingLinks(f"{base}{DONE_PATH}", f"{base}{EXPIRED_PATH}")


async def refreshed_state(
    accounts: PayoutAccounts, provider: PayoutProvider, account: PayoutAccount
) -> Onboarding:
    """What the provider says now, where the last news was that the account cannot be paid.

    Raises ApiError 502 or 503.
    """
    if account.state is Onboarding.ACTIVE:
        return account.state
    # Events tell of whole seconds: one of the same second counts as newer.
    asked_at = datetime.now(UTC).replace(microsecond=0)
    standing = await provider.standing(account.account)
    await accounts.set_state(account.account, standing.state, standing.problem, asked_at)
    return standing.state
