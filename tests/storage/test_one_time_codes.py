"""One code per user and purpose: tries are counted whatever happens at once, time and use end it."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from storage.database import Database
from storage.errors import InvalidValue
from storage.ids import new_id
from storage.repositories import Users
from storage.repositories.one_time_codes import OneTimeCodeDigests

RIGHT = b"r" * 32
WRONG = b"w" * 32
HOUR = timedelta(hours=1)


@pytest.fixture
async def user_id(database: Database) -> UUID:
    return (await Users(database).add("alice", "alice@example.com", "hash")).id


async def test_a_right_code_is_good_once(database: Database, user_id: UUID) -> None:
    codes = OneTimeCodeDigests(database)
    await codes.put(user_id, "login_otp", RIGHT, HOUR, 5)
    assert await codes.try_out(user_id, "login_otp", RIGHT)
    assert not await codes.try_out(user_id, "login_otp", RIGHT)


async def test_a_right_code_may_be_looked_at_first(database: Database, user_id: UUID) -> None:
    codes = OneTimeCodeDigests(database)
    await codes.put(user_id, "login_otp", RIGHT, HOUR, 5)
    for _ in range(6):
        assert await codes.try_out(user_id, "login_otp", RIGHT, is_used_up=False)
    assert await codes.try_out(user_id, "login_otp", RIGHT)


async def test_tries_run_out(database: Database, user_id: UUID) -> None:
    codes = OneTimeCodeDigests(database)
    await codes.put(user_id, "login_otp", RIGHT, HOUR, 5)
    for _ in range(5):
        assert not await codes.try_out(user_id, "login_otp", WRONG)
    assert not await codes.try_out(user_id, "login_otp", RIGHT)


async def test_tries_at_the_same_time_are_all_counted(database: Database, user_id: UUID) -> None:
    codes = OneTimeCodeDigests(database)
    await codes.put(user_id, "login_otp", RIGHT, HOUR, 5)
    await asyncio.gather(*(codes.try_out(user_id, "login_otp", WRONG) for _ in range(20)))
    assert await database.fetch_value("SELECT tries_left FROM one_time_codes") == 0


async def test_of_many_at_the_same_time_one_wins(database: Database, user_id: UUID) -> None:
    codes = OneTimeCodeDigests(database)
    await codes.put(user_id, "login_otp", RIGHT, HOUR, 5)
    outcomes = await asyncio.gather(*(codes.try_out(user_id, "login_otp", RIGHT) for _ in range(10)))
    assert outcomes.count(True) == 1


async def test_an_expired_code_is_good_for_nothing(database: Database, user_id: UUID) -> None:
    codes = OneTimeCodeDigests(database)
    await codes.put(user_id, "login_otp", RIGHT, timedelta(seconds=-1), 5)
    assert not await codes.try_out(user_id, "login_otp", RIGHT)


async def test_a_new_code_takes_the_place_of_the_old(database: Database, user_id: UUID) -> None:
    codes = OneTimeCodeDigests(database)
    await codes.put(user_id, "login_otp", WRONG, HOUR, 5)
    assert not await codes.try_out(user_id, "login_otp", RIGHT)
    await codes.put(user_id, "login_otp", RIGHT, HOUR, 5)
    assert not await codes.try_out(user_id, "login_otp", WRONG)
    assert await codes.try_out(user_id, "login_otp", RIGHT)


async def test_purposes_and_users_are_apart(database: Database, user_id: UUID) -> None:
    codes = OneTimeCodeDigests(database)
    await codes.put(user_id, "login_otp", RIGHT, HOUR, 5)
    assert not await codes.try_out(user_id, "reset_password", RIGHT)
    assert not await codes.try_out(new_id(), "login_otp", RIGHT)
    assert await codes.try_out(user_id, "login_otp", RIGHT)


async def test_an_unknown_user_gets_no_code(database: Database) -> None:
    with pytest.raises(InvalidValue):
        await OneTimeCodeDigests(database).put(new_id(), "login_otp", RIGHT, HOUR, 5)
