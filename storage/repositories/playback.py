"""Who stands how to a room: everything that decides whether somebody may watch it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from storage.database import Executor, Row
from storage.repositories.rooms import Visibility
from storage.repositories.users import Role, UserState


@dataclass(frozen=True, slots=True)
class WatchedRoom:
    """A room as its doors need to know it. ``low_latency``: it may be watched over WebRTC."""

    id: UUID
    owner_id: UUID
    owner_name: str
    slug: str | None
    title: str
    visibility: Visibility
    age_restricted: bool
    max_viewers: int | None
    low_latency: bool
    is_owner_active: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How ``user_id`` stands to a room. None is somebody who has not signed in.

    ``role`` and ``state`` are None for nobody, and for a user who does not exist any more. ``is_moderator``
    says that they moderate this room's chat, ``is_subscriber`` that they are one of its owner.
    """

    room_id: UUID
    owner_id: UUID
    owner_state: UserState
    visibility: Visibility
    age_restricted: bool
    max_viewers: int | None
    user_id: UUID | None
    role: Role | None
    state: UserState | None
    is_follower: bool
    is_blocked: bool
    is_moderator: bool
    is_subscriber: bool = False


_SELECT_ROOM = """SELECT rooms.id, owner_id, display_name AS owner_name, slug, title, visibility,
                         age_restricted, max_viewers, low_latency, users.state = 'active' AS is_owner_active
                  FROM rooms JOIN users ON users.id = owner_id"""


class Playback:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def find_room(self, room_ref: UUID | str) -> WatchedRoom | None:
        """The room with this id or slug."""
        column = "rooms.id" if isinstance(room_ref, UUID) else "slug"
        row = await self._database.fetch_row(f"{_SELECT_ROOM} WHERE {column} = $1", room_ref)
        return _room(row) if row else None

    async def standings(self, room_id: UUID, user_ids: Sequence[UUID | None]) -> list[Standing]:
        """One for each of ``user_ids``, in no particular order; nothing when there is no such room."""
        rows = await self._database.fetch(
            """SELECT rooms.id AS room_id, rooms.owner_id, owners.state AS owner_state,
                      visibility, age_restricted, max_viewers,
                      asked.id AS user_id, users.role, users.state,
                      follows.user_id IS NOT NULL AS is_follower,
                      EXISTS (SELECT FROM subscriptions
                              WHERE user_id = asked.id AND creator_id = rooms.owner_id
                                AND subscriptions.state <> 'ended' AND gives_access) AS is_subscriber,
                      blocks.user_id IS NOT NULL AS is_blocked,
                      chat_moderators.user_id IS NOT NULL AS is_moderator
               FROM rooms
               JOIN users AS owners ON owners.id = rooms.owner_id
               CROSS JOIN unnest($2::uuid[]) AS asked (id)
               LEFT JOIN users ON users.id = asked.id
               LEFT JOIN follows ON follows.follower_id = asked.id AND follows.user_id = rooms.owner_id
               LEFT JOIN blocks ON blocks.user_id = rooms.owner_id AND blocks.blocked_id = asked.id
               LEFT JOIN chat_moderators ON chat_moderators.room_id = rooms.id
                    AND chat_moderators.user_id = asked.id
               WHERE rooms.id = $1""",
            room_id,
            user_ids,
        )
        return [standing_of(row) for row in rows]


def _room(row: Row) -> WatchedRoom:
    return WatchedRoom(
        row["id"],
        row["owner_id"],
        row["owner_name"],
        row["slug"],
        row["title"],
        Visibility(row["visibility"]),
        row["age_restricted"],
        row["max_viewers"],
        row["low_latency"],
        row["is_owner_active"],
    )


def standing_of(row: Row) -> Standing:
    """A row with columns of the names of Standing's fields."""
    return Standing(
        row["room_id"],
        row["owner_id"],
        UserState(row["owner_state"]),
        Visibility(row["visibility"]),
        row["age_restricted"],
        row["max_viewers"],
        row["user_id"],
        Role(row["role"]) if row["role"] is not None else None,
        UserState(row["state"]) if row["state"] is not None else None,
        row["is_follower"],
        row["is_blocked"],
        row["is_moderator"],
        row["is_subscriber"],
    )
