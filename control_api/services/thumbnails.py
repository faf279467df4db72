"""The pictures of rooms: decoded and made anew, stored under names that nobody can guess."""

import re
import secrets
from contextlib import suppress
from typing import Final, Protocol
from uuid import UUID

import structlog

from control_api.errors import not_found, unavailable
from control_api.principal import Principal
from control_api.services.rooms import THUMBNAILS, RoomsService
from storage.database import Executor
from storage.errors import StorageError
from storage.repositories.rooms import RoomDetails, Rooms

logger = structlog.get_logger("mediaserver.api")

WIDTH: Final = 1280
HEIGHT: Final = 720
_NAME: Final = re.compile(r"[0-9a-f]{32}\.webp")


class PictureConverter(Protocol):
    async def convert(self, data: bytes, width: int, height: int) -> bytes:
        """The picture as a WebP of this size, pixels only. Raises ApiError."""


class ObjectStore(Protocol):
    async def put(self, name: str, data: bytes) -> None: ...

    async def get(self, name: str) -> bytes | None: ...

    async def delete(self, name: str) -> None: ...


class ThumbnailsService:
    def __init__(
        self, database: Executor, rooms: RoomsService, objects: ObjectStore, pictures: PictureConverter
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._objects = objects
        self._pictures = pictures

    async def check_may_set(self, principal: Principal, room_id: UUID) -> None:
        """Before a picture is read at all."""
        await self._rooms.managed(principal, room_id)

    async def set(self, principal: Principal, room_id: UUID, picture: bytes) -> RoomDetails:
        """Raises ApiError: 400 for what is no picture, 503 when pictures cannot be read or stored now."""
        encoded = await self._pictures.convert(picture, WIDTH, HEIGHT)
        name = f"{secrets.token_hex(16)}.webp"
        try:
            await self._objects.put(f"{THUMBNAILS}/{name}", encoded)
        except StorageError as error:
            logger.warning("thumbnail_not_stored", error=str(error))
            raise unavailable("Pictures cannot be stored now; try again shortly.") from error
        before = await Rooms(self._database).set_thumbnail(room_id, name)
        if before is not None:
            # A picture that nothing points to does no harm.
            with suppress(StorageError, ValueError):
                await self._objects.delete(f"{THUMBNAILS}/{before}")
        return await self._rooms.managed(principal, room_id)

    async def get(self, name: str) -> bytes:
        """The picture as WebP."""
        if _NAME.fullmatch(name) is None:
            raise not_found("thumbnail")
        try:
            picture = await self._objects.get(f"{THUMBNAILS}/{name}")
        except StorageError as error:
            raise unavailable("Pictures cannot be read now; try again shortly.") from error
        if picture is None:
            raise not_found("thumbnail")
        return picture
