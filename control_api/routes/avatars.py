"""GET /avatars/{name}: users' pictures."""

from http import HTTPStatus
from typing import Any, Final

from control_api.routing import Call, Reply, Route
from control_api.services.users import UserService

# A picture never changes: another one has another name.
HEADERS: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


class AvatarRoutes:
    def __init__(self, users: UserService) -> None:
        self._users = users

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/avatars/{name}",
                self.show,
                "A user's picture",
                errors=[(HTTPStatus.NOT_FOUND, "avatar_not_found")],
                scope="users:read",
                response_types=("image/webp",),
            )
        ]

    async def show(self, call: Call[Any, Any]) -> Reply:
        picture = await self._users.avatar(call.path["name"])
        return Reply(raw=picture, content_type="image/webp", headers=HEADERS)
