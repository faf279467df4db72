"""Rooms: what owners do with theirs, and what everybody may read of one."""

from http import HTTPStatus

from control_api.principal import Access
from control_api.room_schemas import NewRoom, RoomChanges, RoomView, RoomViews, RoomWithKey
from control_api.routing import Call, Reply, Route
from control_api.schemas import Data
from control_api.services.rooms import RoomsService

ROOM = "/rooms/{id}"
READ = "rooms:read"
WRITE = "rooms:write"
NOT_FOUND = (HTTPStatus.NOT_FOUND, "room_not_found")
NOT_OWNER = (HTTPStatus.FORBIDDEN, "not_room_owner")
SLUG_TAKEN = (HTTPStatus.CONFLICT, "slug_taken")
TOO_MANY = (HTTPStatus.CONFLICT, "too_many_rooms")


class StreamKeyView(Data):
    """Shown this once; the server keeps a digest."""

    stream_key: str


class RoomsRoutes:
    def __init__(self, rooms: RoomsService, views: RoomViews) -> None:
        self._rooms = rooms
        self._views = views

    def routes(self) -> list[Route]:
        return [*self._reading_and_making(), *self._changing()]

    def _reading_and_making(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/rooms",
                self.create,
                "Make a room; its stream key is in the answer, and only there",
                Access.USER,
                body=NewRoom,
                response=RoomWithKey,
                status=HTTPStatus.CREATED,
                errors=(SLUG_TAKEN, TOO_MANY),
                scope=WRITE,
                gives_etag=True,
            ),
            Route(
                "GET",
                ROOM,
                self.get,
                "A room, by its id or slug",
                response=RoomView,
                errors=(NOT_FOUND,),
                scope=READ,
                gives_etag=True,
            ),
        ]

    def _changing(self) -> list[Route]:
        return [
            Route(
                "PATCH",
                ROOM,
                self.change,
                "Change a room's settings",
                Access.USER,
                body=RoomChanges,
                response=RoomView,
                errors=(NOT_FOUND, NOT_OWNER, SLUG_TAKEN),
                scope=WRITE,
                takes_if_match=True,
                gives_etag=True,
            ),
            Route(
                "DELETE",
                ROOM,
                self.delete,
                "Delete a room with all of its history; whoever publishes or watches is dropped",
                Access.USER,
                errors=(NOT_FOUND, NOT_OWNER),
                scope=WRITE,
                takes_if_match=True,
            ),
            Route(
                "POST",
                f"{ROOM}/stream-key",
                self.rotate_key,
                "Another stream key; whoever publishes with the old one is dropped",
                Access.USER,
                response=StreamKeyView,
                errors=(NOT_FOUND, NOT_OWNER),
                scope=WRITE,
            ),
        ]

    async def create(self, call: Call[NewRoom, None]) -> Reply:
        made = await self._rooms.create(call.user_id, call.body)
        return Reply(self._views.view_with_key(made.room, made.stream_key), version=made.room.version)

    async def get(self, call: Call[None, None]) -> Reply:
        room = await self._rooms.find(call.principal, call.path["id"])
        return Reply(self._views.view(room), version=room.version)

    async def change(self, call: Call[RoomChanges, None]) -> Reply:
        room_id = call.path_id("id", "room")
        room = await self._rooms.change(call.principal, room_id, call.body, call.if_match, call.address)
        return Reply(self._views.view(room), version=room.version)

    async def delete(self, call: Call[None, None]) -> None:
        room_id = call.path_id("id", "room")
        await self._rooms.delete(call.principal, room_id, call.if_match, call.address)

    async def rotate_key(self, call: Call[None, None]) -> StreamKeyView:
        made = await self._rooms.rotate_key(call.principal, call.path_id("id", "room"), call.address)
        return StreamKeyView(stream_key=made.stream_key)
