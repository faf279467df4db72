"""The administrators' hand in what creators earned."""

from http import HTTPStatus
from typing import Annotated

from msgspec import Meta

from control_api.idempotency import idempotency_key
from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Body, Data
from control_api.services.admin_money import (
    MAX_AMOUNT,
    MAX_REASON,
    AdminMoneyService,
    EarningsAdjustment,
)
from control_api.services.money import CURRENCY_PATTERN
from control_api.texts import LINE_PATTERN


class NewEarningsAdjustment(Body):
    """``amount``, other than 0, in minor units of ``currency`` is added; below zero it is taken."""

    amount: Annotated[int, Meta(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]
    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON, pattern=LINE_PATTERN)]
    currency: Annotated[str, Meta(pattern=CURRENCY_PATTERN, max_length=3)] | None = None


class EarningsView(Data):
    """What may be paid out, and what is on its way (``pending``), in minor units of ``currency``."""

    earnings: int
    pending: int
    currency: str


class AdminMoneyRoutes:
    def __init__(self, money: AdminMoneyService) -> None:
        self._money = money

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/admin/earnings/{id}/adjust",
                self.adjust,
                "Add to what a creator earned, or take from it",
                Access.ADMIN,
                body=NewEarningsAdjustment,
                response=EarningsView,
                errors=(
                    (HTTPStatus.NOT_FOUND, "user_not_found"),
                    (HTTPStatus.CONFLICT, "insufficient_balance"),
                ),
                needs_idempotency_key=True,
            )
        ]

    async def adjust(self, call: Call[NewEarningsAdjustment, None]) -> EarningsView:
        body = call.body
        adjustment = EarningsAdjustment(body.amount, body.currency, body.reason)
        user_id, key = call.path_id("id", "user"), idempotency_key(call.request)
        found = await self._money.adjust(call.user_id, call.address, user_id, key, adjustment)
        return EarningsView(earnings=found.available, pending=found.pending, currency=found.currency)
