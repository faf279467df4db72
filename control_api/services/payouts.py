"""Payouts: who is paid when, and the one transaction that takes the money from the earnings.

From then on a payout is ``pending`` until control_api.services.payout_sending has learned how it ended.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus
from typing import Final
from uuid import UUID

import structlog

from control_api.errors import ApiError, conflict, not_found, unavailable
from control_api.pagination import Page, id_in, page_of
from control_api.payments.payout_ports import PayoutProvider
from control_api.services.debts import repay
from control_api.services.money import MoneyOptions, written_amount
from control_api.services.payout_rules import PayoutOptions, next_turn
from control_api.services.payout_settings import refreshed_state
from storage.database import Database, Transaction
from storage.errors import Conflict, InvalidValue
from storage.ids import new_id
from storage.repositories import Users, UserState
from storage.repositories.audit import AuditLog
from storage.repositories.ledger import NO_OVERDRAFT, Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts
from storage.repositories.payouts import (
    IN_FLIGHT,
    KEY_ONCE,
    MAX_PAYOUT,
    RETRIED_ONCE,
    DuePosition,
    NewPayout,
    Onboarding,
    Payout,
    PayoutAccount,
    PayoutAccounts,
    Payouts,
    PayoutState,
    Trigger,
)

logger = structlog.get_logger("mediaserver.money")

PAYOUT_SCOPE: Final = "payout"
"""Of the transfers' keys in the ledger. The key of a payout's beginning is its id."""
NO_OVERPAID_DEBT: Final = "ledger_balances_no_overpaid_debt"
RETRIED: Final = "payout.retried"
"""In the audit log."""
TRIES: Final = 3


class Skipped(Enum):
    """Why there is no payout."""

    NOT_ITS_TURN = "not_its_turn"
    NOT_ACTIVE = "not_active"
    NOT_ONBOARDED = "not_onboarded"
    IN_FLIGHT = "in_flight"
    BELOW_MINIMUM = "below_minimum"


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be paid: all earnings in ``currency``, if they are ``minimum`` or more.

    ``turn`` is the creator's turn that this is, and the next one.
    """

    user_id: UUID
    currency: str
    minimum: int
    trigger: Trigger
    key: str | None = None
    retry_of: UUID | None = None
    turn: tuple[datetime, datetime] | None = None
    by: tuple[UUID, str] | None = None
    id: UUID = field(default_factory=new_id)


