"""What was given in rooms by day and week: kept no longer than leaderboards show it."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from storage.database import Executor

KEPT_DAYS: Final = 14
"""The week that is now began up to seven days ago."""

_FORGET: Final = f"""
    WITH forgotten AS (
        DELETE FROM gift_totals
        WHERE ctid = ANY (ARRAY(
            SELECT old.ctid FROM unnest($1::uuid[]) AS room (id)
            CROSS JOIN LATERAL (
                SELECT ctid FROM gift_totals
                WHERE room_id = room.id AND period IN ('day', 'week')
                  AND since < (now() AT TIME ZONE 'UTC')::date - {KEPT_DAYS}
                LIMIT $2) AS old
            LIMIT $2))
        RETURNING 1)
    SELECT count(*) FROM forgotten"""


class GiftTotals:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def rooms(self, after: UUID | None = None, limit: int = 20) -> list[UUID]:
        """Those that were ever given something, by id; ``after`` is the last one before."""
        rows = await self._database.fetch(
            "SELECT room_id FROM gift_room_totals WHERE room_id > $1 ORDER BY room_id LIMIT $2",
            after or UUID(int=0),
            limit,
        )
        return [row["room_id"] for row in rows]

    async def forget_old(self, room_ids: Sequence[UUID], limit: int) -> int:
        """Of those rooms, ``limit`` rows at most; how many there were."""
        count: int = await self._database.fetch_value(_FORGET, room_ids, limit)
        return count
