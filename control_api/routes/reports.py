"""Reports of users, rooms and messages, and the moderators' queue of them."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta

from control_api.pagination import Page
from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Body, Data, PageQuery
from control_api.services.reports import MAX_TEXT, ReportService
from storage.repositories.reports import Report, ReportState, SubjectKind

Reason = Literal[
    "spam", "harassment", "hate", "sexual", "violence", "illegal", "impersonation", "copyright", "other"
]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]


class NewReport(Body):
    subject_kind: SubjectKind
    subject_id: UUID
    reason: Reason
    text: Text = ""


class Resolution(Body):
    """``actioned`` says that something was done about it, ``dismissed`` that nothing needs to be."""

    resolution: Literal["actioned", "dismissed"]
    note: Text = ""


class ReportQuery(PageQuery):
    state: ReportState = ReportState.OPEN


class ReportReceipt(Data):
    id: UUID


class ReportView(Data):
    """``resolvedBy`` and ``resolvedAt`` are null while it is open."""

    id: UUID
    reporter_id: UUID
    reporter_name: str
    subject_kind: SubjectKind
    subject_id: UUID
    reason: str
    text: str
    state: ReportState
    created_at: datetime
    resolved_by: UUID | None
    resolved_at: datetime | None
    note: str


class ReportRoutes:
    def __init__(self, reports: ReportService) -> None:
        self._reports = reports

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/reports",
                self.create,
                "Report a user, a room or a message",
                Access.USER,
                body=NewReport,
                response=ReportReceipt,
                status=HTTPStatus.CREATED,
                errors=[
                    (HTTPStatus.NOT_FOUND, "user_not_found"),
                    (HTTPStatus.NOT_FOUND, "room_not_found"),
                    (HTTPStatus.CONFLICT, "already_reported"),
                ],
            ),
            Route(
                "GET",
                "/admin/reports",
                self.queue,
                "Reports, the oldest first",
                Access.MODERATOR,
                query=ReportQuery,
                response=list[ReportView],
            ),
            Route(
                "POST",
                "/admin/reports/{id}/resolve",
                self.resolve,
                "Settle a report",
                Access.MODERATOR,
                body=Resolution,
                response=ReportView,
                errors=[
                    (HTTPStatus.NOT_FOUND, "report_not_found"),
                    (HTTPStatus.CONFLICT, "already_resolved"),
                ],
            ),
        ]

    async def create(self, call: Call[NewReport, Any]) -> ReportReceipt:
        new = call.body
        report_id = await self._reports.report(
            call.user_id, new.subject_kind, new.subject_id, new.reason, new.text
        )
        return ReportReceipt(id=report_id)

    async def queue(self, call: Call[Any, ReportQuery]) -> Page[ReportView]:
        query = call.query
        page = await self._reports.queue(query.state, query.cursor, query.limit)
        return page.map(_view)

    async def resolve(self, call: Call[Resolution, Any]) -> ReportView:
        report_id, state = call.path_id("id", "report"), ReportState(call.body.resolution)
        return _view(
            await self._reports.resolve(call.user_id, report_id, state, call.body.note, call.address)
        )


def _view(report: Report) -> ReportView:
    return ReportView(
        id=report.id,
        reporter_id=report.reporter_id,
        reporter_name=report.reporter_name,
        subject_kind=report.subject_kind,
        subject_id=report.subject_id,
        reason=report.reason,
        text=report.text,
        state=report.state,
        created_at=report.created_at,
        resolved_by=report.resolved_by,
        resolved_at=report.resolved_at,
        note=report.note,
    )
