"""Discount and reward codes: what they give, who may use them, and how often.

A code that a purchase uses is held from checkout on, and given back when nothing comes of it.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from uuid import UUID

from control_api.errors import ApiError, conflict, invalid, not_found
from control_api.pagination import Page, id_in, page_of
from control_api.services.money import client_scope, key_reused
from control_api.services.wallet import WalletBalance, WalletService
from storage.database import Database
from storage.errors import Conflict, InvalidValue
from storage.repositories.audit import AuditLog
from storage.repositories.coin_packages import CoinPackage, CoinPackages
from storage.repositories.discounts import (
    CODE_TAKEN,
    USER_KNOWN,
    Discount,
    DiscountKind,
    Discounts,
    NewDiscount,
    Standing,
)
from storage.repositories.ledger import COIN, ONCE, Ledger, Line, NewTransfer, TransferKind
from storage.repositories.ledger_accounts import Account, AccountKind, LedgerAccounts

MIN_CODE: Final = 4
MAX_CODE: Final = 32
MAX_PERCENT: Final = 90
MAX_BONUS: Final = 1_000_000
MAX_USES: Final = 1_000_000_000
LEAST_AMOUNT: Final = 50
"""In minor units; providers take no less."""
LAST_END: Final = datetime(3000, 1, 1, tzinfo=UTC)
"""Near the end of the calendar there is no UTC for every time."""
REFUSALS: Final = (
    (HTTPStatus.NOT_FOUND, "discount_not_found"),
    (HTTPStatus.CONFLICT, "discount_expired"),
    (HTTPStatus.CONFLICT, "discount_used"),
    (HTTPStatus.CONFLICT, "discount_used_up"),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a purchase gives and costs. ``saved`` and ``bonus_coins`` are what a code did."""

    coins: int
    amount: int
    currency: str
    saved: int = 0
    bonus_coins: int = 0


@dataclass(frozen=True, slots=True)
class Redeemed:
    coins: int
    wallet: WalletBalance


def clean_code(code: str) -> str:
    return code.strip().upper()


def usable(standing: Standing | None, is_for_purchase: bool) -> Discount:
    """Raises ApiError: 404 ``discount_not_found``, 409 for a code that cannot be used, or not for this."""
    if standing is None:
        raise not_found("discount")
    discount = standing.discount
    if standing.is_expired:
        raise conflict("discount_expired", "This code has expired.")
    if discount.uses_per_user is not None and standing.own_uses >= discount.uses_per_user:
        raise conflict("discount_used", "You have used this code already.")
    if discount.max_uses is not None and discount.uses >= discount.max_uses:
        raise conflict("discount_used_up", "This code has been used up.")
    if is_for_purchase and discount.kind is DiscountKind.REWARD:
        raise conflict("discount_is_reward", "This code gives coins by itself: redeem it.")
    if not is_for_purchase and discount.kind is not DiscountKind.REWARD:
        raise conflict("discount_needs_purchase", "This code is for buying coins: enter it there.")
    return discount