class PayoutsService:
    """``on_begun`` is called when there is something to send."""

    def __init__(
        self,
        database: Database,
        provider: PayoutProvider,
        money: MoneyOptions | None = None,
        options: PayoutOptions | None = None,
        on_begun: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._provider = provider
        self._money = money or MoneyOptions()
        self._options = options or PayoutOptions()
        self._on_begun = on_begun
        self._payouts = Payouts(database)
        self._accounts = PayoutAccounts(database, provider.name)

    async def list(self, user_id: UUID, cursor: str | None, limit: int) -> Page[Payout]:
        """The newest first."""
        found = await self._payouts.of_user(user_id, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda payout: (payout.id,))

    async def all(self, state: PayoutState | None, cursor: str | None, limit: int) -> Page[Payout]:
        """Of everybody, the newest first."""
        found = await self._payouts.in_state(state, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda payout: (payout.id,))

    async def demand(self, user_id: UUID, key: str) -> Payout:
        """All that was earned, once for each key. The creator's own minimum is for the schedule alone.

        Raises ApiError: 409 ``payout_not_onboarded``, ``payout_in_progress``, ``below_payout_minimum``,
        ``account_not_active``; 502, 503.
        """
        before = await self._payouts.find_by_key(user_id, key)
        if before is not None:
            return before
        settings = await self._accounts.settings(user_id)
        currency = settings.currency if settings is not None else self._money.currency
        order = _Order(user_id, currency, self._options.minimum, Trigger.DEMAND, key)
        try:
            begun = await self._begin(order)
        except Conflict as error:
            if error.constraint not in (KEY_ONCE, IN_FLIGHT):
                raise
            begun = Skipped.IN_FLIGHT
        if isinstance(begun, Payout):
            return begun
        # The same request may have been quicker on another connection.
        before = await self._payouts.find_by_key(user_id, key)
        if before is None:
            raise self._refusal(begun, currency)
        return before

    async def pay_due(self, due: DuePosition) -> Payout | Skipped:
        """The creator's turn, which is over afterwards, payout or not. Raises ApiError 502 or 503."""
        settings = await self._accounts.settings(due.user_id)
        following = next_turn(settings.schedule, datetime.now(UTC)) if settings is not None else None
        if settings is None or following is None:
            return Skipped.NOT_ITS_TURN
        minimum = max(settings.minimum, self._options.minimum)
        turn = (due.due_at, following)
        return await self._begin(_Order(due.user_id, settings.currency, minimum, Trigger.SCHEDULE, turn=turn))

    async def retry(self, actor_id: UUID, address: str, payout_id: UUID) -> Payout:
        """One that is pending is tried at once; for one that came back a new one is begun, once.

        Raises ApiError: 404 ``payout_not_found``, 409 ``payout_paid``, ``payout_already_retried`` and those
        of ``demand``; 502, 503.
        """
        payout = await self._payouts.find(payout_id)
        if payout is None:
            raise not_found("payout")
        if payout.state is PayoutState.PAID:
            raise conflict("payout_paid", "This payout has been paid.")
        if payout.state is PayoutState.PENDING:
            return await self._hurry(actor_id, address, payout)
        minimum = min(self._options.minimum, payout.amount)
        order = _Order(
            payout.user_id,
            payout.currency,
            minimum,
            Trigger.RETRY,
            retry_of=payout_id,
            by=(actor_id, address),
        )
        try:
            begun = await self._begin(order)
        except Conflict as error:
            raise _retry_refusal(error) from error
        if isinstance(begun, Skipped):
            raise self._refusal(begun, payout.currency)
        return begun

    async def _hurry(self, actor_id: UUID, address: str, payout: Payout) -> Payout:
        async with self._database.transaction() as transaction:
            await Payouts(transaction).hurry(payout.id)
            await audit_payout(transaction, (actor_id, address), RETRIED, payout.id, payout)
        self._on_begun()
        return payout

    async def _begin(self, order: _Order) -> Payout | Skipped:
        """Raises Conflict when another was quicker, ApiError 502 or 503."""
        account = await self._accounts.find(order.user_id)
        if account is not None:
            state = await refreshed_state(self._accounts, self._provider, account)
            account = account if state is Onboarding.ACTIVE else None
        for _ in range(TRIES):
            try:
                return await self._begin_once(order, account)
            except InvalidValue as error:
                # A refund or dispute took from the earnings or repaid the debt since they were read.
                if error.constraint not in (NO_OVERDRAFT, NO_OVERPAID_DEBT):
                    raise
        raise unavailable("The earnings are changing; try again shortly.")

    async def _begin_once(self, order: _Order, account: PayoutAccount | None) -> Payout | Skipped:
        async with self._database.transaction() as transaction:
            # All payouts of a creator go one after the other: they lock the same accounts in several steps.
            user = await Users(transaction).lock(order.user_id)
            if order.turn is not None and not await self._take_turn(transaction, order.user_id, order.turn):
                return Skipped.NOT_ITS_TURN
            if user is None or user.state is not UserState.ACTIVE:
                return Skipped.NOT_ACTIVE
            skipped = await self._take(transaction, order, account)
            if skipped is not None:
                return skipped
        self._on_begun()
        begun = await self._payouts.find(order.id)
        assert begun is not None
        return begun

    async def _take_turn(
        self, transaction: Transaction, user_id: UUID, turn: tuple[datetime, datetime]
    ) -> bool:
        return await PayoutAccounts(transaction, self._provider.name).take_turn(user_id, *turn)

    async def _take(
        self, transaction: Transaction, order: _Order, account: PayoutAccount | None
    ) -> Skipped | None:
        """Debts first, then the payout."""
        if account is None:
            return Skipped.NOT_ONBOARDED
        if await Payouts(transaction).is_in_flight(order.user_id, order.currency):
            return Skipped.IN_FLIGHT
        left = await repay(transaction, order.user_id, order.currency, self._money, PAYOUT_SCOPE, order.id)
        if left < order.minimum:
            return Skipped.BELOW_MINIMUM
        amount = min(left, MAX_PAYOUT)
        payout = NewPayout(
            order.id,
            order.user_id,
            order.currency,
            amount,
            order.trigger,
            self._provider.name,
            account.account,
            order.key,
            order.retry_of,
        )
        await Payouts(transaction).add(payout)
        await _set_aside(transaction, payout)
        if order.by is not None:
            await audit_payout(transaction, order.by, RETRIED, order.retry_of or order.id, payout)
        return None

    def _refusal(self, skipped: Skipped, currency: str) -> ApiError:
        if skipped is Skipped.IN_FLIGHT:
            return conflict("payout_in_progress", "A payout is on its way; wait until it has arrived.")
        if skipped is Skipped.BELOW_MINIMUM:
            least = f"{written_amount(self._options.minimum, currency)} {currency.upper()}"
            return conflict(
                "below_payout_minimum", f"Once debts are repaid, {least} or more must be left to be paid out."
            )
        if skipped is Skipped.NOT_ONBOARDED:
            return conflict(
                "payout_not_onboarded", "Set up where to be paid first, in the settings of payouts."
            )
        return ApiError(HTTPStatus.CONFLICT, "account_not_active", "This account cannot be paid.")


async def _set_aside(transaction: Transaction, payout: NewPayout) -> None:
    earnings, pending = await LedgerAccounts(transaction).ids(
        [
            Account(AccountKind.EARNINGS, payout.currency, payout.user_id),
            Account(AccountKind.PENDING_PAYOUT, payout.currency, payout.user_id),
        ]
    )
    lines = (Line(earnings, -payout.amount), Line(pending, payout.amount))
    await Ledger(transaction).post(
        NewTransfer(TransferKind.PAYOUT, PAYOUT_SCOPE, str(payout.id), "payout", lines, "Payout")
    )


async def audit_payout(
    transaction: Transaction, by: tuple[UUID, str], action: str, subject: UUID, payout: Payout | NewPayout
) -> None:
    """``by`` is the administrator and their address; ``subject`` the payout that they pointed to."""
    actor_id, address = by
    details: dict[str, object] = {
        "payoutId": str(payout.id),
        "amount": payout.amount,
        "currency": payout.currency,
    }
    await AuditLog(transaction).add(actor_id, action, "payout", str(subject), address, details)


def _retry_refusal(error: Conflict) -> ApiError:
    if error.constraint == RETRIED_ONCE:
        return conflict("payout_already_retried", "This payout was tried again before.")
    if error.constraint == IN_FLIGHT:
        return conflict("payout_in_progress", "A payout is on its way; wait until it has arrived.")
    raise error
