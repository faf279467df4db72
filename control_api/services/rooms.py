"""Rooms: making, changing and deleting them, and their stream keys. The command line uses it, too."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from msgspec import UNSET

from control_api.errors import ApiError, conflict, forbidden, invalid, not_found, version_mismatch
from control_api.principal import Access, Principal
from control_api.room_schemas import (
    MAX_DESCRIPTION,
    MAX_TAG,
    MAX_TAGS,
    MAX_TITLE,
    NewRoom,
    RoomChanges,
)
from control_api.services.social import hold_own
from control_api.texts import clean_line, clean_text
from storage.database import Executor
from storage.errors import Conflict, InvalidValue, StorageError
from storage.repositories import StreamKeys, UserState, Visibility
from storage.repositories.audit import AuditLog
from storage.repositories.categories import Categories
from storage.repositories.rooms import RoomDetails, Rooms, RoomSettings
from storage.stream_keys import StreamKeyDigester, new_stream_key

MAX_AHEAD: Final = timedelta(days=366)
PATIENCE: Final = timedelta(minutes=5)
"""How far in the past a schedule may be: clocks differ, and forms are filled in slowly."""

THUMBNAILS: Final = "thumbnails"
"""The folder of the rooms' pictures among the objects."""

RESERVED_SLUGS: Final = frozenset(("recommended", "following"))
"""What stands after ``/rooms/`` in addresses of the API."""

_MESSAGES: Final = {
    "rooms_slug_valid": ("slug", "must be 1 to 63 of a-z, 0-9 and '-', and look like no id"),
    "rooms_max_viewers_valid": ("maxViewers", "must be 1 to 1000000"),
}


