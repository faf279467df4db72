"""Which stream key opens which room. Only digests come here, see storage.stream_keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from storage.database import Executor, Row

FIND_BY_HASH = """SELECT room_id, key_hash, users.state = 'active' AS is_owner_active
                  FROM stream_keys JOIN rooms ON rooms.id = room_id JOIN users ON users.id = owner_id
                  WHERE key_hash = $1"""


@dataclass(frozen=True, slots=True)
class KeyState:
    """A room's key, and whether its owner's account is in a state that may publish."""

    room_id: UUID
    key_hash: bytes
    is_owner_active: bool


class StreamKeys:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def set(self, room_id: UUID, key_hash: bytes) -> None:
        """Give the room its key, or another one. Raises InvalidValue for an unknown room."""
        await self._database.execute(
            """INSERT INTO stream_keys (room_id, key_hash) VALUES ($1, $2)
               ON CONFLICT (room_id) DO UPDATE SET key_hash = excluded.key_hash, rotated_at = now()""",
            room_id,
            key_hash,
        )

    async def announce(self, room_id: UUID) -> None:
        """Tell every node as if the key were another one: whoever publishes is dropped, and may come back."""
        await self._database.execute(
            "UPDATE stream_keys SET rotated_at = rotated_at WHERE room_id = $1", room_id
        )

    async def find(self, key_hash: bytes) -> KeyState | None:
        row = await self._database.fetch_row(FIND_BY_HASH, key_hash)
        return _key_state(row) if row else None

    async def find_many(self, room_ids: Sequence[UUID]) -> list[KeyState]:
        """The keys of these rooms; rooms that are gone or have none are left out."""
        rows = await self._database.fetch(
            """SELECT room_id, key_hash, users.state = 'active' AS is_owner_active
               FROM stream_keys JOIN rooms ON rooms.id = room_id JOIN users ON users.id = owner_id
               WHERE room_id = ANY($1)""",
            room_ids,
        )
        return [_key_state(row) for row in rows]


def _key_state(row: Row) -> KeyState:
    return KeyState(row["room_id"], row["key_hash"], row["is_owner_active"])
