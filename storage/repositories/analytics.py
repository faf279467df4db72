"""How rooms were watched: minutes, the hours that they become, what players report, and who watched."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from storage.database import Executor

ROLL_UP_LOCK: Final = 0x726F6C6C
"""Any number that other programs in the same database do not use: "roll"."""


@dataclass(frozen=True, slots=True)
class RoomMinute:
    """What one node saw of a room in ``live_seconds`` of a minute."""

    room_id: UUID
    peak_viewers: int
    watch_seconds: int
    live_seconds: int
    joins: int


@dataclass(frozen=True, slots=True)
class PlayerUse:
    """What players of one kind reported."""

    room_id: UUID
    protocol: str
    device: str
    joins: int
    watch_seconds: int
    stalls: int
    errors: int


@dataclass(frozen=True, slots=True)
class ViewerUse:
    """What the players of a signed-in user reported."""

    room_id: UUID
    user_id: UUID
    watch_seconds: int


@dataclass(frozen=True, slots=True)
class Minute:
    """All that one node saw in a minute. ``writer`` is the node's process: each writes a minute once."""

    at: datetime
    node: str
    writer: str
    rooms: Sequence[RoomMinute] = ()
    players: Sequence[PlayerUse] = ()
    viewers: Sequence[ViewerUse] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """Figures of all the rooms asked for, from ``at`` on. Average viewers are watch by live seconds."""

    at: datetime
    peak_viewers: int
    watch_seconds: int
    live_seconds: int
    joins: int
    followers_gained: int


@dataclass(frozen=True, slots=True)
class RoomTotal:
    room_id: UUID
    title: str
    peak_viewers: int
    watch_seconds: int


@dataclass(frozen=True, slots=True)
class Viewers:
    """Signed-in viewers of some rooms: all, those who had never watched before, those who are followers."""

    count: int
    new: int
    followers: int


@dataclass(frozen=True, slots=True)
class PlayerTotal:
    protocol: str
    device: str
    joins: int
    watch_seconds: int
    stalls: int
    errors: int


_ADD_ROOMS: Final = """
    INSERT INTO room_minutes (room_id, minute, node, peak_viewers, watch_seconds, live_seconds, joins,
                              followers_gained)
    SELECT new.room_id, $1, $2, new.peak, new.watch, new.live, new.joins,
           (SELECT count(*) FROM follows WHERE user_id = owner_id
            AND created_at >= $1 AND created_at < $1::timestamptz + interval '1 minute')
    FROM unnest($3::uuid[], $4::int[], $5::bigint[], $6::int[], $7::int[])
         AS new (room_id, peak, watch, live, joins)
    JOIN rooms ON rooms.id = new.room_id
    ORDER BY new.room_id
    ON CONFLICT (room_id, minute, node) DO UPDATE
    SET peak_viewers = greatest(room_minutes.peak_viewers, excluded.peak_viewers),
        watch_seconds = room_minutes.watch_seconds + excluded.watch_seconds,
        live_seconds = room_minutes.live_seconds + excluded.live_seconds,
        joins = room_minutes.joins + excluded.joins,
        followers_gained = excluded.followers_gained"""

_ADD_PLAYERS: Final = """
    INSERT INTO room_player_days AS known (room_id, day, protocol, device, joins, watch_seconds, stalls,
                                           errors)
    SELECT new.room_id, $1, protocol, device, joins, watch, stalls, errors
    FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
         AS new (room_id, protocol, device, joins, watch, stalls, errors)
    JOIN rooms ON rooms.id = new.room_id
    ORDER BY new.room_id, protocol, device
    ON CONFLICT (room_id, day, protocol, device) DO UPDATE
    SET joins = known.joins + excluded.joins, watch_seconds = known.watch_seconds + excluded.watch_seconds,
        stalls = known.stalls + excluded.stalls, errors = known.errors + excluded.errors"""

_ADD_VIEWERS: Final = """
    INSERT INTO room_viewer_days AS known (room_id, day, user_id, watch_seconds)
    SELECT new.room_id, $1, new.user_id, watch
    FROM unnest($2::uuid[], $3::uuid[], $4::int[]) AS new (room_id, user_id, watch)
    JOIN rooms ON rooms.id = new.room_id JOIN users ON users.id = new.user_id
    ORDER BY new.room_id, new.user_id
    ON CONFLICT (room_id, day, user_id) DO UPDATE
    SET watch_seconds = least(known.watch_seconds + excluded.watch_seconds, 86400)"""

