"""The audit log: who did what to whom, from where. Rows are added and read, never changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from storage.database import Executor, Row
from storage.ids import new_id

MAX_ADDRESS_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """``actor_id`` is None when nobody was signed in; ``subject_id`` names one of the ``subject_kind``."""

    id: UUID
    at: datetime
    actor_id: UUID | None
    actor_name: str | None
    action: str
    subject_kind: str
    subject_id: str | None
    address: str
    details: dict[str, object]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """None stands for any."""

    actor_id: UUID | None = None
    action: str | None = None
    subject_kind: str | None = None
    subject_id: str | None = None


class AuditLog:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(
        self,
        actor_id: UUID | None,
        action: str,
        subject_kind: str,
        subject_id: str | None,
        address: str,
        details: dict[str, object] | None = None,
    ) -> None:
        """``action`` is ``noun.verb`` (``session.opened``); ``details`` are JSON values without a secret."""
        await self._database.execute(
            """INSERT INTO audit_log (id, actor_id, action, subject_kind, subject_id, address, details)
               VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)""",
            new_id(),
            actor_id,
            action,
            subject_kind,
            subject_id,
            address[:MAX_ADDRESS_LENGTH],
            msgspec.json.encode(details or {}).decode(),
        )

    async def list(
        self, wanted: AuditFilter, before: UUID | None = None, limit: int = 20
    ) -> "list[AuditEntry]":
        """The newest first, those before the entry with the id ``before``."""
        conditions, arguments = _conditions(wanted, before)
        rows = await self._database.fetch(
            f"""SELECT audit_log.id, at, actor_id, users.username AS actor_name, action, subject_kind,
                       subject_id, address, details
                FROM audit_log LEFT JOIN users ON users.id = actor_id
                {conditions} ORDER BY audit_log.id DESC LIMIT ${len(arguments) + 1}""",
            *arguments,
            limit,
        )
        return [_entry(row) for row in rows]


def _conditions(wanted: AuditFilter, before: UUID | None) -> tuple[str, list[object]]:
    """Only what is asked for stands in the SQL, so that each query can use its index."""
    parts: list[str] = []
    arguments: list[object] = []
    for condition, value in (
        ("actor_id =", wanted.actor_id),
        ("action =", wanted.action),
        ("subject_kind =", wanted.subject_kind),
        ("subject_id =", wanted.subject_id),
        ("audit_log.id <", before),
    ):
        if value is not None:
            arguments.append(value)
            parts.append(f"{condition} ${len(arguments)}")
    return (f"WHERE {' AND '.join(parts)}" if parts else "", arguments)


def _entry(row: Row) -> AuditEntry:
    return AuditEntry(
        row["id"],
        row["at"],
        row["actor_id"],
        row["actor_name"],
        row["action"],
        row["subject_kind"],
        row["subject_id"],
        row["address"],
        msgspec.json.decode(row["details"], type=dict[str, object]),
    )
