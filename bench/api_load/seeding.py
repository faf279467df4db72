"""Writing a population into PostgreSQL: COPY into a temporary table, then what is new into the real one.

Rows that are there already stay as they are, so a run may be repeated or continued.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from bench.api_load import population as people
from bench.api_load.population import Population, Record
from storage.passwords import Passwords

BATCH: Final = 20_000
"""Rows per transaction: triggers that count followers rewrite the same rows, which is slow in a long one."""

OPEN_BROADCASTS: Final = (
    """INSERT INTO broadcasts (id, room_id, started_at, ended_at, end_reason)
       SELECT new.id, new.room_id, now(), now(), 'ended'
       FROM unnest($1::uuid[], $2::uuid[]) AS new (id, room_id)
       WHERE NOT EXISTS (SELECT FROM broadcasts WHERE broadcasts.room_id = new.room_id AND ended_at IS NULL)
       ON CONFLICT DO NOTHING""",
    "UPDATE broadcasts SET ended_at = NULL, end_reason = NULL WHERE id = ANY($1) AND started_at = now()",
)
"""Opened in a second step: followers hear of a broadcast that is inserted open, here a million of them."""
LIVE_STATE: Final = """
    INSERT INTO room_live_state (room_id, broadcast_id, node, started_at, viewers, last_seen)
    SELECT new.room_id, new.id, $4, broadcasts.started_at, new.viewers, now() + interval '1 day'
    FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS new (id, room_id, viewers)
    JOIN broadcasts ON broadcasts.id = new.id AND broadcasts.ended_at IS NULL
    ON CONFLICT (room_id) DO UPDATE SET last_seen = excluded.last_seen"""
"""Seen in the future, because no node is there to see them again and again."""

Report = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    columns: str
    """With their types: the temporary table is made from them."""
    total: int
    records: Iterable[Record]

    @property
    def column_names(self) -> Sequence[str]:
        return [column.split()[0] for column in self.columns.split(", ")]


class Seeder:
    """``connection`` is asyncpg's; ``report`` hears of the phase and how far it is."""

    def __init__(self, connection: Any, population: Population, report: Report) -> None:
        self._connection = connection
        self._population = population
        self._report = report

    async def seed(self) -> None:
        """Write everything, rooms that are live for a day from now on, and the planner's statistics."""
        with closing(Passwords()) as passwords:
            password_hash = await passwords.hash(people.PASSWORD)
        for table in self._tables(password_hash):
            await self._fill(table)
        await self._go_live()
        self._report("gathering statistics", "")
        await self._connection.execute("ANALYZE")

    def _tables(self, password_hash: str) -> list[_Table]:
        population = self._population
        return [
            _Table("categories", "id uuid, slug text, name text", 12, people.categories()),
            _Table(
                "users",
                "id uuid, username text, email text, display_name text, password_hash text, bio text, "
                "is_creator boolean, created_at timestamptz",
                population.users,
                people.users(population, password_hash),
            ),
            _Table(
                "rooms",
                "id uuid, owner_id uuid, slug text, title text, description text, category_id uuid, "
                "tags text[], visibility text, age_restricted boolean, created_at timestamptz",
                population.rooms,
                people.rooms(population),
            ),
            _Table(
                "follows",
                "follower_id uuid, user_id uuid, created_at timestamptz",
                population.follows,
                people.follows(population),
            ),
            _Table(
                "broadcasts",
                "id uuid, room_id uuid, started_at timestamptz, ended_at timestamptz, peak_viewers integer, "
                "end_reason text",
                population.rooms * people.BROADCASTS_PER_ROOM,
                people.past_broadcasts(population),
            ),
        ]

    async def _fill(self, table: _Table) -> None:
        staging, done, records = f"seed_{table.name}", 0, iter(table.records)
        await self._connection.execute(f"CREATE TEMPORARY TABLE {staging} ({table.columns})")
        while batch := list(islice(records, BATCH)):
            self._report(f"writing {table.total} {table.name}", f"{done}")
            async with self._connection.transaction():
                await self._connection.copy_records_to_table(
                    staging, records=batch, columns=table.column_names
                )
                names = ", ".join(table.column_names)
                await self._connection.execute(
                    f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {staging} ON CONFLICT DO NOTHING"
                )
                await self._connection.execute(f"TRUNCATE {staging}")
            done += len(batch)
        await self._connection.execute(f"DROP TABLE {staging}")

    async def _go_live(self) -> None:
        self._report(f"writing {self._population.live} live rooms", "")
        rows = list(people.open_broadcasts(self._population))
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        async with self._connection.transaction():
            await self._connection.execute(OPEN_BROADCASTS[0], *columns[:2])
            await self._connection.execute(OPEN_BROADCASTS[1], columns[0])
            await self._connection.execute(LIVE_STATE, *columns, people.NODE)
