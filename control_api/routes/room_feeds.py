"""Lists of rooms."""

from typing import Annotated

from msgspec import Meta

from control_api.errors import invalid, unauthorized
from control_api.pagination import Page
from control_api.principal import Access
from control_api.room_schemas import MAX_TAG, RoomView, RoomViews, Slug
from control_api.routing import Call, Route
from control_api.schemas import PageQuery
from control_api.services.room_feeds import RoomFeeds, Sort
from control_api.texts import LINE_PATTERN
from storage.repositories.rooms import RoomDetails

READ = "rooms:read"


class RoomsQuery(PageQuery):
    """``live`` true lists only what is live, false only what is not; ``mine`` one's own rooms."""

    live: bool | None = None
    category: Slug | None = None
    tag: Annotated[str, Meta(min_length=1, max_length=MAX_TAG, pattern=LINE_PATTERN)] | None = None
    sort: Sort = Sort.VIEWERS
    mine: bool = False


class RoomFeedsRoutes:
    def __init__(self, feeds: RoomFeeds, views: RoomViews) -> None:
        self._feeds = feeds
        self._views = views

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/rooms",
                self.list,
                "Public rooms, or one's own with mine=true",
                query=RoomsQuery,
                response=list[RoomView],
                scope=READ,
            ),
            Route(
                "GET",
                "/rooms/recommended",
                self.recommended,
                "Public rooms, those first that the user may like",
                query=PageQuery,
                response=list[RoomView],
                scope=READ,
            ),
            Route(
                "GET",
                "/rooms/following",
                self.following,
                "The rooms of those whom the user follows",
                Access.USER,
                query=PageQuery,
                response=list[RoomView],
                scope=READ,
            ),
        ]

    async def list(self, call: Call[None, RoomsQuery]) -> Page[RoomView]:
        query = call.query
        if query.mine and call.principal.is_anonymous:
            raise unauthorized()
        if query.tag is not None and not query.tag.isprintable():
            raise invalid("tag", "holds a character that cannot be in a tag")
        page = await self._feeds.public(
            query.cursor,
            query.limit,
            sort=query.sort,
            is_live=query.live,
            category=query.category,
            tag=query.tag,
            owner_id=call.user_id if query.mine else None,
        )
        return self._viewed(page)

    async def recommended(self, call: Call[None, PageQuery]) -> Page[RoomView]:
        query = call.query
        return self._viewed(await self._feeds.recommended(call.principal.user_id, query.cursor, query.limit))

    async def following(self, call: Call[None, PageQuery]) -> Page[RoomView]:
        query = call.query
        return self._viewed(await self._feeds.following(call.user_id, query.cursor, query.limit))

    def _viewed(self, page: Page[RoomDetails]) -> Page[RoomView]:
        return page.map(self._views.view)
