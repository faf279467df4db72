"""Leaderboards that nobody can ask for any more."""

import pytest

from control_api.services import gift_keeping
from control_api.services.gift_keeping import LeaderboardKeeper
from tests.control_api.money_world import live_room, money_world


@pytest.fixture
async def world(database, aiohttp_client):
    made = await money_world(database, aiohttp_client)
    for sender in ("bob", "carol"):
        await made.endow(sender, 1000)
    return made


async def periods(world) -> list[tuple[str, int]]:
    return [
        tuple(row)
        for row in await world.database.fetch(
            "SELECT period, count(*) FROM gift_totals GROUP BY period ORDER BY period"
        )
    ]


async def age(world, days: int) -> None:
    await world.database.execute(
        "UPDATE gift_totals SET since = since - $1::integer WHERE period <> 'all'", days
    )


async def give(world) -> None:
    for sender in ("bob", "carol"):
        assert (await world.give(sender))[0] == 201
    await world.money.news.tell_once()


async def test_old_days_and_weeks_are_forgotten_and_all_time_is_not(world):
    keeper = LeaderboardKeeper(world.database)
    await give(world)
    await age(world, 30)
    await give(world)
    assert await periods(world) == [("all", 2), ("day", 4), ("week", 4)]
    assert await keeper.forget_old() == 4
    assert await periods(world) == [("all", 2), ("day", 2), ("week", 2)]
    assert await keeper.forget_old() == 0


async def test_what_is_shown_is_not_old(world):
    await give(world)
    await age(world, 7)
    assert await LeaderboardKeeper(world.database).forget_old() == 0


async def test_many_rooms_are_looked_through(world, monkeypatch):
    monkeypatch.setattr(gift_keeping, "ROOMS", 2)
    monkeypatch.setattr(gift_keeping, "ROWS", 3)
    for _ in range(5):
        world.room_id = await live_room(world.money, world.people["alice"])
        await give(world)
    await age(world, 30)
    assert await LeaderboardKeeper(world.database).forget_old() == 20
    assert await periods(world) == [("all", 10)]
