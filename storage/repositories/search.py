"""Full-text search over public rooms and active users.

The words are matched by ``search_query`` of the migration: all of them must occur, the last one as the
beginning of a word.
"""

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from storage.database import Executor, Row
from storage.repositories.rooms import DETAIL_COLUMNS, DETAIL_TABLES, RoomDetails, room_details
from storage.repositories.users import Profile, Role, User, UserState

MOST_CANDIDATES: Final = 1000
"""A query that fits more rooms, or more users, says so little that only so many of them are ranked."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a hit stands among all: by rank, then by id."""

    rank: float
    id: UUID


@dataclass(frozen=True, slots=True)
class FoundUser:
    """``is_followed``: by the user who searches."""

    profile: Profile
    is_followed: bool


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


HitKind = Literal["room", "user"]
Sought = Literal["all", HitKind]

_HITS: Final[dict[Sought, str]] = {
    "all": f"{_ROOM_HITS} UNION ALL {_USER_HITS}",
    "room": _ROOM_HITS,
    "user": _USER_HITS,
}


def hits_query(sought: Sought) -> str:
    """SQL that takes the words, MOST_CANDIDATES, the last rank and id (or nulls) and a limit."""
    return f"""SELECT id, rank, kind FROM ({_HITS[sought]}) AS hits
               WHERE $3::float8 IS NULL OR (rank, id) < ($3, $4::uuid)
               ORDER BY rank DESC, id DESC LIMIT $5"""


FIND_ROOMS: Final = f"""
    SELECT {DETAIL_COLUMNS} FROM rooms {DETAIL_TABLES}
    WHERE rooms.id = ANY($1::uuid[]) AND visibility = 'public' AND state = 'active'"""

FIND_USERS: Final = """
    SELECT id, username, email, display_name, role, state, created_at, avatar, bio, is_creator,
           email_verified_at IS NOT NULL AS is_verified,
           coalesce(followers, 0) AS followers, coalesce(following, 0) AS following,
           EXISTS (SELECT FROM follows WHERE follower_id = $2::uuid AND follows.user_id = users.id)
               AS is_followed
    FROM users LEFT JOIN follow_counts ON follow_counts.user_id = users.id
    WHERE id = ANY($1::uuid[]) AND state = 'active'"""


class Search:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def positions(
        self, words: str, sought: Sought, after: Position | None, limit: int
    ) -> list[tuple[Position, HitKind]]:
        """The best hits after ``after``, the best first, each with its kind.

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

    async def rooms(self, room_ids: list[UUID]) -> dict[UUID, RoomDetails]:
        """Those of the rooms that still may be found."""
        rows = await self._database.fetch(FIND_ROOMS, room_ids) if room_ids else []
        return {row["id"]: room_details(row) for row in rows}

    async def users(self, user_ids: list[UUID], searcher_id: UUID | None) -> dict[UUID, FoundUser]:
        """Those of the users who still may be found."""
        rows = await self._database.fetch(FIND_USERS, user_ids, searcher_id) if user_ids else []
        return {row["id"]: _found_user(row) for row in rows}


def _found_user(row: Row) -> FoundUser:
    user = User(
        row["id"],
        row["username"],
        row["email"],
        row["display_name"],
        Role(row["role"]),
        UserState(row["state"]),
        row["created_at"],
    )
    shown = row["avatar"], row["bio"], row["is_creator"], row["is_verified"]
    return FoundUser(Profile(user, *shown, row["followers"], row["following"]), row["is_followed"])
