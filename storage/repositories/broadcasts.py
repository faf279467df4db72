"""Broadcasts: one row per live stream of a room, open while it runs; and the live state beside it.

Every write may be repeated: whoever does not know whether the last attempt came through does it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from storage.database import Executor
from storage.repositories.rooms import IS_LIVE


@dataclass(frozen=True, slots=True)
class Broadcast:
    """``ended_at``, ``duration`` and ``end_reason`` are None while it runs."""

    id: UUID
    room_id: UUID
    started_at: datetime
    ended_at: datetime | None
    duration: timedelta | None
    peak_viewers: int
    end_reason: str | None


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """Viewers of an open broadcast, now and at most so far."""

    broadcast_id: UUID
    viewers: int
    peak_viewers: int


@dataclass(frozen=True, slots=True)
class LiveBroadcast:
    """A broadcast that runs, as its node reported it last."""

    room_id: UUID
    broadcast_id: UUID
    node: str
    started_at: datetime
    viewers: int
    peak_viewers: int
    title: str
    username: str


class Broadcasts:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def open(self, broadcast_id: UUID, room_id: UUID, node: str, started_at: datetime) -> None:
        """A room went live on ``node``. One that is still open is closed: its node lost it without a word.

        Raises InvalidValue when the room is gone.
        """
        async with self._database.transaction() as transaction:
            await transaction.execute(
                """UPDATE broadcasts SET ended_at = greatest($3, started_at), end_reason = 'superseded'
                   WHERE room_id = $1 AND ended_at IS NULL AND id <> $2""",
                room_id,
                broadcast_id,
                started_at,
            )
            await transaction.execute(
                """INSERT INTO broadcasts (id, room_id, started_at) VALUES ($1, $2, $3)
                   ON CONFLICT (id) DO NOTHING""",
                broadcast_id,
                room_id,
                started_at,
            )
            await transaction.execute(
                """INSERT INTO room_live_state (room_id, broadcast_id, node, started_at, last_seen)
                   VALUES ($1, $2, $3, $4, $4)
                   ON CONFLICT (room_id) DO UPDATE SET broadcast_id = $2, node = $3, started_at = $4,
                       last_seen = $4, viewers = 0""",
                room_id,
                broadcast_id,
                node,
                started_at,
            )

    async def update(self, figures: Sequence[LiveFigures], seen_at: datetime) -> None:
        """Viewers of all open broadcasts of a node, in two statements however many there are."""
        columns = (
            [figure.broadcast_id for figure in figures],
            [figure.viewers for figure in figures],
            [figure.peak_viewers for figure in figures],
        )
        async with self._database.transaction() as transaction:
            await transaction.execute(
                """UPDATE room_live_state SET viewers = new.viewers, last_seen = $3
                   FROM unnest($1::uuid[], $2::int[]) AS new (broadcast_id, viewers)
                   WHERE room_live_state.broadcast_id = new.broadcast_id""",
                columns[0],
                columns[1],
                seen_at,
            )
            await transaction.execute(
                """UPDATE broadcasts SET peak_viewers = new.peak
                   FROM unnest($1::uuid[], $2::int[]) AS new (id, peak)
                   WHERE broadcasts.id = new.id AND peak_viewers < new.peak""",
                columns[0],
                columns[2],
            )

    async def close(self, broadcast_id: UUID, ended_at: datetime, peak_viewers: int, reason: str) -> None:
        """The broadcast is over. A no-op for one that is closed already."""
        async with self._database.transaction() as transaction:
            await transaction.execute(
                """UPDATE broadcasts SET ended_at = greatest($2, started_at), end_reason = $4,
                       peak_viewers = greatest($3, peak_viewers)
                   WHERE id = $1 AND ended_at IS NULL""",
                broadcast_id,
                ended_at,
                peak_viewers,
                reason,
            )
            await transaction.execute("DELETE FROM room_live_state WHERE broadcast_id = $1", broadcast_id)

    async def close_abandoned(self, node: str, reason: str) -> int:
        """Close what ``node`` left open when it died, as of when it was last seen; say how many."""
        rows = await self._database.fetch(
            """WITH gone AS (DELETE FROM room_live_state WHERE node = $1 RETURNING broadcast_id, last_seen)
               UPDATE broadcasts SET ended_at = greatest(gone.last_seen, started_at), end_reason = $2
               FROM gone WHERE id = gone.broadcast_id AND ended_at IS NULL RETURNING id""",
            node,
            reason,
        )
        return len(rows)

    async def close_room(self, room_id: UUID, before: datetime, peak_viewers: int, reason: str) -> bool:
        """Close what runs in the room and began before ``before``; say whether there was something.

        For whoever ends a broadcast and wants it to be over for all at once, on whichever node it runs.
        """
        row = await self._database.fetch_row(
            """WITH ended AS (
                   UPDATE broadcasts SET ended_at = greatest(now(), started_at), end_reason = $4,
                       peak_viewers = greatest($3, peak_viewers)
                   WHERE room_id = $1 AND ended_at IS NULL AND started_at < $2 RETURNING id
               ), gone AS (DELETE FROM room_live_state WHERE room_id = $1 AND started_at < $2)
               SELECT id FROM ended""",
            room_id,
            before,
            peak_viewers,
            reason,
        )
        return row is not None

    async def history(
        self, room_id: UUID, limit: int, after: tuple[datetime, UUID] | None = None
    ) -> list[Broadcast]:
        """The room's broadcasts, the newest first; from the one after ``after`` (start and id) on."""
        started_at, broadcast_id = after or (None, None)
        rows = await self._database.fetch(
            """SELECT id, room_id, started_at, ended_at, duration, peak_viewers, end_reason
               FROM broadcasts
               WHERE room_id = $1 AND ($3::timestamptz IS NULL OR (started_at, id) < ($3, $4::uuid))
               ORDER BY started_at DESC, id DESC LIMIT $2""",
            room_id,
            limit,
            started_at,
            broadcast_id,
        )
        return [Broadcast(*row) for row in rows]

    async def live(self, limit: int, after: tuple[int, UUID] | None = None) -> list[LiveBroadcast]:
        """What runs now on all nodes, by viewers; from the one after ``after`` (viewers and room) on."""
        viewers, room_id = after or (None, None)
        rows = await self._database.fetch(
            f"""SELECT live.room_id, broadcast_id, node, live.started_at, viewers, peak_viewers,
                       title, username
                FROM room_live_state AS live JOIN broadcasts ON broadcasts.id = broadcast_id
                JOIN rooms ON rooms.id = live.room_id JOIN users ON users.id = owner_id
                WHERE live.{IS_LIVE} AND ($2::int IS NULL OR (viewers, live.room_id) < ($2, $3::uuid))
                ORDER BY viewers DESC, live.room_id DESC LIMIT $1""",
            limit,
            viewers,
            room_id,
        )
        return [LiveBroadcast(*row) for row in rows]
