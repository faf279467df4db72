"""Users for administrators."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from msgspec import Meta

from control_api.pagination import Page
from control_api.principal import Access
from control_api.routes.users import NO_USER, summary
from control_api.routing import Call, Route
from control_api.schemas import Body, PageQuery, UserSummary
from control_api.services.admin_users import MAX_PREFIX, MAX_REASON, AdminUserService, UserChange
from control_api.texts import LINE_PATTERN
from storage.repositories import Role, UserState
from storage.repositories.users import Profile, UserFilter


class UserQuery(PageQuery):
    """``text`` is how a name or an e-mail address begins."""

    state: UserState | None = None
    role: Role | None = None
    text: Annotated[str, Meta(min_length=1, max_length=MAX_PREFIX, pattern=LINE_PATTERN)] | None = None


class UserChanges(Body):
    """What is left out stays as it is; ``reason`` is for the audit log."""

    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON, pattern=LINE_PATTERN)]
    role: Literal["user", "moderator", "admin"] | None = None
    state: Literal["active", "suspended", "banned"] | None = None
    is_creator: bool | None = None


class AdminUser(UserSummary):
    """A user with what only administrators see."""

    email: str
    verified: bool
    bio: str
    role: Role
    state: UserState
    is_creator: bool
    followers: int
    following: int
    created_at: datetime


class AdminUserRoutes:
    def __init__(self, users: AdminUserService) -> None:
        self._users = users

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/admin/users",
                self.list_all,
                "Users, the newest first",
                Access.ADMIN,
                query=UserQuery,
                response=list[AdminUser],
            ),
            Route(
                "PATCH",
                "/admin/users/{id}",
                self.change,
                "Change a user's role or state, or make a creator of them",
                Access.ADMIN,
                body=UserChanges,
                response=AdminUser,
                errors=[
                    NO_USER,
                    (HTTPStatus.FORBIDDEN, "rank_too_low"),
                    (HTTPStatus.CONFLICT, "account_deleted"),
                ],
            ),
        ]

    async def list_all(self, call: Call[Any, UserQuery]) -> Page[AdminUser]:
        query = call.query
        wanted = UserFilter(query.state, query.role, query.text)
        page = await self._users.list(wanted, query.cursor, query.limit)
        return page.map(_view)

    async def change(self, call: Call[UserChanges, Any]) -> AdminUser:
        body = call.body
        change = UserChange(
            body.reason,
            Role(body.role) if body.role is not None else None,
            UserState(body.state) if body.state is not None else None,
            body.is_creator,
        )
        user_id = call.path_id("id", "user")
        return _view(await self._users.change(call.principal, user_id, change, call.address))


def _view(profile: Profile) -> AdminUser:
    user = profile.user
    return AdminUser(
        **summary(user.id, user.username, user.display_name, profile.avatar),
        email=user.email,
        verified=profile.is_verified,
        bio=profile.bio,
        role=user.role,
        state=user.state,
        is_creator=profile.is_creator,
        followers=profile.followers,
        following=profile.following,
        created_at=user.created_at,
    )
