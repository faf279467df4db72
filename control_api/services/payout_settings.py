"""Where and how often a creator is paid, and the way to the payment provider's onboarding."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID
from zlib import crc32

from control_api.errors import conflict, invalid, not_found, version_mismatch
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
MAX_VERSION: Final = 10**9
"""Versions of nine digits at most are taken back."""


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
        settings = self._effective(await self._accounts.settings(user_id))
        return PayoutOverview(settings, await self._accounts.find(user_id), self._options.minimum)

    async def change(
        self, user_id: UUID, change: SettingsChange, version: int | None = None
    ) -> PayoutOverview:
        """``version`` is the one that the client has seen. Raises ApiError 400, 412 ``version_mismatch``."""
        least = self._options.minimum
        minimum = change.minimum if change.minimum is not None else least
        if not least <= minimum <= MAX_PAYOUT:
            raise invalid("minimum", f"must be {least} to {MAX_PAYOUT} in minor units of the currency")
        currency = await self._allowed_currency(user_id, change.currency)
        async with self._settings_of(user_id) as (accounts, before):
            if version is not None and version != version_of(self._effective(before)):
                raise version_mismatch("payout settings")
            due_at = _due_at(before, change.schedule)
            await accounts.set_settings(user_id, PayoutSettings(change.schedule, minimum, currency, due_at))
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
        async with self._settings_of(user_id) as (accounts, before):
            if before is None:
                await accounts.set_settings(user_id, self._defaults())

    @asynccontextmanager
    async def _settings_of(
        self, user_id: UUID
    ) -> AsyncIterator[tuple[PayoutAccounts, PayoutSettings | None]]:
        """What nobody else changes meanwhile; nor does a payout take the user's turn."""
        async with self._database.transaction() as transaction:
            await Users(transaction).lock(user_id)
            accounts = PayoutAccounts(transaction, self._provider.name)
            yield accounts, await accounts.settings(user_id)

    async def _allowed_currency(self, user_id: UUID, currency: str | None) -> str:
        if currency is None or currency == self._money.currency:
            return self._money.currency
        for holding in await Ledger(self._database).holdings(user_id):
            if holding.kind is AccountKind.EARNINGS and holding.currency == currency:
                return currency
        raise invalid("currency", f"must be {self._money.currency}, or one that you have earned")

    def _effective(self, known: PayoutSettings | None) -> PayoutSettings:
        settings = known or self._defaults()
        # The server's least may have been raised since.
        return replace(settings, minimum=max(settings.minimum, self._options.minimum))

    def _defaults(self) -> PayoutSettings:
        due_at = next_turn(Schedule.MONTHLY, datetime.now(UTC))
        return PayoutSettings(Schedule.MONTHLY, self._options.minimum, self._money.currency, due_at)

    def _links(self) -> OnboardingLinks:
        base = f"{self._options.base_url().rstrip('/')}{PREFIX}"
        return OnboardingLinks(f"{base}{DONE_PATH}", f"{base}{EXPIRED_PATH}")


def version_of(settings: PayoutSettings) -> int:
    """The same for the same choices, as what somebody else has set back hurts nobody."""
    chosen = f"{settings.schedule.value} {settings.minimum} {settings.currency}"
    return crc32(chosen.encode()) % MAX_VERSION


def _due_at(before: PayoutSettings | None, schedule: Schedule) -> datetime | None:
    """To keep a schedule must not put off the turn that is due."""
    if before is not None and before.schedule is schedule:
        return before.due_at
    return next_turn(schedule, datetime.now(UTC))


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