# Nodes see different viewers of the same minutes: viewers add up, minutes do not.
_RANGE: Final = """
    SELECT room_id, minute AS at, sum(peak_viewers) AS peak, sum(watch_seconds) AS watch,
           max(live_seconds)::bigint AS live, sum(joins) AS joins, max(followers_gained)::bigint AS followers
    FROM room_minutes WHERE room_id = ANY($1::uuid[]) AND minute >= $2 AND minute < $3
    GROUP BY room_id, minute
    UNION ALL
    SELECT room_id, hour, peak_viewers, watch_seconds, live_seconds, joins, followers_gained
    FROM room_hours WHERE room_id = ANY($1::uuid[]) AND hour >= $2 AND hour < $3"""

_POINTS: Final = f"""
    SELECT date_bin($4::interval, at, $2) AS bucket, max(peak)::bigint, sum(watch)::bigint,
           sum(live)::bigint, sum(joins)::bigint, sum(followers)::bigint
    FROM (SELECT at, sum(peak) AS peak, sum(watch) AS watch, max(live) AS live, sum(joins) AS joins,
                 max(followers) AS followers
          FROM ({_RANGE}) AS rooms GROUP BY at) AS moments
    GROUP BY bucket ORDER BY bucket"""

_TOTALS: Final = f"""
    SELECT room_id, title, max(peak)::bigint, sum(watch)::bigint AS watch
    FROM ({_RANGE}) AS figures JOIN rooms ON rooms.id = room_id
    GROUP BY room_id, title ORDER BY watch DESC, room_id"""

_ROLL_UP: Final = """
    WITH chosen AS (
        SELECT DISTINCT room_id FROM room_minutes
        WHERE minute >= $1 AND minute < $1::timestamptz + interval '1 hour' LIMIT $2
    ), gone AS (
        DELETE FROM room_minutes USING chosen
        WHERE room_minutes.room_id = chosen.room_id
          AND minute >= $1 AND minute < $1::timestamptz + interval '1 hour'
        RETURNING room_minutes.*
    ), minutes AS (
        SELECT room_id, sum(peak_viewers) AS peak, sum(watch_seconds) AS watch, max(live_seconds) AS live,
               sum(joins) AS joins, max(followers_gained) AS followers
        FROM gone GROUP BY room_id, minute
    )
    INSERT INTO room_hours AS known (room_id, hour, peak_viewers, watch_seconds, live_seconds, joins,
                                     followers_gained)
    SELECT room_id, $1, max(peak), sum(watch), sum(live), sum(joins), sum(followers)
    FROM minutes GROUP BY room_id
    ON CONFLICT (room_id, hour) DO UPDATE
    SET peak_viewers = greatest(known.peak_viewers, excluded.peak_viewers),
        watch_seconds = known.watch_seconds + excluded.watch_seconds,
        live_seconds = known.live_seconds + excluded.live_seconds,
        joins = known.joins + excluded.joins,
        followers_gained = known.followers_gained + excluded.followers_gained
    RETURNING 1"""


