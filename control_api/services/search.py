"""Finding rooms and people by words."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from control_api.pagination import Page, decode_cursor, page_of
from control_api.services.users import PublicProfile
from storage.database import Executor
from storage.repositories.rooms import RoomDetails
from storage.repositories.search import FoundUser, HitKind, Position, Search, Sought

MAX_QUERY_LENGTH: Final = 200
MAX_WORDS: Final = 10


@dataclass(frozen=True, slots=True)
class Hit:
    """A room or a user; the other one is None."""

    room: RoomDetails | None
    user: PublicProfile | None


class SearchService:
    def __init__(self, database: Executor) -> None:
        self._search = Search(database)

    async def find(
        self, query: str, sought: Sought, cursor: str | None, limit: int, searcher_id: UUID | None = None
    ) -> Page[Hit]:
        """The best hits first. What is no word in ``query`` is ignored; without a word nothing is found."""
        after = Position(*decode_cursor(cursor, float, UUID)) if cursor is not None else None
        words = searchable(query)
        if not words:
            return Page()
        found = await self._search.positions(words, sought, after, limit + 1)
        page = page_of(found, limit, lambda hit: (hit[0].rank, hit[0].id))
        return Page(await self._hits(page.items, searcher_id), page.next_cursor)

    async def _hits(self, found: list[tuple[Position, HitKind]], searcher_id: UUID | None) -> list[Hit]:
        rooms = await self._search.rooms([position.id for position, kind in found if kind == "room"])
        user_ids = [position.id for position, kind in found if kind == "user"]
        users = await self._search.users(user_ids, searcher_id)
        hits = (
            Hit(rooms.get(position.id), _public(users.get(position.id), searcher_id)) for position, _ in found
        )
        # What was deleted or hidden between the two looks is left out.
        return [hit for hit in hits if hit.room or hit.user]


def _public(found: FoundUser | None, searcher_id: UUID | None) -> PublicProfile | None:
    if found is None:
        return None
    has_relation = searcher_id is not None and searcher_id != found.profile.user.id
    return PublicProfile(found.profile, found.is_followed if has_relation else None)


def searchable(query: str) -> str:
    """``query`` without what PostgreSQL cannot take or a person cannot mean: NUL, lone surrogates, 10 kB."""
    printable = "".join(
        character if character.isprintable() else " " for character in query[:MAX_QUERY_LENGTH]
    )
    return " ".join(printable.split()[:MAX_WORDS])
