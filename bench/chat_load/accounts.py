"""Accounts and rooms to chat with, written straight into the server's database, with API keys to sign in by.

Signing in by password would cost the server more than the whole run. The keys follow from a secret of this
run, so the load generator does not ask the database for them.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from bench.api_load.population import Population, is_for_everyone, room_id, user_id
from bench.api_load.seeding import Seeder
from bench.errors import BenchError
from storage.database import Database
from storage.errors import StorageError
from storage.ids import new_id

_MARK: Final = "msk_"
_PREFIX_CHARACTERS: Final = 12
_SCOPES: Final = ["chat:write"]
_INSERT_KEYS: Final = """
    INSERT INTO api_keys (id, user_id, name, prefix, key_hash, scopes)
    SELECT id, user_id, 'bench', prefix, key_hash, $5
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) AS new (id, user_id, prefix, key_hash)"""
_FORGET_KEYS: Final = "DELETE FROM api_keys WHERE name = 'bench' AND user_id = ANY($1::uuid[])"


@dataclass(frozen=True, slots=True)
class Accounts:
    """Rooms that anybody may enter, and API keys of people who may write in them."""

    rooms: Sequence[UUID]
    keys: Sequence[str]


async def make_accounts(
    database_url: str, rooms: int, writers: int, show: Callable[[str, str], None]
) -> Accounts:
    """Rows that are there already stay. Raises BenchError when the database cannot be reached."""
    numbers = open_rooms(rooms)
    population = Population(max(writers, numbers[-1] + 1, 2), numbers[-1] + 1, 0, 0)
    try:
        async with Database(database_url) as database, database.dedicated_connection() as connection:
            await Seeder(connection, population, show).seed()
            keys = await _give_keys(connection, writers)
    except StorageError as error:
        raise BenchError(f"--database-url: {error}") from None
    return Accounts([room_id(number) for number in numbers], keys)


def open_rooms(count: int) -> list[int]:
    """Numbers of the first ``count`` seeded rooms that are neither closed nor have an age limit."""
    numbers: list[int] = []
    number = 0
    while len(numbers) < count:
        if is_for_everyone(number):
            numbers.append(number)
        number += 1
    return numbers


async def _give_keys(connection: Any, count: int) -> list[str]:
    secret = secrets.token_bytes(32)
    keys = [f"{_MARK}{hmac.digest(secret, str(n).encode(), 'sha256').hex()}" for n in range(count)]
    users = [user_id(number) for number in range(count)]
    await connection.execute(_FORGET_KEYS, users)
    await connection.execute(
        _INSERT_KEYS,
        [new_id() for _ in keys],
        users,
        [key[:_PREFIX_CHARACTERS] for key in keys],
        [hashlib.sha256(key.encode()).digest() for key in keys],
        _SCOPES,
    )
    return keys
