"""Applications to become a creator, and what became of them."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id


class ApplicationState(Enum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class CreatorApplication:
    """``decided_by`` and ``decided_at`` are None while it is pending."""

    id: UUID
    user_id: UUID
    username: str
    text: str
    state: ApplicationState
    created_at: datetime
    decided_by: UUID | None
    decided_at: datetime | None
    note: str


_SELECT: Final = """
    SELECT applications.id, user_id, username, text, applications.state, applications.created_at,
           decided_by, decided_at, note
    FROM creator_applications AS applications JOIN users ON users.id = user_id"""


class CreatorApplications:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, user_id: UUID, text: str) -> UUID:
        """The application's id. Raises Conflict while another one is pending."""
        application_id = new_id()
        await self._database.execute(
            "INSERT INTO creator_applications (id, user_id, text) VALUES ($1, $2, $3)",
            application_id,
            user_id,
            text,
        )
        return application_id

    async def find(self, application_id: UUID) -> CreatorApplication | None:
        row = await self._database.fetch_row(f"{_SELECT} WHERE applications.id = $1", application_id)
        return _application(row) if row else None

    async def list(
        self, state: ApplicationState, after: UUID | None = None, limit: int = 20
    ) -> list[CreatorApplication]:
        """The oldest first; those after the application with the id ``after``."""
        rows = await self._database.fetch(
            f"""{_SELECT} WHERE applications.state = $1 AND applications.id > $2
                ORDER BY applications.id LIMIT $3""",
            state.value,
            after or UUID(int=0),
            limit,
        )
        return [_application(row) for row in rows]

    async def decide(self, application_id: UUID, by: UUID, state: ApplicationState, note: str) -> bool:
        """Whether it was pending until now."""
        decided = await self._database.fetch_value(
            """UPDATE creator_applications SET state = $3, decided_by = $2, decided_at = now(), note = $4
               WHERE id = $1 AND state = 'pending' RETURNING true""",
            application_id,
            by,
            state.value,
            note,
        )
        return decided is not None


def _application(row: Row) -> CreatorApplication:
    return CreatorApplication(
        row["id"],
        row["user_id"],
        row["username"],
        row["text"],
        ApplicationState(row["state"]),
        row["created_at"],
        row["decided_by"],
        row["decided_at"],
        row["note"],
    )
