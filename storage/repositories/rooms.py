"""Rooms: the places where a user's live stream is published and watched."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id


class Visibility(Enum):
    """Who may watch. Public rooms are listed; unlisted ones are open to those who know the address."""

    PUBLIC = "public"
    UNLISTED = "unlisted"
    FOLLOWERS = "followers"
    SUBSCRIBERS = "subscribers"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Room:
    """``slug`` is the name in addresses, if it has one beside the id."""

    id: UUID
    owner_id: UUID
    owner_name: str
    slug: str | None
    title: str
    visibility: Visibility
    created_at: datetime


_SELECT = """SELECT rooms.id, owner_id, display_name AS owner_name, slug, title, visibility, rooms.created_at
             FROM rooms JOIN users ON users.id = owner_id"""


class Rooms:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(
        self, owner_id: UUID, title: str, slug: str | None, visibility: Visibility = Visibility.PUBLIC
    ) -> UUID:
        """The new room's id. Raises Conflict when the slug is taken, InvalidValue."""
        room_id = new_id()
        await self._database.execute(
            "INSERT INTO rooms (id, owner_id, title, slug, visibility) VALUES ($1, $2, $3, $4, $5)",
            room_id,
            owner_id,
            title,
            slug,
            visibility.value,
        )
        return room_id

    async def find_by_id(self, room_id: UUID) -> Room | None:
        row = await self._database.fetch_row(f"{_SELECT} WHERE rooms.id = $1", room_id)
        return _room(row) if row else None

    async def find_by_slug(self, slug: str) -> Room | None:
        row = await self._database.fetch_row(f"{_SELECT} WHERE slug = $1", slug)
        return _room(row) if row else None

    async def find_many(self, room_ids: Sequence[UUID]) -> list[Room]:
        """The rooms with these ids that exist, in no particular order."""
        rows = await self._database.fetch(f"{_SELECT} WHERE rooms.id = ANY($1)", room_ids)
        return [_room(row) for row in rows]

    async def set_visibility(self, room_id: UUID, visibility: Visibility) -> None:
        await self._database.execute(
            "UPDATE rooms SET visibility = $2 WHERE id = $1", room_id, visibility.value
        )

    async def delete(self, room_id: UUID) -> None:
        """Its stream key and history of broadcasts go with it."""
        await self._database.execute("DELETE FROM rooms WHERE id = $1", room_id)


def _room(row: Row) -> Room:
    return Room(
        row["id"],
        row["owner_id"],
        row["owner_name"],
        row["slug"],
        row["title"],
        Visibility(row["visibility"]),
        row["created_at"],
    )
