"""Payouts: one's own, and all of them for administrators."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from control_api.idempotency import idempotency_key
from control_api.pagination import Page
from control_api.principal import Access
from control_api.routes.revenue import CSV_TYPE, csv_reply
from control_api.routing import Call, Reply, Route
from control_api.schemas import Body, Data, PageQuery, Query
from control_api.services.payout_sending import PayoutSending
from control_api.services.payouts import PayoutsService
from control_api.services.revenue import RevenueService
from storage.repositories.payouts import Payout, PayoutState, ProviderName, Trigger

REFUSALS: Final = (
    (HTTPStatus.CONFLICT, "payout_not_onboarded"),
    (HTTPStatus.CONFLICT, "payout_in_progress"),
    (HTTPStatus.CONFLICT, "below_payout_minimum"),
    (HTTPStatus.CONFLICT, "account_not_active"),
    (HTTPStatus.BAD_GATEWAY, "payment_provider_refused"),
)
CANCEL_REFUSALS: Final = (
    (HTTPStatus.NOT_FOUND, "payout_not_found"),
    (HTTPStatus.CONFLICT, "payout_not_pending"),
    (HTTPStatus.CONFLICT, "payout_being_sent"),
    (HTTPStatus.CONFLICT, "payout_paid"),
    (HTTPStatus.CONFLICT, "payout_maybe_paid"),
    (HTTPStatus.BAD_GATEWAY, "payment_provider_refused"),
)


class PayoutView(Data):
    """``amount`` and ``returned``, which came back later, are minor units of ``currency``.

    A payout that is ``pending`` is on its way; one that ``failed`` is back in the earnings. ``problem`` says
    why, or what the last attempt met.
    """

    id: UUID
    currency: str
    amount: int
    returned: int
    state: PayoutState
    trigger: Trigger
    problem: str
    created_at: datetime
    finished_at: datetime | None


class AdminPayout(PayoutView):
    """With whose it is, and the payment provider's names of the account and the transfer."""

    user_id: UUID
    username: str
    provider: ProviderName
    account: str
    reference: str | None
    attempts: int
    retry_of: UUID | None


class StatementQuery(Query):
    """A month of UTC, such as 2026-01."""

    month: Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}$", max_length=7)]


class AdminPayoutsQuery(PageQuery, kw_only=True):
    state: PayoutState | None = None


class CancelPayout(Body):
    """``isUnpaid``: you have seen that it was not paid, at a provider that the server has no more."""

    is_unpaid: bool = False


class PayoutsRoutes:
    def __init__(self, payouts: PayoutsService, revenue: RevenueService, sending: PayoutSending) -> None:
        self._payouts = payouts
        self._revenue = revenue
        self._sending = sending

    def routes(self) -> list[Route]:
        return [*self._own_routes(), *self._admin_routes()]

    def _own_routes(self) -> list[Route]:
        user = Access.USER
        return [
            Route(
                "GET",
                "/payouts",
                self.list,
                "Your payouts, the newest first",
                user,
                query=PageQuery,
                response=list[PayoutView],
            ),
            Route(
                "POST",
                "/payouts",
                self.demand,
                "Have all that you earned paid out now",
                user,
                response=PayoutView,
                status=HTTPStatus.CREATED,
                errors=REFUSALS,
                needs_idempotency_key=True,
            ),
            Route(
                "GET",
                "/payouts/statements",
                self.statement,
                "A month of your earnings, as a table",
                user,
                query=StatementQuery,
                response_types=(CSV_TYPE,),
            ),
        ]

    def _admin_routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/admin/payouts",
                self.list_all,
                "Everybody's payouts, the newest first",
                Access.ADMIN,
                query=AdminPayoutsQuery,
                response=list[AdminPayout],
            ),
            Route(
                "POST",
                "/admin/payouts/{id}/retry",
                self.retry,
                "Try a payout again: at once if it is pending, by a new one if the money came back",
                Access.ADMIN,
                response=AdminPayout,
                errors=(
                    (HTTPStatus.NOT_FOUND, "payout_not_found"),
                    (HTTPStatus.CONFLICT, "payout_paid"),
                    (HTTPStatus.CONFLICT, "payout_already_retried"),
                    *REFUSALS,
                ),
            ),
            Route(
                "POST",
                "/admin/payouts/{id}/cancel",
                self.cancel,
                "Give back a payout that waits, unless the payment provider has sent it",
                Access.ADMIN,
                body=CancelPayout,
                response=AdminPayout,
                errors=CANCEL_REFUSALS,
            ),
        ]

    async def list(self, call: Call[None, PageQuery]) -> Page[PayoutView]:
        return (await self._payouts.list(call.user_id, call.query.cursor, call.query.limit)).map(_view)

    async def demand(self, call: Call[None, None]) -> PayoutView:
        return _view(await self._payouts.demand(call.user_id, idempotency_key(call.request)))

    async def statement(self, call: Call[None, StatementQuery]) -> Reply:
        month = call.query.month
        table = await self._revenue.statement(call.user_id, month)
        return csv_reply(table, f"statement-{month}.csv")

    async def list_all(self, call: Call[None, AdminPayoutsQuery]) -> Page[AdminPayout]:
        query = call.query
        return (await self._payouts.all(query.state, query.cursor, query.limit)).map(_admin_view)

    async def retry(self, call: Call[None, None]) -> AdminPayout:
        payout_id = call.path_id("id", "payout")
        return _admin_view(await self._payouts.retry(call.user_id, call.address, payout_id))

    async def cancel(self, call: Call[CancelPayout, None]) -> AdminPayout:
        payout_id, is_unpaid = call.path_id("id", "payout"), call.body.is_unpaid
        return _admin_view(await self._sending.cancel(call.user_id, call.address, payout_id, is_unpaid))


def _view(payout: Payout) -> PayoutView:
    return PayoutView(
        id=payout.id,
        currency=payout.currency,
        amount=payout.amount,
        returned=payout.returned,
        state=payout.state,
        trigger=payout.trigger,
        problem=payout.problem,
        created_at=payout.created_at,
        finished_at=payout.finished_at,
    )


def _admin_view(payout: Payout) -> AdminPayout:
    return AdminPayout(
        **msgspec.structs.asdict(_view(payout)),
        user_id=payout.user_id,
        username=payout.username,
        provider=payout.provider,
        account=payout.account,
        reference=payout.reference,
        attempts=payout.attempts,
        retry_of=payout.retry_of,
    )
