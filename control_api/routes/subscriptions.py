"""One's subscriptions to creators."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta

from control_api.errors import invalid
from control_api.pagination import Page
from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, PageQuery, UserSummary
from control_api.services.account_view import avatar_address
from control_api.services.purchases import NOT_CONFIGURED
from control_api.services.subscriptions import SubscriptionsService
from storage.repositories.plans import Interval
from storage.repositories.subscriptions import Subscription, SubscriptionState

NOT_FOUND: Final = (HTTPStatus.NOT_FOUND, "subscription_not_found")
PROVIDER: Final = ((HTTPStatus.BAD_GATEWAY, "payment_provider_refused"), NOT_CONFIGURED)
PLAN: Final = (
    (HTTPStatus.NOT_FOUND, "plan_not_found"),
    (HTTPStatus.CONFLICT, "plan_not_offered"),
)
RUNNING: Final = (
    (HTTPStatus.CONFLICT, "subscription_not_running"),
    (HTTPStatus.CONFLICT, "payment_provider_changed"),
)


class NewSubscription(Body):
    plan_id: UUID
    interval: Interval = Interval.MONTH


class SubscriptionChange(Body):
    """Another plan of the same creator, another interval, or ``resume`` for one that was canceled."""

    plan_id: UUID | None = None
    interval: Interval | None = None
    resume: Annotated[bool, Meta(description="With true, what was canceled goes on.")] = False


class SubscriptionView(Data):
    """``state``: ``incomplete`` until it is paid, ``canceled`` goes on to ``currentPeriodEnd``, ``ended``.

    ``price`` is paid each ``interval``, in minor units of ``currency``. ``givesAccess`` says whether one is a
    subscriber now.
    """

    id: UUID
    creator: UserSummary
    plan_id: UUID
    plan: str
    interval: Interval
    price: int
    currency: str
    state: SubscriptionState
    gives_access: bool
    cancel_at_period_end: bool
    current_period_end: datetime | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class SubscribingView(Data):
    """Whoever pays at ``checkoutUrl`` is a subscriber as soon as the payment provider says so."""

    subscription: SubscriptionView
    checkout_url: str


class SubscriptionsRoutes:
    def __init__(self, subscriptions: SubscriptionsService) -> None:
        self._subscriptions = subscriptions

    def routes(self) -> list[Route]:
        return [*self._reading(), *self._changing()]

    def _reading(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/subscriptions",
                self.list_all,
                "One's subscriptions, the newest first",
                Access.USER,
                query=PageQuery,
                response=list[SubscriptionView],
            ),
            Route(
                "GET",
                "/subscriptions/{id}",
                self.one,
                "A subscription",
                Access.USER,
                response=SubscriptionView,
                errors=(NOT_FOUND,),
            ),
        ]

    def _changing(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/subscriptions",
                self.create,
                "Subscribe to a creator",
                Access.USER,
                body=NewSubscription,
                response=SubscribingView,
                status=HTTPStatus.CREATED,
                errors=(
                    *PLAN,
                    (HTTPStatus.FORBIDDEN, "own_plan"),
                    (HTTPStatus.FORBIDDEN, "blocked"),
                    (HTTPStatus.CONFLICT, "already_subscribed"),
                    (HTTPStatus.CONFLICT, "subscription_pending"),
                    *PROVIDER,
                ),
                needs_idempotency_key=True,
            ),
            Route(
                "PATCH",
                "/subscriptions/{id}",
                self.change,
                "Change the plan or interval, or resume what was canceled",
                Access.USER,
                body=SubscriptionChange,
                response=SubscriptionView,
                errors=(
                    NOT_FOUND,
                    *PLAN,
                    (HTTPStatus.CONFLICT, "plan_of_another_creator"),
                    *RUNNING,
                    *PROVIDER,
                ),
            ),
            Route(
                "DELETE",
                "/subscriptions/{id}",
                self.cancel,
                "Cancel at the end of what is paid",
                Access.USER,
                response=SubscriptionView,
                errors=(NOT_FOUND, (HTTPStatus.CONFLICT, "subscription_pending"), *RUNNING, *PROVIDER),
            ),
        ]

    async def create(self, call: Call[NewSubscription, None]) -> SubscribingView:
        made = await self._subscriptions.subscribe(call.user_id, call.body.plan_id, call.body.interval)
        return SubscribingView(subscription=_view(made.subscription), checkout_url=made.checkout_url)

    async def list_all(self, call: Call[None, PageQuery]) -> Page[SubscriptionView]:
        page = await self._subscriptions.of_user(call.user_id, call.query.cursor, call.query.limit)
        return page.map(_view)

    async def one(self, call: Call[None, None]) -> SubscriptionView:
        return _view(await self._subscriptions.find(call.user_id, call.path_id("id", "subscription")))

    async def change(self, call: Call[SubscriptionChange, None]) -> SubscriptionView:
        subscription_id, body = call.path_id("id", "subscription"), call.body
        is_other = body.plan_id is not None or body.interval is not None
        if body.resume == is_other:
            raise invalid("resume", "ask for another plan or interval, or to resume: one of them")
        if body.resume:
            return _view(await self._subscriptions.resume(call.user_id, subscription_id))
        return _view(
            await self._subscriptions.change(call.user_id, subscription_id, body.plan_id, body.interval)
        )

    async def cancel(self, call: Call[None, None]) -> SubscriptionView:
        return _view(await self._subscriptions.cancel(call.user_id, call.path_id("id", "subscription")))


def _view(subscription: Subscription) -> SubscriptionView:
    standing = subscription.standing
    return SubscriptionView(
        id=subscription.id,
        creator=UserSummary(
            id=subscription.creator_id,
            username=subscription.creator_name,
            display_name=subscription.creator_display_name,
            avatar=avatar_address(subscription.creator_avatar),
        ),
        plan_id=subscription.plan_id,
        plan=subscription.plan_name,
        interval=subscription.interval,
        price=subscription.amount,
        currency=subscription.currency,
        state=standing.state,
        gives_access=standing.gives_access,
        cancel_at_period_end=standing.cancels_at_end,
        current_period_end=standing.period_end,
        created_at=subscription.created_at,
        started_at=subscription.started_at,
        ended_at=subscription.ended_at,
    )
