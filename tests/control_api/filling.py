"""Rows for the tables that ``bench seed`` leaves empty: queries are planned as on a busy server."""

from collections.abc import Mapping
from typing import Any

ROWS = 3000
FILLINGS: Mapping[str, str] = {
    "stream_keys": """INSERT INTO stream_keys (room_id, key_hash)
        SELECT id, sha256(id::text::bytea) FROM rooms LIMIT $1""",
    "blocks": """INSERT INTO blocks (user_id, blocked_id)
        SELECT follower_id, user_id FROM follows LIMIT $1""",
    "idempotency_keys": """INSERT INTO idempotency_keys (user_id, key, request_hash)
        SELECT id, username, sha256(username::bytea) FROM users LIMIT $1""",
}


async def fill(connection: Any) -> None:
    """Write ROWS rows into each table."""
    for sql in FILLINGS.values():
        await connection.execute(sql, ROWS)
