"""What full-text search finds, ranks and survives; and that it goes through its indexes."""

import pytest

from storage.database import Database
from storage.repositories import Rooms, Users, UserState, Visibility
from storage.repositories.search import FIND_ROOMS, FIND_USERS, MOST_CANDIDATES, Search, hits_query


async def found(database: Database, words: str) -> list[str]:
    """Names and titles, in the order of their ranks."""
    search = Search(database)
    hits = await search.positions(words, "all", None, 100)
    rooms = await search.rooms([position.id for position, kind in hits if kind == "room"])
    users = await search.users([position.id for position, kind in hits if kind == "user"], None)
    return [
        rooms[position.id].settings.title if kind == "room" else users[position.id].profile.user.username
        for position, kind in hits
    ]


async def seed(database: Database) -> None:
    alice = await Users(database).add("night_owl", "alice@example.com", "hash")
    rooms = Rooms(database)
    await rooms.add(alice.id, "Café in Ñuñoa", "cafe")
    await rooms.add(alice.id, "Secret café", None, Visibility.PRIVATE)
    await rooms.add(alice.id, "Speedrunning at night", None)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("cafe", ["Café in Ñuñoa"]),
        ("CAFÉ nunoa", ["Café in Ñuñoa"]),
        ("speedr", ["Speedrunning at night"]),
        ("speedr night", []),
        ("owl", ["night_owl"]),
        ("night", ["Speedrunning at night", "night_owl"]),
        ("night_owl", ["night_owl"]),
        ("nothing", []),
        ("", []),
    ],
)
async def test_words_match_without_case_and_accents_the_last_one_as_a_prefix(
    database: Database, words: str, expected: list[str]
) -> None:
    await seed(database)
    assert sorted(await found(database, words)) == sorted(expected)


async def test_a_name_that_is_the_query_stands_before_one_that_contains_it(database: Database) -> None:
    for name in ("owl_fan", "owl", "night_owl"):
        await Users(database).add(name, f"{name}@example.com", "hash")
    assert (await found(database, "OWL"))[0] == "owl"


async def test_a_title_counts_more_than_a_description(database: Database) -> None:
    owner = await Users(database).add("alice", "alice@example.com", "hash")
    described = await Rooms(database).add(owner.id, "Other things", None)
    await database.execute("UPDATE rooms SET description = 'chess' WHERE id = $1", described)
    await Rooms(database).add(owner.id, "Chess", None)
    assert await found(database, "chess") == ["Chess", "Other things"]


async def test_inactive_users_and_their_rooms_are_not_found(database: Database) -> None:
    await seed(database)
    owner = await Users(database).find_by_name("night_owl")
    assert owner is not None
    await Users(database).set_state(owner.id, UserState.BANNED)
    assert [await found(database, words) for words in ("cafe", "night", "night_owl")] == [[], [], []]


@pytest.mark.parametrize(
    "words",
    [
        "z & | !",
        ":*",
        "'",
        "\\",
        "foo:*A & baz",
        "<-> (",
        "'; DROP TABLE users; --",
        "㌖" * 200,
        "x" * 10_000,
    ],
)
async def test_hostile_words_are_words_or_nothing(database: Database, words: str) -> None:
    await seed(database)
    assert await found(database, words) == []


MANY = """
    INSERT INTO users (id, username, email, display_name, password_hash)
    SELECT gen_random_uuid(), 'user' || n, n || '@example.com', 'Person ' || n, 'hash'
    FROM generate_series(1, 5000) n;
    INSERT INTO rooms (id, owner_id, title)
    SELECT gen_random_uuid(), id, 'Room of ' || username FROM users;
    ANALYZE users, rooms"""


async def test_many_hits_are_ranked_through_the_indexes(database: Database) -> None:
    for statement in MANY.split(";"):
        await database.execute(statement)
    assert len(await found(database, "user77")) == 22
    rows = await database.fetch(f"EXPLAIN {hits_query('all')}", "user77", MOST_CANDIDATES, None, None, 21)
    rows += await database.fetch(f"EXPLAIN {FIND_USERS}", [], None)
    rows += await database.fetch(f"EXPLAIN {FIND_ROOMS}", [])
    plan = "\n".join(row[0] for row in rows)
    assert "rooms_search" in plan and "users_search" in plan, plan
    assert "Seq Scan on rooms" not in plan and "Seq Scan on users" not in plan, plan
