"""Gifts and tips: who may give what where, and the one transaction that pays for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol
from uuid import UUID

from control_api.errors import ApiError, conflict, forbidden, not_found
from control_api.pagination import Page, decode_cursor, id_in, page_of
from control_api.services.money import MAX_COINS, MoneyOptions, client_scope, insufficient_coins, key_reused
from control_api.services.playback import Denial, PlaybackAccess, denied
from control_api.services.wallet import WalletBalance, WalletService
from control_api.texts import clean_line
from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.repositories.gifts import (
    Gift,
    GiftPosition,
    Gifts,
    Given,
    GivenOnce,
    Giving,
    Leader,
    NewGiving,
    Period,
)
from storage.repositories.ledger import COIN, NO_OVERDRAFT, ONCE, Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts

MAX_QUANTITY: Final = 1000
MIN_TIP: Final = 1
MAX_TIP: Final = 1_000_000
MAX_MESSAGE: Final = 200
LEADERS: Final = 50


class LiveHere(Protocol):
    """Which rooms are live on this node; of others the database tells."""

    def is_live(self, room_id: UUID) -> bool: ...


@dataclass(frozen=True, slots=True)
class Paid:
    """What was given, and what is left."""

    given: GivenOnce
    wallet: WalletBalance


@dataclass(frozen=True, slots=True)
class Board:
    """``coins`` and ``gifts`` are what the room got in all, whatever the period of ``leaders``."""

    leaders: list[Leader]
    coins: int
    gifts: int


@dataclass(frozen=True, slots=True)
class _Order:
    """What somebody wants to give: a gift, or a tip without one."""

    kind: TransferKind
    coins: int
    gift: Gift | None = None
    quantity: int = 1
    message: str = ""


@dataclass(frozen=True, slots=True)
class GiftParts:
    """``on_given`` is called after each gift: there is news in the outbox."""

    accounts: LedgerAccounts
    wallets: WalletService
    access: PlaybackAccess
    live: LiveHere
    options: MoneyOptions = field(default_factory=MoneyOptions)
    on_given: Callable[[], None] = lambda: None


class GiftsService:
    def __init__(self, database: Database, parts: GiftParts) -> None:
        self._gifts = Gifts(database)
        self._ledger = Ledger(database)
        self._parts = parts

    async def offered(self, cursor: str | None, limit: int) -> Page[Gift]:
        """The cheapest first."""
        after = GiftPosition(*_price_and_id(cursor)) if cursor is not None else None
        found = await self._gifts.offered(after, limit + 1)
        return page_of(found, limit, lambda gift: (gift.price_coins, gift.id))

    async def give(self, user_id: UUID, room_id: UUID, key: str, gift_id: UUID, quantity: int) -> Paid:
        """Raises ApiError: 402 ``insufficient_coins``, 403, 404, 409, 422. Then nothing has moved."""
        fingerprint = f"gift {room_id} {gift_id} {quantity}"

        async def order() -> _Order:
            gift = await self._gifts.find(gift_id)
            if gift is None or not gift.is_active:
                raise not_found("gift")
            return _Order(TransferKind.GIFT, gift.price_coins * quantity, gift, quantity)

        return await self._pay(user_id, room_id, key, fingerprint, order)

    async def tip(self, user_id: UUID, room_id: UUID, key: str, coins: int, message: str) -> Paid:
        """Raises what ``give`` does."""
        message = clean_line("message", message, MAX_MESSAGE, 0)
        fingerprint = f"tip {room_id} {coins} {message}"

        async def order() -> _Order:
            return _Order(TransferKind.TIP, coins, message=message)

        return await self._pay(user_id, room_id, key, fingerprint, order)

    async def sent(self, user_id: UUID, cursor: str | None, limit: int) -> Page[Given]:
        found = await self._gifts.sent(user_id, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda given: (given.id,))

    async def received(self, user_id: UUID, cursor: str | None, limit: int) -> Page[Given]:
        found = await self._gifts.received(user_id, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda given: (given.id,))

    async def board(self, user_id: UUID | None, room_id: UUID, period: Period, limit: int) -> Board:
        """Who gave most in the room. Raises ApiError 404 for a room that the user may not know of."""
        verdict = await self._parts.access.verdict(room_id, user_id)
        if verdict is None or verdict.is_hidden or verdict.denial is Denial.PRIVATE_ROOM:
            raise not_found("room")
        leaders = await self._gifts.leaders(room_id, period, limit)
        return Board(leaders, *await self._gifts.room_total(room_id))

    async def _pay(
        self,
        user_id: UUID,
        room_id: UUID,
        key: str,
        fingerprint: str,
        make_order: Callable[[], Awaitable[_Order]],
    ) -> Paid:
        scope = client_scope(user_id)
        # Before all rules: what was paid for stays so when the room has ended meanwhile.
        given = await self._given_before(scope, key, fingerprint)
        if given is None:
            giving = await self._check(user_id, room_id)
            order = await make_order()
            await self._parts.wallets.welcome(user_id)
            transfer, gift = await self._entries(user_id, room_id, giving, order, scope, key, fingerprint)
            given = await self._give(transfer, gift)
            self._parts.on_given()
        return Paid(given, await self._parts.wallets.of(user_id))

    async def _check(self, user_id: UUID, room_id: UUID) -> Giving:
        """Raises ApiError unless the user may give in the room."""
        verdict = await self._parts.access.verdict(room_id, user_id)
        giving = await self._gifts.giving(room_id, user_id)
        if verdict is None or giving is None or verdict.is_hidden or verdict.denial is Denial.PRIVATE_ROOM:
            raise not_found("room")
        if verdict.denial is not None:
            raise denied(verdict.denial)
        if giving.owner_id == user_id:
            raise forbidden("own_room", "Nobody gives to themselves.")
        if not giving.owner_is_active:
            raise not_found("room")
        if giving.is_banned:
            raise forbidden("banned", "You are banned from this room.")
        if not giving.is_live and not self._parts.live.is_live(room_id):
            raise conflict("room_not_live", "Gifts can be given while the room is live.")
        return giving

    async def _entries(
        self,
        user_id: UUID,
        room_id: UUID,
        giving: Giving,
        order: _Order,
        scope: str,
        key: str,
        fingerprint: str,
    ) -> tuple[NewTransfer, NewGiving]:
        options, coins = self._parts.options, order.coins
        if coins > MAX_COINS:
            raise insufficient_coins()
        earned = options.earned(coins, giving.percent)
        wallet, coins_back, revenue, earnings = await self._parts.accounts.ids(
            [
                Account(AccountKind.WALLET, COIN, user_id),
                Account(AccountKind.PLATFORM, COIN),
                Account(AccountKind.PLATFORM, options.currency),
                Account(AccountKind.EARNINGS, options.currency, giving.owner_id),
            ]
        )
        lines = [Line(wallet, -coins), Line(coins_back, coins)]
        if earned:
            lines += [Line(revenue, -earned), Line(earnings, earned)]
        transfer = NewTransfer(order.kind, scope, key, fingerprint, tuple(lines))
        gift = order.gift
        return transfer, NewGiving(
            room_id,
            user_id,
            giving.owner_id,
            gift.id if gift is not None else None,
            gift.slug if gift is not None else "",
            order.quantity,
            coins,
            earned,
            options.currency,
            order.message,
        )

    async def _give(self, transfer: NewTransfer, gift: NewGiving) -> GivenOnce:
        try:
            return await self._gifts.give(transfer, gift)
        except InvalidValue as error:
            if error.constraint == NO_OVERDRAFT:
                raise insufficient_coins() from error
            raise
        except Conflict as error:
            if error.constraint != ONCE:
                raise
            given = await self._given_before(transfer.scope, transfer.key, transfer.fingerprint)
            if given is None:
                raise _in_progress() from error
            return given

    async def _given_before(self, scope: str, key: str, fingerprint: str) -> GivenOnce | None:
        """What was done under the key. Raises ApiError 422 if that was something else."""
        transfer = await self._ledger.find(scope, key)
        if transfer is None:
            return None
        given = await self._gifts.given(transfer.id)
        if given is None or transfer.fingerprint != fingerprint:
            raise key_reused()
        return given


def _price_and_id(cursor: str) -> tuple[int, UUID]:
    price, gift_id = decode_cursor(cursor, int, UUID)
    return min(max(price, 0), MAX_COINS), gift_id


def _in_progress() -> ApiError:
    return ApiError(
        HTTPStatus.CONFLICT, "request_in_progress", "The same request is being worked on; ask again shortly."
    )
