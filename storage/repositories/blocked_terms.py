"""Words and patterns that a room's chat does not want."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor
from storage.errors import InvalidValue
from storage.repositories.chat_log import MAKE_ROOMS, checked_text

MAX_TERMS: Final = 500


class TermAction(Enum):
    """What happens to a message with the term: it is not taken, or waits for a moderator."""

    REFUSE = "refuse"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class BlockedTerm:
    text: str
    is_regex: bool
    action: TermAction


class BlockedTerms:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def list(self, room_id: UUID) -> list[BlockedTerm]:
        """In the order in which they were given."""
        rows = await self._database.fetch(
            "SELECT text, is_regex, action FROM chat_blocked_terms WHERE room_id = $1 ORDER BY place", room_id
        )
        return [BlockedTerm(row["text"], row["is_regex"], TermAction(row["action"])) for row in rows]

    async def replace(self, room_id: UUID, terms: Sequence[BlockedTerm]) -> None:
        """Raises InvalidValue: too many, too long, no such room; Conflict: a term is there twice."""
        if len(terms) > MAX_TERMS:
            raise InvalidValue("chat_blocked_terms_count")
        checked_text("chat_blocked_terms_text_valid", *(term.text for term in terms))
        async with self._database.transaction() as transaction:
            await transaction.execute(MAKE_ROOMS, [room_id])
            # Two who replace the terms at once would otherwise both add theirs.
            await transaction.execute("SELECT FROM chat_rooms WHERE room_id = $1 FOR NO KEY UPDATE", room_id)
            await transaction.execute("DELETE FROM chat_blocked_terms WHERE room_id = $1", room_id)
            await transaction.execute(
                """INSERT INTO chat_blocked_terms (room_id, place, text, is_regex, action)
                   SELECT $1, place, text, is_regex, action
                   FROM unnest($2::text[], $3::boolean[], $4::text[]) WITH ORDINALITY
                        AS new (text, is_regex, action, place)""",
                room_id,
                [term.text for term in terms],
                [term.is_regex for term in terms],
                [term.action.value for term in terms],
            )
