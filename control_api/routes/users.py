"""The own account, and the profiles of others."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

from msgspec import Meta

from control_api.images import MAX_PICTURE_BYTES, PICTURE_TYPES, read_picture
from control_api.principal import Access
from control_api.routing import Call, Limit, Reply, Route
from control_api.schemas import Body, UserSummary
from control_api.services.account_export import AccountExport
from control_api.services.account_view import AccountView, AccountViews, avatar_address
from control_api.services.users import MAX_BIO, MAX_DISPLAY_NAME, PublicProfile, UserService
from control_api.texts import LINE_PATTERN
from storage.repositories.credentials import Credential

MAX_PASSWORD: Final = 100
NO_USER: Final = (HTTPStatus.NOT_FOUND, "user_not_found")


class ProfileChanges(Body):
    """What is left out stays as it is."""

    display_name: (
        Annotated[str, Meta(min_length=1, max_length=MAX_DISPLAY_NAME, pattern=LINE_PATTERN)] | None
    ) = None
    bio: Annotated[str, Meta(max_length=MAX_BIO)] | None = None


class AccountDeletion(Body):
    """``password`` proves that it is not somebody at an unlocked screen."""

    password: Annotated[str, Meta(min_length=1, max_length=MAX_PASSWORD)]


class PublicUser(UserSummary):
    """``isFollowing`` is whether you follow them; null of yourself and without signing in."""

    bio: str
    is_creator: bool
    followers: int
    following: int
    created_at: datetime
    is_following: bool | None


class UserRoutes:
    def __init__(self, users: UserService, exports: AccountExport, views: AccountViews) -> None:
        self._users = users
        self._exports = exports
        self._views = views

    def routes(self) -> list[Route]:
        return [*self._profile_routes(), *self._leaving_routes(), self._find_route()]

    def _profile_routes(self) -> list[Route]:
        user, read, write = Access.USER, "users:read", "users:write"
        return [
            Route(
                "GET",
                "/users/me",
                self.me,
                "Your account",
                user,
                response=AccountView,
                scope=read,
                gives_etag=True,
            ),
            Route(
                "PATCH",
                "/users/me",
                self.change,
                "Change your profile",
                user,
                body=ProfileChanges,
                response=AccountView,
                scope=write,
                takes_if_match=True,
                gives_etag=True,
            ),
            Route(
                "PUT",
                "/users/me/avatar",
                self.set_avatar,
                "Set your picture",
                user,
                response=AccountView,
                errors=[(HTTPStatus.REQUEST_TIMEOUT, "upload_too_slow")],
                limit=Limit.UPLOAD,
                scope=write,
                upload_types=PICTURE_TYPES,
                max_upload_bytes=MAX_PICTURE_BYTES,
                gives_etag=True,
            ),
        ]

    def _leaving_routes(self) -> list[Route]:
        user = Access.USER
        return [
            Route(
                "DELETE",
                "/users/me",
                self.delete,
                "Delete your account with all that belongs to it",
                user,
                body=AccountDeletion,
                errors=[(HTTPStatus.FORBIDDEN, "wrong_password"), (HTTPStatus.CONFLICT, "last_superadmin")],
                limit=Limit.AUTHENTICATION,
            ),
            Route(
                "POST",
                "/users/me/export",
                self.export,
                "Get everything that is kept about you, as a zip",
                user,
                response_types=("application/zip",),
            ),
        ]

    def _find_route(self) -> Route:
        return Route(
            "GET",
            "/users/{idOrName}",
            self.find,
            "A user's profile",
            response=PublicUser,
            errors=[NO_USER],
            scope="users:read",
        )

    async def me(self, call: Call[Any, Any]) -> Reply:
        return await self._account(await self._users.own(call.user_id))

    async def change(self, call: Call[ProfileChanges, Any]) -> Reply:
        changes = call.body
        changed = await self._users.change(
            call.user_id, changes.display_name, changes.bio, version=call.if_match
        )
        return await self._account(changed)

    async def delete(self, call: Call[AccountDeletion, Any]) -> None:
        await self._users.delete(call.user_id, call.body.password, call.address)

    async def set_avatar(self, call: Call[Any, Any]) -> Reply:
        picture = await read_picture(call.request, call.max_bytes)
        return await self._account(await self._users.set_avatar(call.user_id, picture))

    async def export(self, call: Call[Any, Any]) -> Reply:
        return Reply(
            raw=await self._exports.export(call.user_id),
            content_type="application/zip",
            headers={"Content-Disposition": 'attachment; filename="account.zip"'},
        )

    async def _account(self, user: Credential) -> Reply:
        return Reply(await self._views.of(user), version=user.profile_version)

    async def find(self, call: Call[Any, Any]) -> PublicUser:
        found = await self._users.find(call.path["idOrName"], call.principal.user_id)
        return public_user(found)


def public_user(found: PublicProfile) -> PublicUser:
    profile = found.profile
    return PublicUser(
        **summary(profile.user.id, profile.user.username, profile.user.display_name, profile.avatar),
        bio=profile.bio,
        is_creator=profile.is_creator,
        followers=profile.followers,
        following=profile.following,
        created_at=profile.user.created_at,
        is_following=found.is_following,
    )


def summary(user_id: UUID, username: str, display_name: str, avatar: str | None) -> dict[str, Any]:
    """The fields of a UserSummary; ``avatar`` is the name of an object."""
    address = avatar_address(avatar)
    return {"id": user_id, "username": username, "display_name": display_name, "avatar": address}
