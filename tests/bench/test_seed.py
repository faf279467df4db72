"""``bench seed`` against a database of its own."""

from uuid import UUID

import pytest

from bench.api_load import population as people
from bench.api_load.population import Population
from bench.commands import seed
from bench.errors import BenchError
from storage.passwords import Passwords

WORDS = ["--users", "300", "--rooms", "60", "--follows", "3000", "--live", "10"]
COUNTS = {"users": 300, "rooms": 60, "follows": 3000, "broadcasts": 190, "room_live_state": 10}


async def _counts(database):
    return {name: await database.fetch_value(f"SELECT count(*) FROM {name}") for name in COUNTS}


async def test_seeding_twice_is_seeding_once(database, database_url):
    for _ in range(2):
        assert await seed.COMMAND.run_words(["--database-url", database_url, *WORDS]) == ()
        assert await _counts(database) == COUNTS


async def test_a_larger_population_continues_a_smaller_one(database, database_url):
    await seed.COMMAND.run_words(["--database-url", database_url, *WORDS])
    await seed.COMMAND.run_words(["--database-url", database_url, *WORDS[:2], "--rooms", "80", *WORDS[4:]])
    assert await database.fetch_value("SELECT count(*) FROM rooms") == 80


async def test_seeded_users_have_the_known_password(database, database_url):
    await seed.COMMAND.run_words(["--database-url", database_url, *WORDS])
    stored = await database.fetch_value(
        "SELECT password_hash FROM users WHERE username = $1", people.username(7)
    )
    passwords = Passwords()
    assert await passwords.is_correct(people.PASSWORD, stored)
    passwords.close()


async def test_the_popular_have_most_followers(database, database_url):
    await seed.COMMAND.run_words(["--database-url", database_url, *WORDS])
    sql = "SELECT count(*) FROM follows WHERE user_id = $1"
    assert await database.fetch_value(sql, people.user_id(0)) > await database.fetch_value(
        sql, people.user_id(250)
    )


def test_ids_are_uuid7_and_distinct_over_kinds():
    ids = [people.user_id(5), people.room_id(5), people.user_id(6)]
    assert len(set(ids)) == 3
    assert all(UUID(str(one)).version == 7 for one in ids)


def test_nobody_follows_himself_or_twice():
    pairs = [(follower, user) for follower, user, _ in people.follows(Population(50, 0, 500, 0))]
    assert len(set(pairs)) == len(pairs) == 500
    assert all(follower != user for follower, user in pairs)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--database-url", "postgresql://127.0.0.1:1/x?connect_timeout=1", "--users", "2"], "cannot follow"),
        (["--database-url", "nonsense", "--users", "9", "--follows", "9"], "--database-url"),
    ],
)
async def test_what_cannot_be_is_one_clear_error(words, complaint):
    with pytest.raises(BenchError, match=complaint):
        await seed.COMMAND.run_words(words)