class Analytics:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, minute: Minute) -> bool:
        """False when this writer wrote the minute before: then nothing is changed.

        Rooms and users that are gone are left out. Raises InvalidValue when one goes meanwhile.
        """
        async with self._database.transaction() as transaction:
            is_new = await transaction.fetch_value(
                """INSERT INTO analytics_writes (writer, minute) VALUES ($1, $2)
                   ON CONFLICT DO NOTHING RETURNING true""",
                minute.writer,
                minute.at,
            )
            if not is_new:
                return False
            await _add_rooms(transaction, minute)
            await _add_players(transaction, minute)
            await _add_viewers(transaction, minute)
        return True

    async def find_rooms_of(self, owner_id: UUID) -> list[UUID]:
        rows = await self._database.fetch("SELECT id FROM rooms WHERE owner_id = $1", owner_id)
        return [row["id"] for row in rows]

    async def points(
        self, room_ids: Sequence[UUID], start: datetime, end: datetime, step: timedelta
    ) -> list[Point]:
        """One for each ``step`` from ``start`` in which any of the rooms was live, in order of time."""
        rows = await self._database.fetch(_POINTS, room_ids, start, end, step)
        return [Point(*row) for row in rows]

    async def totals(self, room_ids: Sequence[UUID], start: datetime, end: datetime) -> list[RoomTotal]:
        """Of the rooms that were live, the most watched first."""
        return [RoomTotal(*row) for row in await self._database.fetch(_TOTALS, room_ids, start, end)]

    async def followers_gained(
        self, user_id: UUID, start: datetime, end: datetime, step: timedelta
    ) -> dict[datetime, int]:
        """By the start of each ``step``: who followed then and still does."""
        rows = await self._database.fetch(
            """SELECT date_bin($4::interval, created_at, $2) AS bucket, count(*) FROM follows
               WHERE user_id = $1 AND created_at >= $2 AND created_at < $3 GROUP BY bucket""",
            user_id,
            start,
            end,
            step,
        )
        return {row["bucket"]: row["count"] for row in rows}

    async def viewers(
        self, room_ids: Sequence[UUID], owner_id: UUID, start: datetime, end: datetime
    ) -> Viewers:
        """By whole days in UTC, from that of ``start`` to that of ``end``."""
        row = await self._database.fetch_row(
            """SELECT count(*),
                      count(*) FILTER (WHERE NOT EXISTS (
                          SELECT FROM room_viewer_days AS earlier WHERE earlier.user_id = viewer.user_id
                          AND earlier.room_id = ANY($1::uuid[]) AND earlier.day < $3)),
                      count(*) FILTER (WHERE EXISTS (
                          SELECT FROM follows WHERE follower_id = viewer.user_id AND follows.user_id = $2))
               FROM (SELECT DISTINCT user_id FROM room_viewer_days
                     WHERE room_id = ANY($1::uuid[]) AND day BETWEEN $3 AND $4) AS viewer""",
            room_ids,
            owner_id,
            start.date(),
            end.date(),
        )
        return Viewers(*row) if row else Viewers(0, 0, 0)

    async def players(self, room_ids: Sequence[UUID], start: datetime, end: datetime) -> list[PlayerTotal]:
        """By whole days in UTC, from that of ``start`` to that of ``end``."""
        rows = await self._database.fetch(
            """SELECT protocol, device, sum(joins)::bigint, sum(watch_seconds)::bigint,
                      sum(stalls)::bigint, sum(errors)::bigint
               FROM room_player_days WHERE room_id = ANY($1::uuid[]) AND day BETWEEN $2 AND $3
               GROUP BY protocol, device ORDER BY protocol, device""",
            room_ids,
            start.date(),
            end.date(),
        )
        return [PlayerTotal(*row) for row in rows]

    async def roll_up(self, before: datetime, most_rooms: int) -> int:
        """Make an hour of the oldest minutes, if they are before ``before`` (a full hour).

        At most ``most_rooms`` rooms at once; how many it were. 0 also while another node does it.
        """
        async with self._database.transaction() as transaction:
            if not await transaction.fetch_value("SELECT pg_try_advisory_xact_lock($1)", ROLL_UP_LOCK):
                return 0
            oldest: datetime | None = await transaction.fetch_value(
                "SELECT minute FROM room_minutes WHERE minute < $1 ORDER BY minute LIMIT 1", before
            )
            if oldest is None:
                return 0
            hour = oldest.replace(minute=0, second=0, microsecond=0)
            return len(await transaction.fetch(_ROLL_UP, hour, most_rooms))

    async def forget_writes(self, before: datetime) -> None:
        """Nobody writes minutes that old again."""
        await self._database.execute("DELETE FROM analytics_writes WHERE minute < $1", before)

    async def forget_viewers(self, before: datetime, limit: int) -> int:
        """Who watched when is nobody's business for ever. At most ``limit`` rows; how many it were."""
        rows = await self._database.fetch(
            """DELETE FROM room_viewer_days WHERE ctid = ANY(ARRAY(
                   SELECT ctid FROM room_viewer_days WHERE day < $1 ORDER BY day LIMIT $2)) RETURNING 1""",
            before.date(),
            limit,
        )
        return len(rows)


async def _add_rooms(executor: Executor, minute: Minute) -> None:
    rooms = minute.rooms
    if rooms:
        await executor.execute(
            _ADD_ROOMS,
            minute.at,
            minute.node,
            [room.room_id for room in rooms],
            [room.peak_viewers for room in rooms],
            [room.watch_seconds for room in rooms],
            [room.live_seconds for room in rooms],
            [room.joins for room in rooms],
        )


async def _add_players(executor: Executor, minute: Minute) -> None:
    players = minute.players
    if players:
        await executor.execute(
            _ADD_PLAYERS,
            minute.at.date(),
            [use.room_id for use in players],
            [use.protocol for use in players],
            [use.device for use in players],
            [use.joins for use in players],
            [use.watch_seconds for use in players],
            [use.stalls for use in players],
            [use.errors for use in players],
        )


async def _add_viewers(executor: Executor, minute: Minute) -> None:
    viewers = minute.viewers
    if viewers:
        await executor.execute(
            _ADD_VIEWERS,
            minute.at.date(),
            [use.room_id for use in viewers],
            [use.user_id for use in viewers],
            [use.watch_seconds for use in viewers],
        )
