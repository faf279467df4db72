"""Mailed codes, and logging in with one."""

from datetime import timedelta

import pytest

from control_api.services.email_codes import OneTimeCodes
from storage.database import Database
from storage.repositories import User, Users

HOUR = timedelta(hours=1)


@pytest.fixture
async def alice(database: Database) -> User:
    return await Users(database).add("alice", "alice@example.com", "hash")


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def test_a_code_is_six_digits_and_good_once(database: Database, alice: User) -> None:
    codes = OneTimeCodes(database, b"secret")
    code = await codes.issue(alice.id, "login_otp", HOUR)
    assert len(code) == 6 and code.isdecimal()
    assert not await codes.redeem(alice.id, "login_otp", wrong(code))
    assert await codes.redeem(alice.id, "login_otp", code)
    assert not await codes.redeem(alice.id, "login_otp", code)


async def test_a_code_bears_five_tries(database: Database, alice: User) -> None:
    codes = OneTimeCodes(database, b"secret")
    code = await codes.issue(alice.id, "login_otp", HOUR)
    for _ in range(5):
        assert not await codes.redeem(alice.id, "login_otp", wrong(code))
    assert not await codes.redeem(alice.id, "login_otp", code)


async def test_looking_at_a_code_counts_as_a_try_but_leaves_it(database: Database, alice: User) -> None:
    codes = OneTimeCodes(database, b"secret")
    code = await codes.issue(alice.id, "login_otp", HOUR)
    assert await codes.is_right(alice.id, "login_otp", code)
    assert await database.fetch_value("SELECT tries_left FROM one_time_codes") == 4
    assert await codes.redeem(alice.id, "login_otp", code)


async def test_the_table_shows_no_code(database: Database, alice: User) -> None:
    code = await OneTimeCodes(database, b"secret").issue(alice.id, "login_otp", HOUR)
    assert not await OneTimeCodes(database, b"another secret").redeem(alice.id, "login_otp", code)
