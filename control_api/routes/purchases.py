"""Buying coins."""

from datetime import datetime
from http import HTTPStatus
from uuid import UUID

import msgspec

from control_api.idempotency import idempotency_key
from control_api.pagination import Page
from control_api.principal import Access
from control_api.routes.discounts import Code
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, PageQuery
from control_api.services.discounts import REFUSALS
from control_api.services.purchases import NOT_CONFIGURED, PurchasesService
from storage.repositories.purchases import BuyersPurchase, Purchase, PurchaseState


class NewPurchase(Body):
    package_id: UUID
    discount_code: Code | None = None


class PurchaseView(Data):
    """``coins`` come with ``paidAt``; of them, refunds and disputes took ``coinsTakenBack``.

    ``amount`` and ``amountTakenBack`` are in minor units of ``currency``. ``checkoutUrl`` is where it can be
    paid until ``expiresAt``, null for what is paid or over.
    """

    id: UUID
    package_id: UUID
    description: str
    coins: int
    amount: int
    currency: str
    state: PurchaseState
    coins_taken_back: int
    amount_taken_back: int
    is_test: bool
    checkout_url: str | None
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None


class AdminPurchase(PurchaseView):
    """With whose it is, and the payment provider's names of its page and of the payment.

    ``checkoutUrl`` is for the buyer alone, and null here.
    """

    user_id: UUID
    username: str
    provider: str
    session: str | None
    payment: str | None


class AdminPurchasesQuery(PageQuery, kw_only=True):
    state: PurchaseState | None = None
    user_id: UUID | None = None


class Checkout(Data):
    """Send the buyer to ``checkoutUrl``. Who comes back from there has not paid for that reason: look at the
    purchase's state, which follows within seconds."""

    purchase: PurchaseView
    checkout_url: str | None


class PurchaseRoutes:
    def __init__(self, purchases: PurchasesService) -> None:
        self._purchases = purchases

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/purchases",
                self.buy,
                "Buy coins: open a page to pay for a package",
                Access.USER,
                body=NewPurchase,
                response=Checkout,
                status=HTTPStatus.CREATED,
                errors=(
                    *REFUSALS,
                    (HTTPStatus.NOT_FOUND, "package_not_found"),
                    (HTTPStatus.CONFLICT, "discount_is_reward"),
                    (HTTPStatus.BAD_GATEWAY, "payment_provider_refused"),
                    NOT_CONFIGURED,
                ),
                needs_idempotency_key=True,
            ),
            Route(
                "GET",
                "/purchases",
                self.list,
                "One's own purchases, the newest first",
                Access.USER,
                query=PageQuery,
                response=list[PurchaseView],
            ),
            Route(
                "GET",
                "/admin/purchases",
                self.list_all,
                "Everybody's purchases, the newest first",
                Access.ADMIN,
                query=AdminPurchasesQuery,
                response=list[AdminPurchase],
            ),
        ]

    async def buy(self, call: Call[NewPurchase, None]) -> Checkout:
        body, key = call.body, idempotency_key(call.request)
        bought = await self._purchases.buy(call.user_id, key, body.package_id, body.discount_code)
        view = _view(bought)
        return Checkout(purchase=view, checkout_url=view.checkout_url)

    async def list(self, call: Call[None, PageQuery]) -> Page[PurchaseView]:
        page = await self._purchases.of_user(call.user_id, call.query.cursor, call.query.limit)
        return page.map(_view)

    async def list_all(self, call: Call[None, AdminPurchasesQuery]) -> Page[AdminPurchase]:
        query = call.query
        page = await self._purchases.of_everybody(query.state, query.user_id, query.cursor, query.limit)
        return page.map(_admin_view)


def _view(purchase: Purchase) -> PurchaseView:
    return PurchaseView(
        id=purchase.id,
        package_id=purchase.package_id,
        description=purchase.description,
        coins=purchase.coins,
        amount=purchase.amount,
        currency=purchase.currency,
        state=purchase.state,
        coins_taken_back=purchase.coins_reversed,
        amount_taken_back=purchase.amount_reversed,
        is_test=purchase.provider == "test",
        checkout_url=(purchase.checkout_url or None) if purchase.state is PurchaseState.PENDING else None,
        created_at=purchase.created_at,
        expires_at=purchase.expires_at,
        paid_at=purchase.credited_at,
    )


def _admin_view(bought: BuyersPurchase) -> AdminPurchase:
    purchase = bought.purchase
    return AdminPurchase(
        **msgspec.structs.asdict(_view(purchase)) | {"checkout_url": None},
        user_id=purchase.user_id,
        username=bought.username,
        provider=purchase.provider,
        session=purchase.session,
        payment=purchase.payment,
    )
