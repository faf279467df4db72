"""GET /search."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta

from control_api.pagination import Page
from control_api.routing import PREFIX, Call, Route
from control_api.schemas import Data, PageQuery, UserSummary
from control_api.services.search import MAX_QUERY_LENGTH, Hit, SearchService
from storage.repositories.search import FoundRoom, FoundUser, Sought


class SearchQuery(PageQuery, kw_only=True):
    """``q`` are words; all must occur, the last one as the beginning of a word."""

    q: Annotated[str, Meta(min_length=1, max_length=MAX_QUERY_LENGTH)]
    type: Sought = "all"


class RoomHit(Data, kw_only=True):
    id: UUID
    slug: str | None
    title: str
    tags: list[str]
    category: str | None
    age_restricted: bool
    thumbnail: str | None
    is_live: bool
    viewer_count: int
    started_at: datetime | None
    streamer: UserSummary


class UserHit(UserSummary, kw_only=True):
    bio: str
    is_creator: bool


class SearchHit(Data, kw_only=True):
    """``room`` or ``user`` is set, as ``type`` says."""

    type: Literal["room", "user"]
    room: RoomHit | None = None
    user: UserHit | None = None


class SearchRoutes:
    def __init__(self, search: SearchService) -> None:
        self._search = search

    def routes(self) -> Sequence[Route]:
        return [
            Route(
                "GET",
                "/search",
                self.find,
                "Find public rooms and users by words",
                query=SearchQuery,
                response=list[SearchHit],
                scope="rooms:read",
            )
        ]

    async def find(self, call: Call[None, SearchQuery]) -> Page[SearchHit]:
        query = call.query
        page = await self._search.find(query.q, query.type, query.cursor, query.limit)
        return Page([_hit(hit) for hit in page.items], page.next_cursor)


def _hit(hit: Hit) -> SearchHit:
    if hit.room is not None:
        return SearchHit(type="room", room=_room(hit.room))
    assert hit.user is not None
    return SearchHit(
        type="user", user=UserHit(**_summary(hit.user), bio=hit.user.bio, is_creator=hit.user.is_creator)
    )


def _room(room: FoundRoom) -> RoomHit:
    return RoomHit(
        id=room.id,
        slug=room.slug,
        title=room.title,
        tags=room.tags,
        category=room.category,
        age_restricted=room.age_restricted,
        thumbnail=f"{PREFIX}/thumbnails/{room.thumbnail}" if room.thumbnail else None,
        is_live=room.live_since is not None,
        viewer_count=room.viewers,
        started_at=room.live_since,
        streamer=UserSummary(**_summary(room.owner)),
    )


def _summary(user: FoundUser) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "display_name": user.display_name,
        "avatar": f"{PREFIX}/avatars/{user.avatar}" if user.avatar else None,
    }
