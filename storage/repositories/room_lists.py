"""Lists of rooms, a page at a time: those that are live by their rank, and the others from the newest on.

The statements are put together from the constants below alone; whatever comes from outside is a parameter.
Only what is asked for stands in a statement, so that PostgreSQL can use the index that fits.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from storage.database import Executor
from storage.repositories.rooms import DETAIL_COLUMNS, DETAIL_TABLES, IS_LIVE, RoomDetails, room_details

_LISTED: Final = "rooms.visibility = 'public' AND users.state = 'active'"
_FOLLOWED: Final = """rooms.visibility IN ('public', 'followers') AND users.state = 'active'
    AND owner_id IN (SELECT user_id FROM follows WHERE follower_id = {})"""
_BLOCKED: Final = """NOT EXISTS (SELECT FROM blocks WHERE user_id = owner_id AND blocked_id = {0}
    OR user_id = {0} AND blocked_id = owner_id)"""
_TASTE: Final = """live.viewers + CASE WHEN category_id IN (
    SELECT category_id FROM follows JOIN rooms ON owner_id = user_id WHERE follower_id = {}
    ) THEN 50 ELSE 0 END"""
"""A category that the user follows somebody in counts as much as fifty viewers."""


@dataclass(frozen=True, slots=True)
class RoomFilter:
    """Which rooms. Without ``owner_id`` and ``followed_by`` those that everybody may see.

    ``owner_id`` lists all of a user's, whoever may see them; ``followed_by`` those of whom the user follows.
    ``taste_of`` ranks for a user, and leaves out whom the user blocked or was blocked by.
    """

    category_id: UUID | None = None
    tag: str | None = None
    owner_id: UUID | None = None
    followed_by: UUID | None = None
    taste_of: UUID | None = None


@dataclass(frozen=True, slots=True)
class RankedRoom:
    """``rank`` is where it stands among the live ones: its viewers, and what taste adds."""

    rank: int
    room: RoomDetails


class _Parameters:
    """Collects the arguments of a statement and names them."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def add(self, value: object) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


class RoomLists:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def live(
        self, room_filter: RoomFilter, limit: int, after: tuple[int, UUID] | None = None
    ) -> list[RankedRoom]:
        """By rank, the highest first; from the one after ``after`` (rank and id) on."""
        parameters = _Parameters()
        rank = "live.viewers"
        if room_filter.taste_of is not None:
            rank = _TASTE.format(parameters.add(room_filter.taste_of))
        where = [f"live.{IS_LIVE}", *_conditions(room_filter, parameters)]
        if after is not None:
            last = f"({parameters.add(after[0])}::int, {parameters.add(after[1])}::uuid)"
            where.append(f"({rank}, live.room_id) < {last}")
        pick = f"""SELECT live.room_id AS picked_id, {rank} AS rank
                   FROM room_live_state AS live JOIN rooms ON rooms.id = live.room_id
                   JOIN users ON users.id = owner_id
                   WHERE {" AND ".join(where)}
                   ORDER BY rank DESC, live.room_id DESC LIMIT {parameters.add(limit)}"""
        sql = f"{_picked(pick)} ORDER BY rank DESC, id DESC"
        rows = await self._database.fetch(sql, *parameters.values)
        return [RankedRoom(row["rank"], room_details(row)) for row in rows]

    async def newest(
        self, room_filter: RoomFilter, limit: int, after: UUID | None = None, is_live: bool | None = None
    ) -> list[RoomDetails]:
        """The newest first, from the one after ``after`` on; with ``is_live`` only those that are, or not."""
        parameters = _Parameters()
        where = _conditions(room_filter, parameters)
        if is_live is not None:
            negation = "" if is_live else "NOT "
            where.append(
                f"{negation}EXISTS (SELECT FROM room_live_state WHERE room_id = rooms.id AND {IS_LIVE})"
            )
        if after is not None:
            where.append(f"rooms.id < {parameters.add(after)}")
        pick = f"""SELECT rooms.id AS picked_id FROM rooms JOIN users ON users.id = owner_id
                   WHERE {" AND ".join(where)} ORDER BY rooms.id DESC LIMIT {parameters.add(limit)}"""
        rows = await self._database.fetch(f"{_picked(pick)} ORDER BY id DESC", *parameters.values)
        return [room_details(row) for row in rows]


def _picked(pick: str) -> str:
    """The details of the rooms that ``pick`` finds, and its own columns."""
    return f"""SELECT {DETAIL_COLUMNS}, picked.*
               FROM ({pick}) AS picked JOIN rooms ON rooms.id = picked_id {DETAIL_TABLES}"""


def _conditions(room_filter: RoomFilter, parameters: _Parameters) -> list[str]:
    where = []
    if room_filter.owner_id is not None:
        where.append(f"owner_id = {parameters.add(room_filter.owner_id)}")
    elif room_filter.followed_by is not None:
        where.append(_FOLLOWED.format(parameters.add(room_filter.followed_by)))
    else:
        where.append(_LISTED)
    if room_filter.taste_of is not None:
        where.append(_BLOCKED.format(parameters.add(room_filter.taste_of)))
    if room_filter.category_id is not None:
        where.append(f"category_id = {parameters.add(room_filter.category_id)}")
    if room_filter.tag is not None:
        where.append(f"tags @> ARRAY[{parameters.add(room_filter.tag)}::text]")
    return where
