"""The pictures of rooms."""

from http import HTTPStatus
from typing import Final

from control_api.images import MAX_PICTURE_BYTES, PICTURE_TYPES, read_picture
from control_api.principal import Access
from control_api.room_schemas import RoomView, RoomViews
from control_api.routing import Call, Limit, Reply, Route
from control_api.services.thumbnails import ThumbnailsService

# A picture never changes: another one has another name.
HEADERS: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


class ThumbnailsRoutes:
    def __init__(self, thumbnails: ThumbnailsService, views: RoomViews) -> None:
        self._thumbnails = thumbnails
        self._views = views

    def routes(self) -> list[Route]:
        return [
            Route(
                "PUT",
                "/rooms/{id}/thumbnail",
                self.set,
                "Set the room's picture; it is cut to 16:9",
                Access.USER,
                response=RoomView,
                errors=(
                    (HTTPStatus.NOT_FOUND, "room_not_found"),
                    (HTTPStatus.FORBIDDEN, "not_room_owner"),
                    (HTTPStatus.REQUEST_TIMEOUT, "upload_too_slow"),
                ),
                limit=Limit.UPLOAD,
                scope="rooms:write",
                upload_types=PICTURE_TYPES,
                max_upload_bytes=MAX_PICTURE_BYTES,
                gives_etag=True,
            ),
            Route(
                "GET",
                "/thumbnails/{name}",
                self.get,
                "A room's picture",
                errors=((HTTPStatus.NOT_FOUND, "thumbnail_not_found"),),
                scope="rooms:read",
                response_types=("image/webp",),
            ),
        ]

    async def set(self, call: Call[None, None]) -> Reply:
        room_id = call.path_id("id", "room")
        await self._thumbnails.check_may_set(call.principal, room_id)
        picture = await read_picture(call.request, call.max_bytes)
        room = await self._thumbnails.set(call.principal, room_id, picture)
        return Reply(self._views.view(room), version=room.version)

    async def get(self, call: Call[None, None]) -> Reply:
        picture = await self._thumbnails.get(call.path["name"])
        return Reply(raw=picture, content_type="image/webp", headers=HEADERS)
