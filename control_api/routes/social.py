"""Following and blocking."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

from control_api.pagination import Page
from control_api.principal import Access
from control_api.routes.users import NO_USER, summary
from control_api.routing import Call, Route
from control_api.schemas import Data, PageQuery, UserSummary
from control_api.services.social import FollowState, SocialService
from storage.repositories.follows import Relation


class FollowView(Data):
    """Whether you follow the user, and how many do."""

    is_following: bool
    followers: int


class RelatedUser(UserSummary):
    """A user who follows, is followed or is blocked, since when."""

    since: datetime


class SocialRoutes:
    def __init__(self, social: SocialService) -> None:
        self._social = social

    def routes(self) -> list[Route]:
        return [*self._follow_routes(), *self._list_routes(), *self._block_routes()]

    def _follow_routes(self) -> list[Route]:
        common: dict[str, Any] = {"access": Access.USER, "response": FollowView}
        refusals = [NO_USER, (HTTPStatus.FORBIDDEN, "blocked"), (HTTPStatus.CONFLICT, "unblock_first")]
        path, write = "/users/{id}/follow", "users:write"
        return [
            Route(
                "GET",
                path,
                self.follow_state,
                "Whether you follow a user",
                **common,
                errors=[NO_USER],
                scope="users:read",
            ),
            Route("POST", path, self.follow, "Follow a user", **common, errors=refusals, scope=write),
            Route(
                "DELETE",
                path,
                self.unfollow,
                "Stop following a user",
                **common,
                errors=[NO_USER],
                scope=write,
            ),
        ]

    def _list_routes(self) -> list[Route]:
        common: dict[str, Any] = {"query": PageQuery, "response": list[RelatedUser], "scope": "users:read"}
        return [
            Route(
                "GET",
                "/users/{id}/followers",
                self.followers,
                "Who follows a user, the newest first",
                **common,
                errors=[NO_USER],
            ),
            Route(
                "GET",
                "/users/{id}/following",
                self.following,
                "Whom a user follows, the newest first",
                **common,
                errors=[NO_USER],
            ),
            Route("GET", "/blocks", self.blocks, "Whom you have blocked", Access.USER, **common),
        ]

    def _block_routes(self) -> list[Route]:
        common: dict[str, Any] = {"access": Access.USER, "scope": "users:write"}
        path = "/users/{id}/block"
        return [
            Route("POST", path, self.block, "Block a user", **common, errors=[NO_USER]),
            Route("DELETE", path, self.unblock, "Lift a block", **common, errors=[NO_USER]),
        ]

    async def follow_state(self, call: Call[Any, Any]) -> FollowView:
        return _follow_view(await self._social.state(call.user_id, call.path_id("id", "user")))

    async def follow(self, call: Call[Any, Any]) -> FollowView:
        return _follow_view(await self._social.follow(call.user_id, call.path_id("id", "user")))

    async def unfollow(self, call: Call[Any, Any]) -> FollowView:
        return _follow_view(await self._social.unfollow(call.user_id, call.path_id("id", "user")))

    async def followers(self, call: Call[Any, PageQuery]) -> Page[RelatedUser]:
        user_id, query = call.path_id("id", "user"), call.query
        return _related(await self._social.followers(user_id, query.cursor, query.limit))

    async def following(self, call: Call[Any, PageQuery]) -> Page[RelatedUser]:
        user_id, query = call.path_id("id", "user"), call.query
        return _related(await self._social.following(user_id, query.cursor, query.limit))

    async def blocks(self, call: Call[Any, PageQuery]) -> Page[RelatedUser]:
        return _related(await self._social.blocks(call.user_id, call.query.cursor, call.query.limit))

    async def block(self, call: Call[Any, Any]) -> None:
        await self._social.block(call.user_id, call.path_id("id", "user"))

    async def unblock(self, call: Call[Any, Any]) -> None:
        await self._social.unblock(call.user_id, call.path_id("id", "user"))


def _follow_view(state: FollowState) -> FollowView:
    return FollowView(is_following=state.is_following, followers=state.followers)


def _related(page: Page[Relation]) -> Page[RelatedUser]:
    return page.map(
        lambda one: RelatedUser(
            **summary(one.user_id, one.username, one.display_name, one.avatar), since=one.since
        )
    )
