"""Who does not want to hear of whom."""

from uuid import UUID

from storage.database import Executor
from storage.repositories.follows import Relation, RelationPosition, list_relations


class Blocks:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def lock_pair(self, one_id: UUID, other_id: UUID) -> None:
        """Until the transaction ends, nobody else changes what these two are to each other.

        Without it, a follow and a block at the same moment would not see each other, and both would stand.
        """
        low, high = sorted((one_id, other_id))
        await self._database.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"relation:{low}:{high}"
        )

    async def add(self, user_id: UUID, blocked_id: UUID) -> bool:
        """Whether that is new. Raises InvalidValue for somebody who is not there, or for oneself."""
        added = await self._database.fetch_value(
            """INSERT INTO blocks (user_id, blocked_id) VALUES ($1, $2)
               ON CONFLICT DO NOTHING RETURNING true""",
            user_id,
            blocked_id,
        )
        return added is not None

    async def remove(self, user_id: UUID, blocked_id: UUID) -> bool:
        """Whether it was so before."""
        removed = await self._database.fetch_value(
            "DELETE FROM blocks WHERE user_id = $1 AND blocked_id = $2 RETURNING true", user_id, blocked_id
        )
        return removed is not None

    async def has_blocked(self, user_id: UUID, blocked_id: UUID) -> bool:
        found: bool = await self._database.fetch_value(
            "SELECT EXISTS (SELECT FROM blocks WHERE user_id = $1 AND blocked_id = $2)", user_id, blocked_id
        )
        return found

    async def list(
        self, user_id: UUID, after: RelationPosition | None = None, limit: int = 20
    ) -> list[Relation]:
        """Whom ``user_id`` has blocked, the newest first."""
        return await list_relations(
            self._database, ("blocks", "user_id", "blocked_id"), user_id, after, limit
        )
