"""Lists of rooms: what is public, one's own, whom one follows, what one may like.

Rules:

* Live rooms come first, by viewers; then the others, the newest first. One cursor leads through both.
* A room that goes on or off air between two pages may be missed or seen twice; the pages themselves hold.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from msgspec import Meta

from control_api.pagination import Page, decode_cursor, id_in, page_of
from storage.database import Executor
from storage.repositories.categories import Categories
from storage.repositories.room_lists import RoomFilter, RoomLists
from storage.repositories.rooms import RoomDetails

_LIVE: Final = "live"
_REST: Final = "rest"

Phase = Literal["live", "rest"]
Rank = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Sort(Enum):
    """``viewers``: live rooms by their viewers, then the others; ``newest``: as they were made."""

    VIEWERS = "viewers"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a list: in which part of it, and after which room."""

    phase: Phase = "live"
    rank: int = 0
    room_id: UUID | None = None

    @property
    def after_live(self) -> tuple[int, UUID] | None:
        return (self.rank, self.room_id) if self.room_id is not None else None


class RoomFeeds:
    def __init__(self, database: Executor) -> None:
        self._lists = RoomLists(database)
        self._categories = Categories(database)

    async def public(
        self,
        cursor: str | None,
        limit: int,
        *,
        sort: Sort = Sort.VIEWERS,
        is_live: bool | None = None,
        category: str | None = None,
        tag: str | None = None,
        owner_id: UUID | None = None,
    ) -> Page[RoomDetails]:
        """``owner_id`` lists that user's rooms instead, whoever may see them."""
        category_id = None
        if category is not None:
            found = await self._categories.find_by_slug(category)
            if found is None:
                return Page()
            category_id = found.id
        room_filter = RoomFilter(category_id, tag.strip().lower() if tag else None, owner_id)
        if sort is Sort.NEWEST:
            return await self._newest(room_filter, cursor, limit, is_live)
        return await self._ranked(room_filter, cursor, limit, is_live)

    async def recommended(self, user_id: UUID | None, cursor: str | None, limit: int) -> Page[RoomDetails]:
        """For somebody who follows others: what is like it comes first. For the rest: what many watch."""
        return await self._ranked(RoomFilter(taste_of=user_id), cursor, limit, None)

    async def following(self, user_id: UUID, cursor: str | None, limit: int) -> Page[RoomDetails]:
        """The rooms of those whom the user follows, with those that are for followers only."""
        return await self._ranked(RoomFilter(followed_by=user_id), cursor, limit, None)

    async def _newest(
        self, room_filter: RoomFilter, cursor: str | None, limit: int, is_live: bool | None
    ) -> Page[RoomDetails]:
        rooms = await self._lists.newest(room_filter, limit + 1, id_in(cursor), is_live)
        return page_of(rooms, limit, lambda room: (room.id,))

    async def _ranked(
        self, room_filter: RoomFilter, cursor: str | None, limit: int, is_live: bool | None
    ) -> Page[RoomDetails]:
        place = _Place(*decode_cursor(cursor, Phase, Rank, UUID)) if cursor is not None else _Place()
        found: list[tuple[tuple[Any, ...], RoomDetails]] = []
        if is_live is not False and place.phase == _LIVE:
            ranked = await self._lists.live(room_filter, limit + 1, place.after_live)
            found = [((_LIVE, each.rank, each.room.id), each.room) for each in ranked]
        if is_live is not True and len(found) <= limit:
            after = place.room_id if place.phase == _REST else None
            rooms = await self._lists.newest(room_filter, limit + 1 - len(found), after, is_live=False)
            found += [((_REST, 0, room.id), room) for room in rooms]
        return page_of(found, limit, lambda placed: placed[0]).map(lambda placed: placed[1])
