"""GET /search."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from control_api.pagination import Page
from control_api.room_schemas import RoomView, RoomViews
from control_api.routes.users import PublicUser, public_user
from control_api.routing import Call, Route
from control_api.schemas import Data, PageQuery
from control_api.services.search import MAX_QUERY_LENGTH, Hit, SearchService
from storage.repositories.search import HitKind, Sought


class SearchQuery(PageQuery, kw_only=True):
    """``q`` are words; all must occur, the last one as the beginning of a word."""

    q: Annotated[str, Meta(min_length=1, max_length=MAX_QUERY_LENGTH)]
    type: Annotated[
        Sought, Meta(description="Which kind of hit; the hits name their kind by the same words.")
    ] = "all"


class SearchHit(Data, kw_only=True):
    """``room`` or ``user`` is set, as ``type`` says."""

    type: HitKind
    room: RoomView | None = None
    user: PublicUser | None = None


class SearchRoutes:
    def __init__(self, search: SearchService, views: RoomViews) -> None:
        self._search = search
        self._views = views

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
        page = await self._search.find(query.q, query.type, query.cursor, query.limit, call.principal.user_id)
        return page.map(self._hit)

    def _hit(self, hit: Hit) -> SearchHit:
        if hit.room is not None:
            return SearchHit(type="room", room=self._views.view(hit.room))
        assert hit.user is not None
        return SearchHit(type="user", user=public_user(hit.user))