class ObjectStore(Protocol):
    async def delete(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class RoomKey:
    """A room and its stream key, which is known only at this moment: the database keeps a digest."""

    room: RoomDetails
    stream_key: str


class RoomsService:
    """``max_rooms`` is how many a user may have, None for the operator, who is not limited.

    ``objects`` is where thumbnails are.
    """

    def __init__(
        self,
        database: Executor,
        digester: StreamKeyDigester,
        max_rooms: int | None = 20,
        objects: ObjectStore | None = None,
    ) -> None:
        self._database = database
        self._digester = digester
        self._max_rooms = max_rooms
        self._objects = objects

    async def create(self, owner_id: UUID, new: NewRoom) -> RoomKey:
        stream_key = new_stream_key()
        async with self._database.transaction() as transaction:
            settings = await _new_settings(transaction, new)
            rooms = Rooms(transaction)
            if self._max_rooms is not None:
                await hold_own(transaction, owner_id)
                if await rooms.count_of_owner(owner_id) >= self._max_rooms:
                    raise conflict("too_many_rooms", f"A user can have {self._max_rooms} rooms at most.")
            try:
                room_id = await rooms.create(owner_id, settings)
            except (Conflict, InvalidValue) as error:
                raise _explained(error) from error
            await StreamKeys(transaction).set(room_id, self._digester.digest(stream_key))
            room = await _existing(rooms, room_id)
        return RoomKey(room, stream_key)

    async def find(self, principal: Principal, reference: str) -> RoomDetails:
        """By id or slug. A room that ``principal`` may not know of is none."""
        rooms = Rooms(self._database)
        room_id = _as_id(reference)
        room = await (
            rooms.details(room_id) if room_id is not None else rooms.details_by_slug(reference[:64].lower())
        )
        if room is None or not may_know(principal, room):
            raise not_found("room")
        return room

    async def managed(
        self, principal: Principal, room_id: UUID, executor: Executor | None = None
    ) -> RoomDetails:
        """The room, for its owner or an administrator; 404 or 403 for others."""
        room = await Rooms(executor or self._database).details(room_id)
        if room is None or not may_know(principal, room):
            raise not_found("room")
        if not may_manage(principal, room):
            raise forbidden("not_room_owner", "Only the owner of the room can do this.")
        return room

    async def change(
        self, principal: Principal, room_id: UUID, changes: RoomChanges, version: int | None, address: str
    ) -> RoomDetails:
        """``version`` is the one that the client has seen, None if it does not care."""
        async with self._database.transaction() as transaction:
            rooms = Rooms(transaction)
            await rooms.lock(room_id)
            room = await self.managed(principal, room_id, transaction)
            _check_version(room, version)
            settings = await _changed_settings(transaction, room.settings, changes)
            if settings == room.settings:
                return room
            try:
                await rooms.change(room_id, settings)
            except (Conflict, InvalidValue) as error:
                raise _explained(error) from error
            if settings.visibility is not room.settings.visibility:
                await _audit(transaction, principal, "room.visibility_changed", room_id, address)
            elif principal.user_id != room.owner.id:
                await _audit(transaction, principal, "room.changed", room_id, address)
            return await _existing(rooms, room_id)

    async def delete(self, principal: Principal, room_id: UUID, version: int | None, address: str) -> None:
        """Its publisher and viewers are dropped: the database tells every node."""
        async with self._database.transaction() as transaction:
            rooms = Rooms(transaction)
            await rooms.lock(room_id)
            room = await self.managed(principal, room_id, transaction)
            _check_version(room, version)
            await rooms.delete(room_id)
            await _audit(transaction, principal, "room.deleted", room_id, address)
        if self._objects is not None and room.thumbnail is not None:
            # The room is gone whatever becomes of its picture, and a picture that stays does no harm.
            with suppress(StorageError, ValueError):
                await self._objects.delete(f"{THUMBNAILS}/{room.thumbnail}")

    async def rotate_key(self, principal: Principal, room_id: UUID, address: str) -> RoomKey:
        """Another stream key. The database tells every node: a publisher with the old one is dropped."""
        room = await self.managed(principal, room_id)
        stream_key = new_stream_key()
        try:
            await StreamKeys(self._database).set(room_id, self._digester.digest(stream_key))
        except InvalidValue as error:  # the room is gone
            raise not_found("room") from error
        await _audit(self._database, principal, "room.stream_key_rotated", room_id, address)
        return RoomKey(room, stream_key)


def may_manage(principal: Principal, room: RoomDetails) -> bool:
    is_owner = principal.user_id is not None and principal.user_id == room.owner.id
    return is_owner or principal.has_role(Access.ADMIN)


def may_know(principal: Principal, room: RoomDetails) -> bool:
    """Everybody knows of a room that they could come to watch; private ones are nobody else's business."""
    if may_manage(principal, room):
        return True
    return room.owner.state is UserState.ACTIVE and room.settings.visibility is not Visibility.PRIVATE


def clean_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """In lower case, each once, in the order given."""
    if len(tags) > MAX_TAGS:
        raise invalid("tags", f"must be {MAX_TAGS} at most")
    cleaned = [clean_line(f"tags[{index}]", tag.lower(), MAX_TAG) for index, tag in enumerate(tags)]
    return tuple(dict.fromkeys(cleaned))


async def _audit(executor: Executor, principal: Principal, action: str, room_id: UUID, address: str) -> None:
    await AuditLog(executor).add(principal.user_id, action, "room", str(room_id), address)


async def _existing(rooms: Rooms, room_id: UUID) -> RoomDetails:
    room = await rooms.details(room_id)
    if room is None:
        raise not_found("room")
    return room


async def _new_settings(executor: Executor, new: NewRoom) -> RoomSettings:
    return RoomSettings(
        clean_line("title", new.title, MAX_TITLE),
        _clean_slug(new.slug),
        clean_text("description", new.description, MAX_DESCRIPTION),
        await _category_id(executor, new.category),
        clean_tags(new.tags),
        new.visibility,
        new.age_restricted,
        new.max_viewers,
        _checked_schedule(new.scheduled_for),
        new.low_latency,
    )


async def _changed_settings(executor: Executor, old: RoomSettings, changes: RoomChanges) -> RoomSettings:
    changed: dict[str, Any] = {}
    if changes.title is not UNSET:
        changed["title"] = clean_line("title", changes.title, MAX_TITLE)
    if changes.slug is not UNSET:
        changed["slug"] = _clean_slug(changes.slug)
    if changes.description is not UNSET:
        changed["description"] = clean_text("description", changes.description, MAX_DESCRIPTION)
    if changes.category is not UNSET:
        changed["category_id"] = await _category_id(executor, changes.category)
    if changes.tags is not UNSET:
        changed["tags"] = clean_tags(changes.tags)
    if changes.scheduled_for is not UNSET:
        changed["scheduled_for"] = _checked_schedule(changes.scheduled_for)
    for plain in ("visibility", "age_restricted", "max_viewers", "low_latency"):
        value = getattr(changes, plain)
        if value is not UNSET:
            changed[plain] = value
    return replace(old, **changed)


def _clean_slug(slug: str | None) -> str | None:
    if slug in RESERVED_SLUGS:
        raise invalid("slug", "is a word that addresses of the server use")
    if slug is not None and (not slug.isascii() or not slug.isprintable()):
        raise invalid(*_MESSAGES["rooms_slug_valid"])
    return slug


async def _category_id(executor: Executor, slug: str | None) -> UUID | None:
    if slug is None:
        return None
    category = await Categories(executor).find_by_slug(slug)
    if category is None:
        raise invalid("category", "is no category that there is")
    return category.id


def _checked_schedule(moment: datetime | None) -> datetime | None:
    now = datetime.now(UTC)
    if moment is not None and not now - PATIENCE <= moment <= now + MAX_AHEAD:
        raise invalid("scheduledFor", "must be in the future, and within a year")
    return moment


def _check_version(room: RoomDetails, version: int | None) -> None:
    if version is not None and version != room.version:
        raise version_mismatch("room")


def _explained(error: Conflict | InvalidValue) -> ApiError:
    if error.constraint == "rooms_slug_unique":
        return conflict("slug_taken", "Another room has this slug.", "slug")
    field, message = _MESSAGES.get(error.constraint, ("body", "is not allowed"))
    return invalid(field, message)


def _as_id(reference: str) -> UUID | None:
    """The id that ``reference`` is, in its usual form; a slug never looks like one."""
    try:
        parsed = UUID(reference)
    except ValueError:
        return None
    return parsed if str(parsed) == reference.lower() else None
