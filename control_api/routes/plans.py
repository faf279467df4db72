"""What creators offer to subscribers."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from control_api.pagination import Page
from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, PageQuery
from control_api.services.plans import (
    MAX_DESCRIPTION,
    MAX_NAME,
    MAX_PRICE,
    MIN_PRICE,
    PlanOffer,
    PlansService,
)
from control_api.texts import LINE_PATTERN
from storage.repositories.plans import Plan

PlanName = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=LINE_PATTERN)]
Description = Annotated[str, Meta(max_length=MAX_DESCRIPTION)]
PlanPrice = Annotated[int, Meta(ge=MIN_PRICE, le=MAX_PRICE)]
CREATORS_ONLY: Final = (HTTPStatus.FORBIDDEN, "creators_only")


class NewPlan(Body):
    """Prices in minor units, at least one of them."""

    name: PlanName
    description: Description = ""
    monthly_price: PlanPrice | None = None
    yearly_price: PlanPrice | None = None


class PlanChange(Body):
    """A price of null is not offered any more. Who has subscribed goes on paying what they subscribed for."""

    name: PlanName | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    monthly_price: PlanPrice | UnsetType | None = UNSET
    yearly_price: PlanPrice | UnsetType | None = UNSET
    active: bool | UnsetType = UNSET


class PlanView(Data):
    """Prices in minor units of ``currency``; null where the plan is not offered by that interval."""

    id: UUID
    creator_id: UUID
    name: str
    description: str
    currency: str | None
    monthly_price: int | None
    yearly_price: int | None
    active: bool
    created_at: datetime


class PlansRoutes:
    def __init__(self, plans: PlansService) -> None:
        self._plans = plans

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/users/{id}/plans",
                self.list_of,
                "What a creator offers to subscribers",
                query=PageQuery,
                response=list[PlanView],
                errors=((HTTPStatus.NOT_FOUND, "user_not_found"),),
            ),
            Route(
                "POST",
                "/plans",
                self.create,
                "Offer another plan",
                Access.USER,
                body=NewPlan,
                response=PlanView,
                status=HTTPStatus.CREATED,
                errors=(CREATORS_ONLY, (HTTPStatus.CONFLICT, "too_many_plans")),
            ),
            Route(
                "PATCH",
                "/plans/{id}",
                self.change,
                "Change a plan; its subscribers keep their price",
                Access.USER,
                body=PlanChange,
                response=PlanView,
                errors=(CREATORS_ONLY, (HTTPStatus.NOT_FOUND, "plan_not_found")),
            ),
        ]

    async def list_of(self, call: Call[None, PageQuery]) -> Page[PlanView]:
        creator_id, query = call.path_id("id", "user"), call.query
        page = await self._plans.of_creator(call.principal.user_id, creator_id, query.cursor, query.limit)
        return page.map(_view)

    async def create(self, call: Call[NewPlan, None]) -> PlanView:
        body = call.body
        offer = PlanOffer(body.name, body.description, body.monthly_price, body.yearly_price)
        return _view(await self._plans.create(call.user_id, offer))

    async def change(self, call: Call[PlanChange, None]) -> PlanView:
        body = call.body
        given = {
            "name": body.name,
            "description": body.description,
            "monthly_price": body.monthly_price,
            "yearly_price": body.yearly_price,
            "is_active": body.active,
        }
        changes = {name: value for name, value in given.items() if value is not UNSET}
        return _view(await self._plans.change(call.user_id, call.path_id("id", "plan"), changes))


def _view(plan: Plan) -> PlanView:
    return PlanView(
        id=plan.id,
        creator_id=plan.creator_id,
        name=plan.name,
        description=plan.description,
        currency=plan.currency,
        monthly_price=plan.monthly_price,
        yearly_price=plan.yearly_price,
        active=plan.is_active,
        created_at=plan.created_at,
    )
