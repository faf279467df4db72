"""Finding rooms and people by words."""

import math
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from control_api.errors import invalid
from control_api.pagination import Page, decode_cursor, encode_cursor
from storage.database import Executor
from storage.repositories.search import FoundRoom, FoundUser, Position, Search, Sought

MAX_QUERY_LENGTH: Final = 200
MAX_WORDS: Final = 10


@dataclass(frozen=True, slots=True)
class Hit:
    """A room or a user; the other one is None."""

    room: FoundRoom | None
    user: FoundUser | None


class SearchService:
    def __init__(self, database: Executor) -> None:
        self._search = Search(database)

    async def find(self, query: str, sought: Sought, cursor: str | None, limit: int) -> Page[Hit]:
        """The best hits first. What is no word in ``query`` is ignored; without a word nothing is found."""
        after = _position(cursor) if cursor is not None else None
        words = searchable(query)
        if not words:
            return Page()
        found = await self._search.positions(words, sought, after, limit + 1)
        page = found[:limit]
        last = page[-1][0] if len(found) > limit else None
        return Page(await self._hits(page), encode_cursor(last.rank, last.id) if last else None)

    async def _hits(self, found: list[tuple[Position, str]]) -> list[Hit]:
        rooms = await self._search.rooms([position.id for position, kind in found if kind == "room"])
        users = await self._search.users([position.id for position, kind in found if kind == "user"])
        hits = (Hit(rooms.get(position.id), users.get(position.id)) for position, _ in found)
        # What was deleted between the two looks is left out.
        return [hit for hit in hits if hit.room or hit.user]


def searchable(query: str) -> str:
    """``query`` without what PostgreSQL cannot take or a person cannot mean: NUL, lone surrogates, 10 kB."""
    printable = "".join(
        character if character.isprintable() else " " for character in query[:MAX_QUERY_LENGTH]
    )
    return " ".join(printable.split()[:MAX_WORDS])


def _position(cursor: str) -> Position:
    rank, hit_id = decode_cursor(cursor, float, UUID)
    if not math.isfinite(rank):
        raise invalid("cursor", "is none that this list gave out")
    return Position(rank, hit_id)
