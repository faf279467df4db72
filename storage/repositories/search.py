"""Full-text search over public rooms and active users.

The words are matched by ``search_query`` of the migration: all of them must occur, the last one as the
beginning of a word.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from storage.database import Executor

MOST_CANDIDATES: Final = 1000
"""A query that fits more rooms, or more users, says so little that only so many of them are ranked."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a hit stands among all: by rank, then by id."""

    rank: float
    id: UUID


@dataclass(frozen=True, slots=True)
class FoundUser:
    id: UUID
    username: str
    display_name: str
    bio: str
    avatar: str | None
    is_creator: bool


@dataclass(frozen=True, slots=True)
class FoundRoom:
    """``live_since`` and ``viewers`` are None and 0 when it is not live."""

    owner: FoundUser
    id: UUID
    slug: str | None
    title: str
    tags: list[str]
    category: str | None
    age_restricted: bool
    thumbnail: str | None
    live_since: datetime | None
    viewers: int


# A name that is the query stands first; so it is found even among more candidates than are ranked.
_USER_HITS: Final = """
    (SELECT id, 2::float8 AS rank, 'user' AS kind FROM users
     WHERE lower(username) = lower($1) AND state = 'active')
    UNION ALL
    (SELECT id, ts_rank(search, search_query($1))::float8, 'user' FROM (
        SELECT id, search FROM users
        WHERE search @@ search_query($1) AND state = 'active' AND lower(username) <> lower($1)
        LIMIT $2) AS candidates)"""

_ROOM_HITS: Final = """
    (SELECT id, 2::float8 AS rank, 'room' AS kind FROM rooms WHERE slug = lower($1) AND visibility = 'public'
        AND EXISTS (SELECT FROM users WHERE users.id = owner_id AND state = 'active'))
    UNION ALL
    (SELECT id, ts_rank(search, search_query($1))::float8, 'room' FROM (
        SELECT rooms.id, rooms.search FROM rooms JOIN users ON users.id = owner_id AND state = 'active'
        WHERE rooms.search @@ search_query($1) AND visibility = 'public' AND slug IS DISTINCT FROM lower($1)
        LIMIT $2) AS candidates)"""


Sought = Literal["all", "rooms", "users"]

_HITS: Final[dict[Sought, str]] = {
    "all": f"{_ROOM_HITS} UNION ALL {_USER_HITS}",
    "rooms": _ROOM_HITS,
    "users": _USER_HITS,
}


def hits_query(sought: Sought) -> str:
    """SQL that takes the words, MOST_CANDIDATES, the last rank and id (or nulls) and a limit."""
    return f"""SELECT id, rank, kind FROM ({_HITS[sought]}) AS hits
               WHERE $3::float8 IS NULL OR (rank, id) < ($3, $4::uuid)
               ORDER BY rank DESC, id DESC LIMIT $5"""


FIND_ROOMS: Final = """
    SELECT rooms.id, rooms.slug, title, tags, categories.slug AS category, age_restricted, thumbnail,
           live.started_at AS live_since, coalesce(live.viewers, 0) AS viewers,
           users.id, username, display_name, bio, avatar, is_creator
    FROM rooms JOIN users ON users.id = owner_id
    LEFT JOIN categories ON categories.id = category_id
    LEFT JOIN room_live_state AS live ON live.room_id = rooms.id
    WHERE rooms.id = ANY($1::uuid[])"""

FIND_USERS: Final = """
    SELECT id, username, display_name, bio, avatar, is_creator FROM users WHERE id = ANY($1::uuid[])"""


class Search:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def positions(
        self, words: str, sought: Sought, after: Position | None, limit: int
    ) -> list[tuple[Position, str]]:
        """The best hits after ``after``, the best first, each with "room" or "user".

        ``words`` may hold anything but NUL; what is no word is ignored.
        """
        rows = await self._database.fetch(
            hits_query(sought),
            words,
            MOST_CANDIDATES,
            after.rank if after else None,
            after.id if after else None,
            limit,
        )
        return [(Position(row["rank"], row["id"]), row["kind"]) for row in rows]

    async def rooms(self, room_ids: list[UUID]) -> dict[UUID, FoundRoom]:
        rows = await self._database.fetch(FIND_ROOMS, room_ids) if room_ids else []
        return {row[0]: FoundRoom(FoundUser(*row[9:]), *row[:9]) for row in rows}

    async def users(self, user_ids: list[UUID]) -> dict[UUID, FoundUser]:
        rows = await self._database.fetch(FIND_USERS, user_ids) if user_ids else []
        return {row[0]: FoundUser(*row) for row in rows}
