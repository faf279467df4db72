"""Buying coins: an order here, a page of the payment provider's to pay it, and no coins until it says so."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

import structlog

from control_api.errors import ApiError, not_found
from control_api.pagination import Page, id_in, page_of
from control_api.payments.ports import CheckoutOrder, PaymentProvider
from control_api.services.discounts import clean_code, offer, usable
from control_api.services.money import key_reused
from control_api.services.purchase_ledger import accounts_of
from storage.database import Database, Transaction
from storage.errors import Conflict
from storage.repositories import Users
from storage.repositories.coin_packages import CoinPackage, CoinPackages
from storage.repositories.discounts import Discounts
from storage.repositories.ledger_accounts import LedgerAccounts
from storage.repositories.purchases import (
    ONE_KEY,
    BuyersPurchase,
    NewPurchase,
    Purchase,
    Purchases,
    PurchaseState,
)

logger = structlog.get_logger("mediaserver.money")

CHECKOUT_SECONDS: Final = 35 * 60
"""How long a checkout page is open; Stripe wants at least half an hour."""
NOT_CONFIGURED: Final = (HTTPStatus.SERVICE_UNAVAILABLE, "payments_not_configured")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What somebody wants to buy."""

    user_id: UUID
    key: str
    package_id: UUID
    code: str | None

    @property
    def fingerprint(self) -> str:
        return f"purchase {self.package_id} {self.code or ''}"


class PurchasesService:
    """Without a ``provider`` nothing can be bought."""

    def __init__(
        self,
        database: Database,
        accounts: LedgerAccounts,
        provider: PaymentProvider | None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._provider = provider
        self._now = now

    async def buy(self, user_id: UUID, key: str, package_id: UUID, code: str | None) -> Purchase:
        """Raises ApiError: 404, 409 for a code that cannot be used, 422, 502 and 503 of the provider."""
        provider = self._configured()
        wish = _Wish(user_id, key, package_id, clean_code(code) if code is not None else None)
        purchase = await Purchases(self._database).find_by_key(user_id, key)
        if purchase is None:
            purchase = await self._order(provider, wish)
        if purchase.fingerprint != wish.fingerprint:
            raise key_reused()
        if purchase.session is None and purchase.state is PurchaseState.PENDING:
            return await self._open(provider, purchase)
        return purchase

    async def of_user(self, user_id: UUID, cursor: str | None, limit: int) -> Page[Purchase]:
        """The newest first."""
        found = await Purchases(self._database).of_user(user_id, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda purchase: (purchase.id,))

    async def of_everybody(
        self, state: PurchaseState | None, user_id: UUID | None, cursor: str | None, limit: int
    ) -> Page[BuyersPurchase]:
        """The newest first; of one state and one user where they are given."""
        purchases = Purchases(self._database)
        found = await purchases.of_everybody(state, user_id, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda bought: (bought.purchase.id,))

    def _configured(self) -> PaymentProvider:
        if self._provider is None:
            raise not_configured()
        return self._provider

    async def _order(self, provider: PaymentProvider, wish: _Wish) -> Purchase:
        package = await CoinPackages(self._database).find(wish.package_id)
        if package is None or not package.is_offered:
            raise not_found("package")
        await self._accounts.ids(accounts_of(wish.user_id, package.currency))
        try:
            async with self._database.transaction() as transaction:
                return await self._add(transaction, provider, wish, package)
        except (Conflict, ApiError) as error:
            if isinstance(error, Conflict) and error.constraint != ONE_KEY:
                raise
            # The same was asked for at the same moment: it may be this that took the last use of the code.
            before = await Purchases(self._database).find_by_key(wish.user_id, wish.key)
            if before is None:
                raise
            return before

    async def _add(
        self, transaction: Transaction, provider: PaymentProvider, wish: _Wish, package: CoinPackage
    ) -> Purchase:
        discounts, purchases = Discounts(transaction), Purchases(transaction)
        discount = None
        if wish.code is not None:
            discount = usable(await discounts.lock(wish.code, wish.user_id), is_for_purchase=True)
            await discounts.use(discount.id, wish.user_id)
        terms = offer(package, discount)
        purchase = await purchases.add(
            NewPurchase(
                wish.user_id,
                wish.key,
                wish.fingerprint,
                package.id,
                f"{package.name}: {terms.coins} coins",
                terms.coins,
                terms.amount,
                terms.currency,
                discount.id if discount is not None else None,
                provider.scope,
                self._now() + timedelta(seconds=CHECKOUT_SECONDS),
            )
        )
        await purchases.set_state(purchase.id, PurchaseState.PENDING, None)
        return purchase

    async def _open(self, provider: PaymentProvider, purchase: Purchase) -> Purchase:
        user = await Users(self._database).find_by_id(purchase.user_id)
        order = CheckoutOrder(
            purchase.id,
            purchase.description,
            purchase.amount,
            purchase.currency,
            user.email if user is not None else "",
            purchase.expires_at,
        )
        try:
            session = await provider.open_checkout(order)
        except ApiError as error:
            await self._give_up(purchase.id, error.code)
            raise
        await Purchases(self._database).set_session(purchase.id, session.id, session.url)
        logger.info("purchase_opened", purchase_id=str(purchase.id), session=session.id)
        return replace(purchase, session=session.id, checkout_url=session.url)

    async def _give_up(self, purchase_id: UUID, reason: str) -> None:
        """Nobody has the address of its page, if there is one: the code and the key are free again."""
        async with self._database.transaction() as transaction:
            purchases = Purchases(transaction)
            purchase = await purchases.lock(purchase_id)
            if purchase is None or purchase.session is not None:
                return
            if purchase.state is PurchaseState.PENDING:
                await end_unpaid(transaction, purchase, PurchaseState.FAILED, None, reason)
                await purchases.free_key(purchase_id)


async def end_unpaid(
    transaction: Transaction,
    purchase: Purchase,
    state: PurchaseState,
    event_id: str | None,
    note: str = "",
) -> None:
    """Nothing comes of it: the code that it held can be used again. It must be locked."""
    purchases = Purchases(transaction)
    await purchases.set_state(purchase.id, state, event_id, note)
    if purchase.holds_discount and purchase.discount_id is not None:
        await Discounts(transaction).release(purchase.discount_id, purchase.user_id)
        await purchases.release_discount(purchase.id)
    logger.info("purchase_ended", purchase_id=str(purchase.id), state=state.value, note=note)


def not_configured() -> ApiError:
    return ApiError(
        *NOT_CONFIGURED,
        "This server cannot take payments yet: its operator has to set stripe.secret_key and"
        " stripe.webhook_secret (or money.test_payments, to try it without money).",
    )
