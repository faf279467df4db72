"""Wallets: what is in them, what went in and out, the welcome bonus, and an administrator's hand."""

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from control_api.errors import ApiError, conflict, invalid, not_found
from control_api.identity.ports import Balance
from control_api.pagination import Page, decode_cursor, page_of
from control_api.services.money import MoneyOptions, client_scope, key_reused
from control_api.texts import clean_line
from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.repositories import Users
from storage.repositories.audit import AuditLog
from storage.repositories.ledger import (
    COIN,
    GEM,
    NO_OVERDRAFT,
    ONCE,
    Holding,
    Ledger,
    Line,
    Movement,
    NewTransfer,
    TransferKind,
)
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts
from storage.repositories.wallets import BONUS_SCOPE, Wallets, Welcome

MAX_REASON: Final = 200
MAX_WELCOMED: Final = 100_000


@dataclass(frozen=True, slots=True)
class WalletBalance:
    """Earnings in minor units of ``currency``: those that may be paid out, and those on their way.

    ``debt_coins`` is what a refund or dispute could not take back.
    """

    coins: int
    gems: int
    earnings: int
    pending_earnings: int
    debt_coins: int
    currency: str


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What is added, or taken below zero. ``reason`` is for the audit log and for the user."""

    coins: int
    gems: int
    reason: str


class WalletService:
    """Implements control_api.identity.ports.Wallets, too. Keep one for long: it remembers accounts.

    ``secret`` is the server's: of addresses that were welcomed, only digests with it are kept.
    """

    def __init__(
        self,
        database: Database,
        accounts: LedgerAccounts,
        secret: bytes,
        options: MoneyOptions | None = None,
    ) -> None:
        self._database = database
        self._ledger = Ledger(database)
        self._accounts = accounts
        self._secret = secret
        self._options = options or MoneyOptions()
        self._welcomed: set[UUID] = set()

    async def of(self, user_id: UUID) -> WalletBalance:
        """With the welcome bonus, which whoever has verified their address finds there."""
        await self.welcome(user_id)
        return (await self.of_many([user_id]))[user_id]

    async def of_many(self, user_ids: Collection[UUID]) -> dict[UUID, WalletBalance]:
        """As they are: without a welcome bonus that nobody has asked for yet."""
        holdings = await self._ledger.holdings_of(user_ids)
        return {user_id: self._balance(held) for user_id, held in holdings.items()}

    def _balance(self, holdings: Sequence[Holding]) -> WalletBalance:
        held = {(each.kind, each.currency): each.balance for each in holdings}
        money = self._options.currency
        return WalletBalance(
            coins=held.get((AccountKind.WALLET, COIN), 0),
            gems=held.get((AccountKind.WALLET, GEM), 0),
            earnings=held.get((AccountKind.EARNINGS, money), 0),
            pending_earnings=held.get((AccountKind.PENDING_PAYOUT, money), 0),
            debt_coins=-held.get((AccountKind.DEBT, COIN), 0),
            currency=money,
        )

    async def balance_of(self, user_id: UUID) -> Balance:
        wallet = await self.of(user_id)
        return Balance(wallet.coins, wallet.gems)

    async def movements(
        self, user_id: UUID, kind: AccountKind | None, cursor: str | None, limit: int
    ) -> Page[Movement]:
        """The newest first."""
        before: tuple[UUID, int] | None = None
        if cursor is not None:
            transfer_id, place = decode_cursor(cursor, UUID, int)
            if not 0 <= place < 2**15:
                raise invalid("cursor", "is none that this list gave out")
            before = (transfer_id, place)
        found = await self._ledger.movements(user_id, kind, before, limit + 1)
        return page_of(found, limit, lambda each: (each.transfer_id, each.place))

    async def welcome(self, user_id: UUID) -> None:
        """Give the bonus to who is entitled, unless it was given to them or to their address before."""
        if user_id in self._welcomed or not self._options.welcome_coins:
            return
        welcome = await Wallets(self._database).welcome(user_id)
        if welcome.is_entitled and not welcome.is_settled:
            await self._settle_welcome(user_id, welcome)
        if welcome.is_entitled or welcome.is_settled:
            if len(self._welcomed) >= MAX_WELCOMED:
                self._welcomed.clear()
            self._welcomed.add(user_id)

    async def adjust(
        self, actor_id: UUID, address: str, user_id: UUID, key: str, adjustment: Adjustment
    ) -> WalletBalance:
        """Raises ApiError: 404 ``user_not_found``, 409 ``insufficient_balance``, 422."""
        reason = clean_line("reason", adjustment.reason, MAX_REASON)
        if not adjustment.coins and not adjustment.gems:
            raise invalid("coins", "must be other than 0, or gems must")
        if await Users(self._database).find_by_id(user_id) is None:
            raise not_found("user")
        transfer = await self._adjusting(actor_id, user_id, key, adjustment, reason)
        try:
            await self._adjust(actor_id, address, user_id, transfer, adjustment)
        except (Conflict, InvalidValue) as error:
            await self._explain(error, transfer)
        return await self.of(user_id)

    async def _settle_welcome(self, user_id: UUID, welcome: Welcome) -> None:
        source, wallet = await self._accounts.ids(
            [Account(AccountKind.BONUS, COIN), Account(AccountKind.WALLET, COIN, user_id)]
        )
        coins = self._options.welcome_coins
        lines = (Line(source, -coins), Line(wallet, coins))
        key = self._address_digest(welcome.email)
        transfer = NewTransfer(TransferKind.BONUS, BONUS_SCOPE, key, "welcome", lines, "Welcome")
        async with self._database.transaction() as transaction:
            if not await Wallets(transaction).settle_welcome(user_id) or welcome.had_once:
                return
            try:
                await Ledger(transaction).post(transfer)
            except Conflict as error:
                # A deleted account frees its address, but not a second bonus.
                if error.constraint != ONCE:
                    raise

    def _address_digest(self, email: str) -> str:
        """The same for all that the database takes for the same address."""
        return hmac.new(self._secret, f"welcome {email.lower()}".encode(), hashlib.sha256).hexdigest()

    async def _adjusting(
        self, actor_id: UUID, user_id: UUID, key: str, adjustment: Adjustment, reason: str
    ) -> NewTransfer:
        lines: list[Line] = []
        for currency, amount in ((COIN, adjustment.coins), (GEM, adjustment.gems)):
            if amount:
                source = Account(AccountKind.ADJUSTMENT, currency)
                target = Account(AccountKind.WALLET, currency, user_id)
                hand, wallet = await self._accounts.ids([source, target])
                lines += [Line(hand, -amount), Line(wallet, amount)]
        fingerprint = f"adjust {user_id} {adjustment.coins} {adjustment.gems} {reason}"
        return NewTransfer(
            TransferKind.ADJUSTMENT, client_scope(actor_id), key, fingerprint, tuple(lines), reason
        )

    async def _adjust(
        self, actor_id: UUID, address: str, user_id: UUID, transfer: NewTransfer, adjustment: Adjustment
    ) -> None:
        async with self._database.transaction() as transaction:
            transfer_id = await Ledger(transaction).post(transfer)
            details: dict[str, object] = {
                "transferId": str(transfer_id),
                "coins": adjustment.coins,
                "gems": adjustment.gems,
                "reason": transfer.reason,
            }
            await AuditLog(transaction).add(
                actor_id, "wallet.adjusted", "user", str(user_id), address, details
            )

    async def _explain(self, error: Conflict | InvalidValue, transfer: NewTransfer) -> None:
        """Raises ApiError, unless the same was done before."""
        if error.constraint == NO_OVERDRAFT:
            raise conflict("insufficient_balance", "There is not so much in the wallet.") from error
        if error.constraint != ONCE:
            raise _too_much() from error
        before = await self._ledger.find(transfer.scope, transfer.key)
        if before is None or before.fingerprint != transfer.fingerprint:
            raise key_reused() from error


def _too_much() -> ApiError:
    return conflict("insufficient_balance", "The wallet cannot hold that much.")
