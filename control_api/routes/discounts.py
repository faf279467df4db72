"""Discount and reward codes."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from control_api.idempotency import idempotency_key
from control_api.pagination import Page
from control_api.principal import Access
from control_api.routes.wallet import Wallet, wallet_view
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, PageQuery
from control_api.services.discounts import (
    MAX_BONUS,
    MAX_CODE,
    MAX_PERCENT,
    MAX_USES,
    MIN_CODE,
    REFUSALS,
    DiscountsService,
    Offer,
)
from storage.repositories.discounts import Discount, DiscountKind, NewDiscount

Code = Annotated[str, Meta(min_length=MIN_CODE, max_length=MAX_CODE, pattern="^[A-Za-z0-9][A-Za-z0-9-]*$")]
Aware = Annotated[datetime, Meta(tz=True)]
NOT_FOUND = (HTTPStatus.NOT_FOUND, "discount_not_found")


class CodeToCheck(Body):
    """With ``packageId`` the answer says what that package costs with the code."""

    code: Code
    package_id: UUID | None = None


class CodeToRedeem(Body):
    code: Code


class NewDiscountCode(Body):
    """``percent`` is for the kind percentage, ``coins`` for the others. A limit that is left out is none.

    With ``userId`` the code is for that user alone. Small and large letters are the same in codes.
    """

    code: Code
    kind: DiscountKind
    percent: Annotated[int, Meta(ge=0, le=MAX_PERCENT)] = 0
    coins: Annotated[int, Meta(ge=0, le=MAX_BONUS)] = 0
    max_uses: Annotated[int, Meta(ge=1, le=MAX_USES)] | None = None
    uses_per_user: Annotated[int, Meta(ge=1, le=MAX_USES)] | None = 1
    user_id: UUID | None = None
    expires_at: Aware | None = None


class DiscountView(Data):
    """``percent`` off the price, or ``coins`` on top of a package or, of the kind reward, by themselves."""

    code: str
    kind: DiscountKind
    percent: int
    coins: int
    expires_at: datetime | None


class OfferView(Data):
    """``amount`` is what is to be paid, in minor units of ``currency``, for ``coins`` in all."""

    coins: int
    amount: int
    currency: str
    saved: int
    bonus_coins: int


class CheckedCode(Data):
    discount: DiscountView
    offer: OfferView | None


class RedeemedCode(Data):
    """``coins`` are what the code gave."""

    coins: int
    wallet: Wallet


class AdminDiscountView(DiscountView):
    """``uses`` counts those, too, that purchases hold which are not paid yet."""

    id: UUID
    max_uses: int | None
    uses_per_user: int | None
    user_id: UUID | None
    uses: int
    retired_at: datetime | None
    created_at: datetime


class DiscountRoutes:
    def __init__(self, discounts: DiscountsService) -> None:
        self._discounts = discounts

    def routes(self) -> list[Route]:
        return [*self._own_routes(), *self._admin_routes()]

    def _own_routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/discounts/validate",
                self.validate,
                "What a code does, for whoever asks",
                Access.USER,
                body=CodeToCheck,
                response=CheckedCode,
                errors=(
                    *REFUSALS,
                    (HTTPStatus.NOT_FOUND, "package_not_found"),
                    (HTTPStatus.CONFLICT, "discount_is_reward"),
                ),
            ),
            Route(
                "GET",
                "/discounts/mine",
                self.mine,
                "Codes for oneself alone that can be used still, the newest first",
                Access.USER,
                query=PageQuery,
                response=list[DiscountView],
            ),
            Route(
                "POST",
                "/discounts/redeem",
                self.redeem,
                "Get the coins of a reward code",
                Access.USER,
                body=CodeToRedeem,
                response=RedeemedCode,
                errors=(*REFUSALS, (HTTPStatus.CONFLICT, "discount_needs_purchase")),
                needs_idempotency_key=True,
            ),
        ]

    def _admin_routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/admin/discounts",
                self.list,
                "All codes, the newest first",
                Access.ADMIN,
                query=PageQuery,
                response=list[AdminDiscountView],
            ),
            Route(
                "POST",
                "/admin/discounts",
                self.add,
                "Make a discount or reward code",
                Access.ADMIN,
                body=NewDiscountCode,
                response=AdminDiscountView,
                status=HTTPStatus.CREATED,
                errors=((HTTPStatus.CONFLICT, "code_taken"), (HTTPStatus.NOT_FOUND, "user_not_found")),
            ),
            Route(
                "DELETE",
                "/admin/discounts/{id}",
                self.retire,
                "Let a code be used no longer",
                Access.ADMIN,
                errors=(NOT_FOUND,),
            ),
        ]

    async def validate(self, call: Call[CodeToCheck, None]) -> CheckedCode:
        body = call.body
        discount, offer = await self._discounts.validate(call.user_id, body.code, body.package_id)
        return CheckedCode(discount=_view(discount), offer=_offer(offer) if offer is not None else None)

    async def mine(self, call: Call[None, PageQuery]) -> Page[DiscountView]:
        page = await self._discounts.mine(call.user_id, call.query.cursor, call.query.limit)
        return page.map(_view)

    async def redeem(self, call: Call[CodeToRedeem, None]) -> RedeemedCode:
        key = idempotency_key(call.request)
        redeemed = await self._discounts.redeem(call.user_id, key, call.body.code)
        return RedeemedCode(coins=redeemed.coins, wallet=wallet_view(redeemed.wallet))

    async def list(self, call: Call[None, PageQuery]) -> Page[AdminDiscountView]:
        page = await self._discounts.newest(call.query.cursor, call.query.limit)
        return page.map(_admin_view)

    async def add(self, call: Call[NewDiscountCode, None]) -> AdminDiscountView:
        body = call.body
        new = NewDiscount(
            body.code,
            body.kind,
            body.percent,
            body.coins,
            body.max_uses,
            body.uses_per_user,
            body.user_id,
            body.expires_at,
        )
        return _admin_view(await self._discounts.add(call.user_id, call.address, new))

    async def retire(self, call: Call[None, None]) -> None:
        await self._discounts.retire(call.user_id, call.address, call.path_id("id", "discount"))


def _view(discount: Discount) -> DiscountView:
    return DiscountView(
        code=discount.code,
        kind=discount.kind,
        percent=discount.percent,
        coins=discount.coins,
        expires_at=discount.expires_at,
    )


def _admin_view(discount: Discount) -> AdminDiscountView:
    return AdminDiscountView(
        id=discount.id,
        code=discount.code,
        kind=discount.kind,
        percent=discount.percent,
        coins=discount.coins,
        expires_at=discount.expires_at,
        max_uses=discount.max_uses,
        uses_per_user=discount.uses_per_user,
        user_id=discount.user_id,
        uses=discount.uses,
        retired_at=discount.retired_at,
        created_at=discount.created_at,
    )


def _offer(offer: Offer) -> OfferView:
    return OfferView(
        coins=offer.coins,
        amount=offer.amount,
        currency=offer.currency,
        saved=offer.saved,
        bonus_coins=offer.bonus_coins,
    )