def offer(package: CoinPackage, discount: Discount | None) -> Offer:
    """Rounded in the buyer's favour."""
    if discount is None:
        return Offer(package.coins, package.price, package.currency)
    amount = package.price - -(-package.price * discount.percent // 100)
    amount = max(amount, min(package.price, LEAST_AMOUNT))
    coins = package.coins + discount.coins
    return Offer(coins, amount, package.currency, package.price - amount, discount.coins)


class DiscountsService:
    def __init__(self, database: Database, accounts: LedgerAccounts, wallets: WalletService) -> None:
        self._database = database
        self._accounts = accounts
        self._wallets = wallets

    async def validate(
        self, user_id: UUID, code: str, package_id: UUID | None
    ) -> tuple[Discount, Offer | None]:
        """The code, and what it makes of the package. Raises what ``usable`` does, and 404."""
        standing = await Discounts(self._database).standing(clean_code(code), user_id)
        is_reward = standing is not None and standing.discount.kind is DiscountKind.REWARD
        discount = usable(standing, is_for_purchase=package_id is not None or not is_reward)
        if package_id is None:
            return discount, None
        package = await CoinPackages(self._database).find(package_id)
        if package is None or not package.is_offered:
            raise not_found("package")
        return discount, offer(package, discount)

    async def mine(self, user_id: UUID, cursor: str | None, limit: int) -> Page[Discount]:
        """Codes for this user alone that can be used still."""
        found = await Discounts(self._database).of_user(user_id, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda discount: (discount.id,))

    async def redeem(self, user_id: UUID, key: str, code: str) -> Redeemed:
        """Coins for a reward code. Raises what ``usable`` does, 422 for a key of something else."""
        code = clean_code(code)
        scope, fingerprint = client_scope(user_id), f"reward {code}"
        coins = await self._redeemed_before(scope, key, fingerprint)
        if coins is None:
            # The bonus comes first, so that it is not taken for the reward.
            await self._wallets.welcome(user_id)
            source, wallet = await self._accounts.ids(
                [Account(AccountKind.BONUS, COIN), Account(AccountKind.WALLET, COIN, user_id)]
            )
            try:
                coins = await self._redeem(user_id, code, (scope, key, fingerprint), (source, wallet))
            except (Conflict, ApiError) as error:
                if isinstance(error, Conflict) and error.constraint != ONCE:
                    raise
                # The same was asked for at the same moment: it may be this that used the code up.
                coins = await self._redeemed_before(scope, key, fingerprint)
                if coins is None:
                    raise
        return Redeemed(coins, await self._wallets.of(user_id))

    async def newest(self, cursor: str | None, limit: int) -> Page[Discount]:
        """For administrators: all of them."""
        found = await Discounts(self._database).newest(id_in(cursor), limit + 1)
        return page_of(found, limit, lambda discount: (discount.id,))

    async def add(self, actor_id: UUID, address: str, new: NewDiscount) -> Discount:
        """Raises ApiError: 400, 404 ``user_not_found``, 409 ``code_taken``."""
        _check(new)
        try:
            async with self._database.transaction() as transaction:
                discount = await Discounts(transaction).add(replace(new, code=clean_code(new.code)))
                details: dict[str, object] = {"code": discount.code, "kind": discount.kind.value}
                await AuditLog(transaction).add(
                    actor_id, "discount.added", "discount", str(discount.id), address, details
                )
        except Conflict as error:
            if error.constraint != CODE_TAKEN:
                raise
            raise conflict("code_taken", "There is such a code already.", "code") from error
        except InvalidValue as error:
            if error.constraint != USER_KNOWN:
                raise
            raise not_found("user") from error
        return discount

    async def retire(self, actor_id: UUID, address: str, discount_id: UUID) -> None:
        """Raises ApiError 404 ``discount_not_found``."""
        async with self._database.transaction() as transaction:
            if not await Discounts(transaction).retire(discount_id):
                raise not_found("discount")
            await AuditLog(transaction).add(
                actor_id, "discount.retired", "discount", str(discount_id), address
            )

    async def _redeem(
        self, user_id: UUID, code: str, once: tuple[str, str, str], accounts: tuple[int, int]
    ) -> int:
        scope, key, fingerprint = once
        source, wallet = accounts
        async with self._database.transaction() as transaction:
            discounts = Discounts(transaction)
            discount = usable(await discounts.lock(code, user_id), is_for_purchase=False)
            await discounts.use(discount.id, user_id)
            lines = (Line(source, -discount.coins), Line(wallet, discount.coins))
            reason = f"Code {discount.code}"
            await Ledger(transaction).post(
                NewTransfer(TransferKind.REWARD, scope, key, f"{fingerprint} {discount.coins}", lines, reason)
            )
        return discount.coins

    async def _redeemed_before(self, scope: str, key: str, fingerprint: str) -> int | None:
        """The coins that were given under this key. Raises ApiError 422 when it was for something else."""
        before = await Ledger(self._database).find(scope, key)
        if before is None:
            return None
        asked, _, coins = before.fingerprint.rpartition(" ")
        if asked != fingerprint:
            raise key_reused()
        return int(coins)


def _check(new: NewDiscount) -> None:
    is_percentage = new.kind is DiscountKind.PERCENTAGE
    if is_percentage != (new.percent > 0):
        raise invalid("percent", "is for codes of the kind percentage, and only these")
    if is_percentage == (new.coins > 0):
        raise invalid("coins", "is for codes of the kinds bonus_coins and reward, and only these")
    if new.expires_at is not None and not datetime.now(UTC) < new.expires_at < LAST_END:
        raise invalid("expiresAt", f"must be in the future, and before {LAST_END.year}")
