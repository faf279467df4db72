"""Rooms: the places where a user's live stream is published and watched."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id
from storage.repositories.users import UserState


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


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """What an owner decides about a room. ``low_latency``: the audience may watch over WebRTC, by WHEP."""

    title: str
    slug: str | None = None
    description: str = ""
    category_id: UUID | None = None
    tags: tuple[str, ...] = ()
    visibility: Visibility = Visibility.PUBLIC
    age_restricted: bool = False
    max_viewers: int | None = None
    scheduled_for: datetime | None = None
    low_latency: bool = True


@dataclass(frozen=True, slots=True)
class RoomOwner:
    """``avatar`` is the name of an object."""

    id: UUID
    username: str
    display_name: str
    avatar: str | None
    state: UserState


@dataclass(frozen=True, slots=True)
class RoomDetails:
    """A room with its owner, its category and what is known of its broadcasts, on whichever node they run.

    ``live_since`` is None unless it is live; ``viewers`` is then as fresh as its node's last report.
    ``ended_at`` is the end of the last broadcast. ``version`` counts the changes of the settings.
    """

    id: UUID
    owner: RoomOwner
    settings: RoomSettings
    category_slug: str | None
    category_name: str | None
    thumbnail: str | None
    ready_at: datetime | None
    version: int
    created_at: datetime
    live_since: datetime | None
    viewers: int
    ended_at: datetime | None


STALE_SECONDS: Final = 45
"""A node reports its live rooms every ten seconds. One that has been silent for so long is gone."""

IS_LIVE: Final = f"last_seen > now() - interval '{STALE_SECONDS} seconds'"

_COLUMNS: Final = """title, slug, description, category_id, tags, visibility, age_restricted, max_viewers,
                     scheduled_for, low_latency"""

DETAIL_COLUMNS: Final = """rooms.id, owner_id, username, display_name, avatar, state, rooms.title, rooms.slug,
    description, category_id, tags, visibility, age_restricted, max_viewers, scheduled_for, low_latency,
    categories.slug AS category_slug, categories.name AS category_name, thumbnail, ready_at, version,
    rooms.created_at, live.started_at AS live_since, coalesce(live.viewers, 0) AS viewers,
    (SELECT ended_at FROM broadcasts WHERE room_id = rooms.id ORDER BY started_at DESC LIMIT 1)"""
"""What ``room_details`` reads, of rooms joined with DETAIL_TABLES."""

DETAIL_TABLES: Final = f"""JOIN users ON users.id = owner_id
    LEFT JOIN categories ON categories.id = category_id
    LEFT JOIN room_live_state AS live ON live.room_id = rooms.id AND live.{IS_LIVE}"""

_DETAILS: Final = f"SELECT {DETAIL_COLUMNS} FROM rooms {DETAIL_TABLES}"

_SELECT: Final = """SELECT rooms.id, owner_id, display_name AS owner_name, slug, title, visibility,
                           rooms.created_at
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

    async def create(self, owner_id: UUID, settings: RoomSettings) -> UUID:
        """The new room's id. Raises Conflict when the slug is taken, InvalidValue."""
        room_id = new_id()
        await self._database.execute(
            f"""INSERT INTO rooms (id, owner_id, {_COLUMNS})
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)""",
            room_id,
            owner_id,
            *_values(settings),
        )
        return room_id

    async def change(self, room_id: UUID, settings: RoomSettings) -> None:
        """Raises Conflict when the slug is taken, InvalidValue."""
        await self._database.execute(
            f"""UPDATE rooms SET ({_COLUMNS}) = ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11),
                    version = version + 1, updated_at = now() WHERE id = $1""",
            room_id,
            *_values(settings),
        )

    async def details(self, room_id: UUID) -> RoomDetails | None:
        row = await self._database.fetch_row(f"{_DETAILS} WHERE rooms.id = $1", room_id)
        return room_details(row) if row else None

    async def details_by_slug(self, slug: str) -> RoomDetails | None:
        row = await self._database.fetch_row(f"{_DETAILS} WHERE rooms.slug = $1", slug)
        return room_details(row) if row else None

    async def lock(self, room_id: UUID) -> None:
        """Until the transaction ends, nobody else changes the room."""
        await self._database.execute("SELECT FROM rooms WHERE id = $1 FOR NO KEY UPDATE", room_id)

    async def count_of_owner(self, owner_id: UUID) -> int:
        """How many rooms the user has. Until the transaction ends, nobody else adds or counts them."""
        await self._database.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", owner_id)
        count: int = await self._database.fetch_value(
            "SELECT count(*) FROM rooms WHERE owner_id = $1", owner_id
        )
        return count

    async def set_ready(self, room_id: UUID, is_ready: bool) -> None:
        """Note that the next broadcast is about to begin, which fulfils a schedule, or that it is over."""
        await self._database.execute(
            """UPDATE rooms SET ready_at = CASE WHEN $2 THEN now() END,
                   scheduled_for = CASE WHEN $2 THEN NULL ELSE scheduled_for END,
                   version = version + 1, updated_at = now() WHERE id = $1""",
            room_id,
            is_ready,
        )

    async def set_thumbnail(self, room_id: UUID, name: str) -> str | None:
        """The name of the object that it was before. Raises InvalidValue."""
        before: str | None = await self._database.fetch_value(
            """WITH before AS (SELECT id, thumbnail FROM rooms WHERE id = $1 FOR NO KEY UPDATE)
               UPDATE rooms SET thumbnail = $2, version = version + 1, updated_at = now()
               FROM before WHERE rooms.id = before.id RETURNING before.thumbnail""",
            room_id,
            name,
        )
        return before

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


def _values(settings: RoomSettings) -> tuple[object, ...]:
    """In the order of _COLUMNS."""
    return (
        settings.title,
        settings.slug,
        settings.description,
        settings.category_id,
        settings.tags,
        settings.visibility.value,
        settings.age_restricted,
        settings.max_viewers,
        settings.scheduled_for,
        settings.low_latency,
    )


def room_details(row: Row) -> RoomDetails:
    """A row with DETAIL_COLUMNS."""
    return RoomDetails(
        row["id"],
        RoomOwner(
            row["owner_id"], row["username"], row["display_name"], row["avatar"], UserState(row["state"])
        ),
        _settings(row),
        row["category_slug"],
        row["category_name"],
        row["thumbnail"],
        row["ready_at"],
        row["version"],
        row["created_at"],
        row["live_since"],
        row["viewers"],
        row["ended_at"],
    )


def _settings(row: Row) -> RoomSettings:
    return RoomSettings(
        row["title"],
        row["slug"],
        row["description"],
        row["category_id"],
        tuple(row["tags"]),
        Visibility(row["visibility"]),
        row["age_restricted"],
        row["max_viewers"],
        row["scheduled_for"],
        row["low_latency"],
    )
