"""An administrator's hand in what creators earned; that in wallets is control_api.services.wallet's."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from control_api.errors import conflict, invalid, not_found
from control_api.services.money import MoneyOptions, client_scope, key_reused
from control_api.texts import clean_line
from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.repositories import Users
from storage.repositories.audit import AuditLog
from storage.repositories.ledger import NO_OVERDRAFT, ONCE, Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts

MAX_REASON: Final = 200
MAX_AMOUNT: Final = 99_999_999


@dataclass(frozen=True, slots=True)
class EarningsAdjustment:
    """Minor units that are added, or taken below zero. ``currency`` of None is the server's."""

    amount: int
    currency: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Earnings:
    """What may be paid out, and what is on its way, in minor units of ``currency``."""

    available: int
    pending: int
    currency: str


class AdminMoneyService:
    """Keep one for long: ``accounts`` remembers accounts."""

    def __init__(
        self, database: Database, accounts: LedgerAccounts, options: MoneyOptions | None = None
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._ledger = Ledger(database)
        self._options = options or MoneyOptions()

    async def adjust(
        self, actor_id: UUID, address: str, user_id: UUID, key: str, adjustment: EarningsAdjustment
    ) -> Earnings:
        """Once for each key. Raises ApiError: 404 ``user_not_found``, 409 ``insufficient_balance``, 422."""
        reason = clean_line("reason", adjustment.reason, MAX_REASON)
        if not adjustment.amount:
            raise invalid("amount", "must be other than 0")
        if await Users(self._database).find_by_id(user_id) is None:
            raise not_found("user")
        currency = adjustment.currency or self._options.currency
        transfer = await self._transfer(actor_id, user_id, key, adjustment.amount, currency, reason)
        try:
            await self._post(actor_id, address, user_id, transfer, adjustment.amount, currency)
        except InvalidValue as error:
            if error.constraint != NO_OVERDRAFT:
                raise conflict("insufficient_balance", "The earnings cannot hold that much.") from error
            raise conflict("insufficient_balance", "There are not so many earnings.") from error
        except Conflict as error:
            await self._recall(error, transfer)
        return await self._of(user_id, currency)

    async def _transfer(
        self, actor_id: UUID, user_id: UUID, key: str, amount: int, currency: str, reason: str
    ) -> NewTransfer:
        hand, earnings = await self._accounts.ids(
            [
                Account(AccountKind.ADJUSTMENT, currency),
                Account(AccountKind.EARNINGS, currency, user_id),
            ]
        )
        lines = (Line(hand, -amount), Line(earnings, amount))
        fingerprint = f"adjust earnings {user_id} {amount} {currency} {reason}"
        scope = client_scope(actor_id)
        return NewTransfer(TransferKind.ADJUSTMENT, scope, key, fingerprint, lines, reason)

    async def _post(
        self,
        actor_id: UUID,
        address: str,
        user_id: UUID,
        transfer: NewTransfer,
        amount: int,
        currency: str,
    ) -> None:
        async with self._database.transaction() as transaction:
            transfer_id = await Ledger(transaction).post(transfer)
            details: dict[str, object] = {
                "transferId": str(transfer_id),
                "amount": amount,
                "currency": currency,
                "reason": transfer.reason,
            }
            await AuditLog(transaction).add(
                actor_id, "earnings.adjusted", "user", str(user_id), address, details
            )

    async def _recall(self, error: Conflict, transfer: NewTransfer) -> None:
        """Raises ApiError 422, unless the same was done before."""
        if error.constraint != ONCE:
            raise error
        before = await self._ledger.find(transfer.scope, transfer.key)
        if before is None or before.fingerprint != transfer.fingerprint:
            raise key_reused() from error

    async def _of(self, user_id: UUID, currency: str) -> Earnings:
        held = {
            each.kind: each.balance
            for each in await self._ledger.holdings(user_id)
            if each.currency == currency
        }
        available, pending = held.get(AccountKind.EARNINGS, 0), held.get(AccountKind.PENDING_PAYOUT, 0)
        return Earnings(available, pending, currency)
