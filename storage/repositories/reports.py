"""What users reported, and what moderators made of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id


class SubjectKind(Enum):
    USER = "user"
    ROOM = "room"
    MESSAGE = "message"


class ReportState(Enum):
    """ACTIONED: something was done about it."""

    OPEN = "open"
    ACTIONED = "actioned"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class Report:
    """``resolved_by`` and ``resolved_at`` are None while it is open.

    ``resolved_by`` is None, too, when the operator settled it, or somebody whose account is gone.
    """

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


_SELECT: Final = """
    SELECT reports.id, reporter_id, username AS reporter_name, subject_kind, subject_id, reason, text,
           reports.state, reports.created_at, resolved_by, resolved_at, note
    FROM reports JOIN users ON users.id = reporter_id"""


class Reports:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(
        self, reporter_id: UUID, kind: SubjectKind, subject_id: UUID, reason: str, text: str
    ) -> UUID:
        """The report's id. Raises Conflict while another of the reporter about the subject is open."""
        report_id = new_id()
        await self._database.execute(
            """INSERT INTO reports (id, reporter_id, subject_kind, subject_id, reason, text)
               VALUES ($1, $2, $3, $4, $5, $6)""",
            report_id,
            reporter_id,
            kind.value,
            subject_id,
            reason,
            text,
        )
        return report_id

    async def find(self, report_id: UUID) -> Report | None:
        row = await self._database.fetch_row(f"{_SELECT} WHERE reports.id = $1", report_id)
        return _report(row) if row else None

    async def list(self, state: ReportState, after: UUID | None = None, limit: int = 20) -> list[Report]:
        """The oldest first, as a queue is worked off; those after the report with the id ``after``."""
        rows = await self._database.fetch(
            f"""{_SELECT} WHERE reports.state = $1 AND reports.id > $2
                ORDER BY reports.id LIMIT $3""",
            state.value,
            after or UUID(int=0),
            limit,
        )
        return [_report(row) for row in rows]

    async def resolve(self, report_id: UUID, by: UUID | None, state: ReportState, note: str) -> bool:
        """Whether it was open until now."""
        resolved = await self._database.fetch_value(
            """UPDATE reports SET state = $3, resolved_by = $2, resolved_at = now(), note = $4
               WHERE id = $1 AND state = 'open' RETURNING true""",
            report_id,
            by,
            state.value,
            note,
        )
        return resolved is not None


def _report(row: Row) -> Report:
    return Report(
        row["id"],
        row["reporter_id"],
        row["reporter_name"],
        SubjectKind(row["subject_kind"]),
        row["subject_id"],
        row["reason"],
        row["text"],
        ReportState(row["state"]),
        row["created_at"],
        row["resolved_by"],
        row["resolved_at"],
        row["note"],
    )
