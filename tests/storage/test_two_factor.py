"""Second factors in their tables."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from storage.database import Database
from storage.errors import InvalidValue
from storage.ids import new_id
from storage.repositories import Users
from storage.repositories.two_factor import SecondFactors

SECRET = b"encrypted"


@pytest.fixture
async def user_id(database: Database) -> UUID:
    return (await Users(database).add("alice", "alice@example.com", "hash")).id


async def test_a_secret_counts_once_it_is_confirmed(database: Database, user_id: UUID) -> None:
    factors = SecondFactors(database)
    assert await factors.put_pending(user_id, b"older")
    assert await factors.put_pending(user_id, SECRET)
    pending = await factors.pending(user_id)
    assert pending is not None and pending.secret == SECRET and pending.age < timedelta(minutes=1)
    assert await factors.confirmed(user_id) is None
    assert not await factors.confirm(user_id, b"older", 7)
    assert await factors.confirm(user_id, SECRET, 7)
    assert (await factors.pending(user_id), await factors.confirmed(user_id)) == (None, SECRET)


async def test_a_confirmed_secret_is_not_replaced_or_confirmed_again(
    database: Database, user_id: UUID
) -> None:
    factors = SecondFactors(database)
    await factors.put_pending(user_id, SECRET)
    outcomes = await asyncio.gather(*(factors.confirm(user_id, SECRET, 7) for _ in range(5)))
    assert outcomes.count(True) == 1
    assert not await factors.put_pending(user_id, b"newer")
    assert await factors.confirmed(user_id) == SECRET


async def test_steps_only_go_up(database: Database, user_id: UUID) -> None:
    factors = SecondFactors(database)
    await factors.put_pending(user_id, SECRET)
    assert not await factors.use_step(user_id, 1)
    await factors.confirm(user_id, SECRET, 7)
    assert not await factors.use_step(user_id, 6)
    assert not await factors.use_step(user_id, 7)
    outcomes = await asyncio.gather(*(factors.use_step(user_id, 8) for _ in range(5)))
    assert outcomes.count(True) == 1
    assert await factors.use_step(user_id, 10)
    assert not await factors.use_step(user_id, 9)


async def test_a_backup_code_is_good_once(database: Database, user_id: UUID) -> None:
    factors = SecondFactors(database)
    codes = [bytes([n]) * 32 for n in range(10)]
    await factors.replace_backup_codes(user_id, codes)
    outcomes = await asyncio.gather(*(factors.use_backup_code(user_id, codes[0]) for _ in range(5)))
    assert outcomes.count(True) == 1
    assert not await factors.use_backup_code(new_id(), codes[1])
    assert await factors.use_backup_code(user_id, codes[1])
    await factors.replace_backup_codes(user_id, [b"x" * 32])
    assert not await factors.use_backup_code(user_id, codes[2])


async def test_nothing_stays_after_deletion(database: Database, user_id: UUID) -> None:
    factors = SecondFactors(database)
    await factors.put_pending(user_id, SECRET)
    assert not await factors.delete(user_id)
    await factors.put_pending(user_id, SECRET)
    await factors.confirm(user_id, SECRET, 7)
    await factors.replace_backup_codes(user_id, [b"x" * 32])
    assert await factors.delete(user_id)
    assert await factors.confirmed(user_id) is None
    assert not await factors.use_backup_code(user_id, b"x" * 32)


async def test_an_unknown_user_has_no_second_factor(database: Database) -> None:
    with pytest.raises(InvalidValue):
        await SecondFactors(database).put_pending(new_id(), SECRET)
