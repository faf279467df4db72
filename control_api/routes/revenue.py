"""What creators earned, and what moved on the whole server."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from control_api.principal import Access
from control_api.routing import Call, Reply, Route
from control_api.schemas import Data, Query
from control_api.services.revenue import (
    Earned,
    RevenueKind,
    RevenueRange,
    RevenueReport,
    RevenueService,
    RevenueStep,
)
from storage.repositories.ledger import TransferKind
from storage.repositories.ledger_accounts import AccountKind

CSV_TYPE = "text/csv"
Moment = Annotated[datetime, Meta(tz=True)]


class RevenueQuery(Query):
    """By default the last 30 days, by day. Whole days, in UTC."""

    start: Moment | None = msgspec.field(default=None, name="from")
    end: Moment | None = msgspec.field(default=None, name="to")
    step: RevenueStep = RevenueStep.DAY


class Revenue(Data):
    """In minor units: what people paid (``gross``), the creator's ``share`` of it, and what refunds
    and disputes took back of that."""

    kind: RevenueKind
    currency: str
    count: int
    gross: int
    share: int
    refunds: int


class RevenueAt(Revenue):
    """``at`` is the first day of the step."""

    at: date


class RoomRevenueView(Data):
    """``title`` is null for a room that is no more."""

    id: str
    title: str | None
    currency: str
    count: int
    gross: int
    share: int


class RevenueView(Data):
    """``points`` are of those steps only in which something was earned, ``rooms`` the best first."""

    start: Moment = msgspec.field(name="from")
    end: Moment = msgspec.field(name="to")
    step: RevenueStep
    totals: list[Revenue]
    points: list[RevenueAt]
    rooms: list[RoomRevenueView]


class MoneyFlow(Data):
    """What transfers of one ``kind`` added to all accounts of one sort, and took from them."""

    kind: TransferKind
    account: AccountKind
    currency: str
    entries: int
    added: int
    taken: int


class MoneyFlows(Data):
    start: Moment = msgspec.field(name="from")
    end: Moment = msgspec.field(name="to")
    flows: list[MoneyFlow]


class RevenueRoutes:
    def __init__(self, revenue: RevenueService) -> None:
        self._revenue = revenue

    def routes(self) -> Sequence[Route]:
        read: dict[str, Any] = {"access": Access.USER, "scope": "analytics:read", "query": RevenueQuery}
        return [
            Route(
                "GET",
                "/analytics/revenue",
                self.get,
                "What you earned, by time, kind and room",
                response=RevenueView,
                **read,
            ),
            Route(
                "GET",
                "/analytics/revenue.csv",
                self.export,
                "What you earned by time and kind, as a table",
                response_types=(CSV_TYPE,),
                **read,
            ),
            Route(
                "GET",
                "/admin/revenue",
                self.flows,
                "What moved on the whole server",
                Access.ADMIN,
                query=RevenueQuery,
                response=MoneyFlows,
            ),
        ]

    async def get(self, call: Call[None, RevenueQuery]) -> RevenueView:
        return _view(await self._revenue.report(call.user_id, _range(call.query)))

    async def export(self, call: Call[None, RevenueQuery]) -> Reply:
        table = await self._revenue.report_csv(call.user_id, _range(call.query))
        return csv_reply(table, "revenue.csv")

    async def flows(self, call: Call[None, RevenueQuery]) -> MoneyFlows:
        chosen = _range(call.query)
        flows = [
            MoneyFlow(
                kind=flow.kind,
                account=flow.account,
                currency=flow.currency,
                entries=flow.entries,
                added=flow.added,
                taken=flow.taken,
            )
            for flow in await self._revenue.flows(chosen)
        ]
        return MoneyFlows(start=chosen.start, end=chosen.end, flows=flows)


def csv_reply(table: bytes, name: str) -> Reply:
    return Reply(
        raw=table,
        content_type=CSV_TYPE,
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


def _range(query: RevenueQuery) -> RevenueRange:
    return RevenueRange.of(query.start, query.end, query.step)


def _view(report: RevenueReport) -> RevenueView:
    return RevenueView(
        start=report.range.start,
        end=report.range.end,
        step=report.range.step,
        totals=[
            Revenue(kind=total.kind, currency=total.currency, **_amounts(total.earned))
            for total in report.totals
        ],
        points=[
            RevenueAt(kind=point.kind, currency=point.currency, at=point.at.date(), **_amounts(point.earned))
            for point in report.points
        ],
        rooms=[
            RoomRevenueView(
                id=str(each.room.room_id),
                title=each.room.title,
                currency=each.room.currency,
                count=each.room.count,
                gross=each.gross,
                share=each.room.earned,
            )
            for each in report.rooms
        ],
    )


def _amounts(earned: Earned) -> dict[str, int]:
    return {
        "count": earned.count,
        "gross": earned.gross,
        "share": earned.share,
        "refunds": earned.refunds,
    }
