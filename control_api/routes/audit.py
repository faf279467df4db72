"""The audit log, for administrators."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from control_api.pagination import Page, id_in, page_of
from control_api.principal import Access
from control_api.routing import Call, Route
from control_api.schemas import Data, PageQuery
from storage.database import Executor
from storage.repositories.audit import AuditEntry, AuditFilter, AuditLog


class AuditQuery(PageQuery):
    """``action`` is such as ``session.opened``, ``subjectKind`` such as ``user``."""

    actor: UUID | None = None
    action: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    subject_kind: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    subject_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class AuditView(Data):
    """``actor`` and ``actorName`` are null when nobody was signed in, or the account is gone."""

    id: UUID
    at: datetime
    actor: UUID | None
    actor_name: str | None
    action: str
    subject_kind: str
    subject_id: str | None
    address: str
    details: dict[str, Any]


class AuditRoutes:
    def __init__(self, database: Executor) -> None:
        self._log = AuditLog(database)

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/admin/audit",
                self.list,
                "Who did what, the newest first",
                access=Access.ADMIN,
                query=AuditQuery,
                response=list[AuditView],
            )
        ]

    async def list(self, call: Call[None, AuditQuery]) -> Page[AuditView]:
        query = call.query
        wanted = AuditFilter(query.actor, query.action, query.subject_kind, query.subject_id)
        found = await self._log.list(wanted, id_in(query.cursor), query.limit + 1)
        return page_of(found, query.limit, lambda entry: (entry.id,)).map(_view)


def _view(entry: AuditEntry) -> AuditView:
    return AuditView(
        id=entry.id,
        at=entry.at,
        actor=entry.actor_id,
        actor_name=entry.actor_name,
        action=entry.action,
        subject_kind=entry.subject_kind,
        subject_id=entry.subject_id,
        address=entry.address,
        details=entry.details,
    )
