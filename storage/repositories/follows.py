"""Who follows whom. Triggers keep the counts, so that nobody counts rows to show a profile."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from storage.database import Executor, Row


@dataclass(frozen=True, slots=True)
class Relation:
    """A user who stands in some relation to another since ``since``. ``avatar`` is the name of an object."""

    user_id: UUID
    username: str
    display_name: str
    avatar: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class RelationPosition:
    """The last relation of a page."""

    since: datetime
    user_id: UUID


_LIST: Final = """
    SELECT users.id, username, display_name, avatar, relations.created_at
    FROM {table} AS relations JOIN users ON users.id = relations.{other}
    WHERE relations.{mine} = $1 AND users.state = 'active'{after}
    ORDER BY relations.created_at DESC, relations.{other} LIMIT $2"""

_AFTER: Final = """ AND relations.created_at <= $3
    AND (relations.created_at < $3 OR relations.{other} > $4)"""


class Follows:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, follower_id: UUID, user_id: UUID) -> bool:
        """Whether that is new. Raises InvalidValue for somebody who is not there, or for oneself.

        Every node is told, as a trigger does of those who leave: who follows may see and write more.
        """
        added = await self._database.fetch_value(
            """WITH added AS (
                   INSERT INTO follows (follower_id, user_id) VALUES ($1, $2)
                   ON CONFLICT DO NOTHING RETURNING *)
               SELECT pg_notify('mediaserver', json_build_object(
                          'kind', 'relation', 'user_id', follower_id, 'owner_id', user_id)::text) IS NOT NULL
               FROM added""",
            follower_id,
            user_id,
        )
        return added is not None

    async def remove(self, follower_id: UUID, user_id: UUID) -> bool:
        """Whether it was so before."""
        removed = await self._database.fetch_value(
            "DELETE FROM follows WHERE follower_id = $1 AND user_id = $2 RETURNING true", follower_id, user_id
        )
        return removed is not None

    async def is_following(self, follower_id: UUID, user_id: UUID) -> bool:
        found: bool = await self._database.fetch_value(
            "SELECT EXISTS (SELECT FROM follows WHERE follower_id = $1 AND user_id = $2)",
            follower_id,
            user_id,
        )
        return found

    async def followers(
        self, user_id: UUID, after: RelationPosition | None = None, limit: int = 20
    ) -> list[Relation]:
        """Who follows ``user_id`` and is active, the newest first."""
        return await list_relations(
            self._database, ("follows", "user_id", "follower_id"), user_id, after, limit
        )

    async def following(
        self, user_id: UUID, after: RelationPosition | None = None, limit: int = 20
    ) -> list[Relation]:
        """Whom ``user_id`` follows, if they are active, the newest first."""
        return await list_relations(
            self._database, ("follows", "follower_id", "user_id"), user_id, after, limit
        )


async def list_relations(
    database: Executor,
    names: tuple[str, str, str],
    user_id: UUID,
    after: RelationPosition | None,
    limit: int,
) -> list[Relation]:
    """Rows of a table; ``names`` are the table, the column of ``user_id``, the column of the others."""
    table, mine, other = names
    after_sql = _AFTER.format(other=other) if after else ""
    position = (after.since, after.user_id) if after else ()
    sql = _LIST.format(table=table, mine=mine, other=other, after=after_sql)
    return [_relation(row) for row in await database.fetch(sql, user_id, limit, *position)]


def _relation(row: Row) -> Relation:
    return Relation(row["id"], row["username"], row["display_name"], row["avatar"], row["created_at"])
