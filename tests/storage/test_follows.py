"""Follows and blocks: what counts, what is told, what holds when many act at once."""

import asyncio
import json
from uuid import UUID

import pytest

from storage.database import Database
from storage.errors import InvalidValue
from storage.ids import new_id
from storage.repositories import Users, UserState, account_data
from storage.repositories.account_data import AccountData
from storage.repositories.blocks import Blocks
from storage.repositories.follows import Follows, RelationPosition
from tests.helpers.waiting import eventually


async def add(database: Database, name: str) -> UUID:
    return (await Users(database).add(name, f"{name}@example.com", "hash")).id


async def counts(database: Database, user_id: UUID) -> tuple[int, int]:
    """Followers and following."""
    profile = await Users(database).profile(user_id)
    assert profile is not None
    return profile.followers, profile.following


async def real_counts(database: Database, user_id: UUID) -> tuple[int, int]:
    row = await database.fetch_row(
        """SELECT (SELECT count(*) FROM follows WHERE user_id = $1),
                  (SELECT count(*) FROM follows WHERE follower_id = $1)""",
        user_id,
    )
    assert row is not None
    return tuple(row)


async def test_a_follow_counts_once_on_both_sides(database: Database) -> None:
    alice, bob = await add(database, "alice"), await add(database, "bob")
    follows = Follows(database)
    assert await follows.add(alice, bob)
    assert not await follows.add(alice, bob)
    assert await follows.is_following(alice, bob) and not await follows.is_following(bob, alice)
    assert (await counts(database, alice), await counts(database, bob)) == ((0, 1), (1, 0))
    assert await follows.remove(alice, bob)
    assert not await follows.remove(alice, bob)
    assert (await counts(database, alice), await counts(database, bob)) == ((0, 0), (0, 0))


async def test_nobody_follows_himself_or_somebody_who_is_not_there(database: Database) -> None:
    alice = await add(database, "alice")
    for other in (alice, new_id()):
        with pytest.raises(InvalidValue):
            await Follows(database).add(alice, other)


async def test_counts_hold_when_everybody_follows_and_leaves_everybody_at_once(database: Database) -> None:
    people = [await add(database, f"user{number}") for number in range(6)]
    follows = Follows(database)

    async def turn(one: UUID, other: UUID) -> None:
        for _ in range(3):
            await follows.add(one, other)
            await follows.remove(one, other)
        if one < other:
            await follows.add(one, other)

    async with asyncio.TaskGroup() as tasks:
        for one in people:
            for other in people:
                if one != other:
                    tasks.create_task(turn(one, other))
    for position, one in enumerate(sorted(people)):
        expected = (position, len(people) - 1 - position)
        assert await counts(database, one) == await real_counts(database, one) == expected


async def test_counts_hold_for_rows_that_come_and_go_in_bulk(database: Database) -> None:
    people = [await add(database, f"user{number}") for number in range(20)]
    await database.execute(
        """INSERT INTO follows (follower_id, user_id)
           SELECT one.id, other.id FROM users AS one, users AS other WHERE one.id <> other.id"""
    )
    assert {await counts(database, one) for one in people} == {(19, 19)}
    await database.execute("DELETE FROM follows WHERE user_id = $1", people[0])
    assert await counts(database, people[0]) == (0, 19)
    assert await counts(database, people[1]) == (19, 18)
    await database.execute("DELETE FROM users WHERE id = $1", people[1])
    assert await counts(database, people[2]) == await real_counts(database, people[2]) == (18, 17)


async def test_a_list_of_followers_goes_on_where_it_ended(database: Database) -> None:
    star = await add(database, "star")
    fans = [await add(database, f"fan{number}") for number in range(7)]
    # All in one transaction: the same time, told apart by their ids alone.
    async with database.transaction() as transaction:
        for fan in fans[:5]:
            await Follows(transaction).add(fan, star)
    for fan in fans[5:]:
        await Follows(database).add(fan, star)
    found: list[UUID] = []
    after = None
    while page := await Follows(database).followers(star, after, 2):
        found += [relation.user_id for relation in page]
        after = RelationPosition(page[-1].since, page[-1].user_id)
        assert len(page) <= 2
    assert found == [fans[6], fans[5], *sorted(fans[:5])]
    await Users(database).set_state(fans[6], UserState.BANNED)
    assert [one.user_id for one in await Follows(database).followers(star)] == [fans[5], *sorted(fans[:5])]
    assert [one.username for one in await Follows(database).following(fans[0])] == ["star"]


async def test_a_block_is_listed_until_it_is_lifted(database: Database) -> None:
    alice, bob = await add(database, "alice"), await add(database, "bob")
    blocks = Blocks(database)
    assert await blocks.add(alice, bob)
    assert not await blocks.add(alice, bob)
    assert await blocks.has_blocked(alice, bob) and not await blocks.has_blocked(bob, alice)
    assert [one.username for one in await blocks.list(alice)] == ["bob"]
    assert await blocks.remove(alice, bob)
    assert not await blocks.remove(alice, bob)
    assert await blocks.list(alice) == []
    with pytest.raises(InvalidValue):
        await blocks.add(alice, alice)


async def test_every_node_hears_of_who_came_left_was_blocked_or_changed(database: Database) -> None:
    alice, bob = await add(database, "alice"), await add(database, "bob")
    heard: list[dict[str, object]] = []
    async with database.dedicated_connection() as connection:
        await connection.add_listener("mediaserver", lambda *told: heard.append(json.loads(told[3])))
        await Follows(database).add(alice, bob)
        await Follows(database).remove(alice, bob)
        await eventually(lambda: len(heard) == 2)
        await Blocks(database).add(bob, alice)
        await Users(database).set_state(alice, UserState.SUSPENDED)
        await Users(database).set_state(alice, UserState.SUSPENDED)
        await eventually(lambda: len(heard) == 4)
        await Users(database).set_state(alice, UserState.ACTIVE)
        await Users(database).change_profile(alice, "Alice", None)
        await eventually(lambda: len(heard) == 6)
    relation = {"kind": "relation", "user_id": str(alice), "owner_id": str(bob)}
    changed = {"kind": "user", "user_id": str(alice)}
    assert heard == [relation, relation, relation, changed, changed, changed]


async def test_followers_of_a_deleted_account_go_in_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_data, "BATCH_ROWS", 2)
    star = await add(database, "star")
    fans = [await add(database, f"fan{number}") for number in range(6)]
    for fan in fans:
        await Follows(database).add(fan, star)
    await Follows(database).add(fans[0], fans[1])
    async with database.transaction() as transaction:
        await AccountData(transaction).remove(star)
    assert await counts(database, star) == (0, 0)
    assert [await counts(database, fan) for fan in fans] == [(0, 1), (1, 0), *[(0, 0)] * 4]


async def test_a_deleted_account_is_told_of_as_one_not_by_each_of_its_followers(database: Database) -> None:
    star = await add(database, "star")
    for number in range(5):
        await Follows(database).add(await add(database, f"fan{number}"), star)
    heard: list[dict[str, object]] = []
    async with database.dedicated_connection() as connection:
        await connection.add_listener("mediaserver", lambda *told: heard.append(json.loads(told[3])))
        async with database.transaction() as transaction:
            await AccountData(transaction).remove(star)
        await eventually(lambda: heard)
    assert heard == [{"kind": "user", "user_id": str(star)}]
