"""Reports: users tell of what should not be, moderators settle it."""

from typing import Final
from uuid import UUID

from control_api.errors import conflict, invalid, not_found
from control_api.pagination import Page, id_in, page_of
from control_api.services.notification_kinds import Kind
from control_api.services.notifications import Notifications
from control_api.texts import clean_text
from storage.database import Database
from storage.errors import Conflict
from storage.repositories import Rooms, Users, UserState
from storage.repositories.audit import AuditLog
from storage.repositories.reports import Report, Reports, ReportState, SubjectKind

MAX_TEXT: Final = 1000


class ReportService:
    def __init__(self, database: Database, notifications: Notifications) -> None:
        self._database = database
        self._notifications = notifications

    async def report(
        self, reporter_id: UUID, kind: SubjectKind, subject_id: UUID, reason: str, text: str
    ) -> UUID:
        """The report's id.

        Raises ApiError: 404 for a user or a room that is not there, 409 ``already_reported`` while the last
        report about it is open.
        """
        text = clean_text("text", text, MAX_TEXT)
        if kind is SubjectKind.USER and subject_id == reporter_id:
            raise invalid("subjectId", "is your own")
        if not await self._exists(kind, subject_id):
            raise not_found(kind.value)
        try:
            return await Reports(self._database).add(reporter_id, kind, subject_id, reason, text)
        except Conflict as error:
            raise conflict("already_reported", "You have reported this; it is being looked at.") from error

    async def queue(self, state: ReportState, cursor: str | None, limit: int) -> Page[Report]:
        """The oldest first."""
        found = await Reports(self._database).list(state, id_in(cursor), limit + 1)
        return page_of(found, limit, lambda report: (report.id,))

    async def resolve(
        self, moderator_id: UUID | None, report_id: UUID, state: ReportState, note: str, address: str
    ) -> Report:
        """``moderator_id`` is None for the operator.

        Raises ApiError: 404 ``report_not_found``, 409 ``already_resolved``.
        """
        note = clean_text("note", note, MAX_TEXT)
        async with self._database.transaction() as transaction:
            reports = Reports(transaction)
            is_done = await reports.resolve(report_id, moderator_id, state, note)
            report = await reports.find(report_id)
            if report is None:
                raise not_found("report")
            if not is_done:
                raise conflict("already_resolved", "Somebody has settled this report already.")
            await AuditLog(transaction).add(
                moderator_id, "report.resolved", "report", str(report_id), address, {"state": state.value}
            )
        await self._notifications.notify(
            report.reporter_id,
            Kind.REPORT_RESOLVED,
            {"reportId": str(report_id)},
            source=f"report:{report_id}",
        )
        return report

    async def _exists(self, kind: SubjectKind, subject_id: UUID) -> bool:
        """Messages are known to the chat alone; its moderators see when one is gone."""
        if kind is SubjectKind.USER:
            user = await Users(self._database).find_by_id(subject_id)
            return user is not None and user.state is not UserState.DELETED
        if kind is SubjectKind.ROOM:
            return await Rooms(self._database).find_by_id(subject_id) is not None
        return True
