"""One's own wallet, and the administrators' hand in those of others."""

from datetime import datetime
from enum import Enum
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from control_api.idempotency import idempotency_key
from control_api.pagination import Page
from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, PageQuery
from control_api.services.money import MAX_COINS
from control_api.services.wallet import MAX_REASON, Adjustment, WalletBalance, WalletService
from control_api.texts import LINE_PATTERN
from storage.repositories.ledger import Movement, TransferKind
from storage.repositories.ledger_accounts import AccountKind


class Wallet(Data):
    """Coins and gems are whole; ``earnings`` and ``pendingEarnings``, which are being paid out, are in minor
    units of ``currency``. ``debtCoins`` is what a refund could not take back."""

    coins: int
    gems: int
    earnings: int
    pending_earnings: int
    debt_coins: int
    currency: str


class Pocket(Enum):
    """An account of a user."""

    WALLET = "wallet"
    EARNINGS = "earnings"
    PENDING_PAYOUT = "pending_payout"
    DEBT = "debt"


class TransactionsQuery(PageQuery, kw_only=True):
    account: Pocket | None = None


class TransactionView(Data):
    """``amount`` is below zero for what went out, in whole coins or gems, or minor units of ``currency``."""

    id: UUID
    kind: TransferKind
    account: Pocket
    currency: str
    amount: int
    reason: str
    created_at: datetime


class WalletAdjustment(Body):
    """What is added; below zero it is taken. One of both must be other than 0."""

    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON, pattern=LINE_PATTERN)]
    coins: Annotated[int, Meta(ge=-MAX_COINS, le=MAX_COINS)] = 0
    gems: Annotated[int, Meta(ge=-MAX_COINS, le=MAX_COINS)] = 0


class WalletRoutes:
    def __init__(self, wallets: WalletService) -> None:
        self._wallets = wallets

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/wallet", self.get, "One's own wallet", Access.USER, response=Wallet),
            Route(
                "GET",
                "/wallet/transactions",
                self.transactions,
                "What went in and out, the newest first",
                Access.USER,
                query=TransactionsQuery,
                response=list[TransactionView],
            ),
            Route(
                "POST",
                "/admin/wallets/{id}/adjust",
                self.adjust,
                "Put coins or gems into a user's wallet, or take them out",
                Access.ADMIN,
                body=WalletAdjustment,
                response=Wallet,
                errors=(
                    (HTTPStatus.NOT_FOUND, "user_not_found"),
                    (HTTPStatus.CONFLICT, "insufficient_balance"),
                ),
                needs_idempotency_key=True,
            ),
        ]

    async def get(self, call: Call[None, None]) -> Wallet:
        return wallet_view(await self._wallets.of(call.user_id))

    async def transactions(self, call: Call[None, TransactionsQuery]) -> Page[TransactionView]:
        query = call.query
        kind = AccountKind(query.account.value) if query.account is not None else None
        page = await self._wallets.movements(call.user_id, kind, query.cursor, query.limit)
        return page.map(_transaction)

    async def adjust(self, call: Call[WalletAdjustment, None]) -> Wallet:
        body = call.body
        adjustment = Adjustment(body.coins, body.gems, body.reason)
        user_id, key = call.path_id("id", "user"), idempotency_key(call.request)
        return wallet_view(await self._wallets.adjust(call.user_id, call.address, user_id, key, adjustment))


def wallet_view(wallet: WalletBalance) -> Wallet:
    return Wallet(
        coins=wallet.coins,
        gems=wallet.gems,
        earnings=wallet.earnings,
        pending_earnings=wallet.pending_earnings,
        debt_coins=wallet.debt_coins,
        currency=wallet.currency,
    )


def _transaction(movement: Movement) -> TransactionView:
    return TransactionView(
        id=movement.transfer_id,
        kind=movement.kind,
        account=Pocket(movement.account.value),
        currency=movement.currency,
        amount=movement.amount,
        reason=movement.reason,
        created_at=movement.created_at,
    )
