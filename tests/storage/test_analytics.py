"""What minutes add up to, however often they are written and however old they are."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from storage.database import Database
from storage.ids import new_id
from storage.repositories import Rooms, Users
from storage.repositories.analytics import (
    Analytics,
    Minute,
    PlayerTotal,
    PlayerUse,
    Point,
    RoomMinute,
    RoomTotal,
    Viewers,
    ViewerUse,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


async def add_user(database: Database, name: str) -> UUID:
    return (await Users(database).add(name, f"{name}@example.com", "hash")).id


async def add_room(database: Database, name: str = "alice") -> UUID:
    owner = await Users(database).find_by_name(name)
    return await Rooms(database).add(owner.id if owner else await add_user(database, name), "A room", None)


def minute(room_id: UUID, at: datetime = NOON, peak: int = 5, watch: int = 240, node: str = "a") -> Minute:
    return Minute(at, node, f"{node} 1", [RoomMinute(room_id, peak, watch, 60, 2)])


async def points(database: Database, room_id: UUID, step: timedelta = HOUR) -> list[Point]:
    return await Analytics(database).points([room_id], NOON, NOON + DAY, step)


async def test_a_minute_counts_once_however_often_it_is_written(database: Database) -> None:
    room = await add_room(database)
    written = minute(room)
    assert [await Analytics(database).add(written) for _ in range(3)] == [True, False, False]
    assert await points(database, room) == [Point(NOON, 5, 240, 60, 2, 0)]


async def test_a_process_that_starts_again_adds_to_its_minute(database: Database) -> None:
    room, analytics = await add_room(database), Analytics(database)
    await analytics.add(Minute(NOON, "a", "a 1", [RoomMinute(room, 5, 100, 20, 1)]))
    await analytics.add(Minute(NOON, "a", "a 2", [RoomMinute(room, 3, 60, 30, 1)]))
    assert await points(database, room) == [Point(NOON, 5, 160, 50, 2, 0)]


async def test_viewers_of_two_nodes_add_up(database: Database) -> None:
    room, analytics = await add_room(database), Analytics(database)
    await analytics.add(minute(room, peak=5, watch=240, node="a"))
    await analytics.add(minute(room, peak=7, watch=300, node="b"))
    assert await points(database, room) == [Point(NOON, 12, 540, 60, 4, 0)]


async def test_points_are_of_steps(database: Database) -> None:
    room, analytics = await add_room(database), Analytics(database)
    for minutes, peak in ((0, 5), (59, 9), (60, 1), (24 * 60, 100)):
        await analytics.add(minute(room, NOON + minutes * MINUTE, peak, 60))
    assert [(p.at, p.peak_viewers, p.watch_seconds) for p in await points(database, room)] == [
        (NOON, 9, 120),
        (NOON + HOUR, 1, 60),
    ]
    assert [p.at for p in await points(database, room, MINUTE)] == [
        NOON,
        NOON + 59 * MINUTE,
        NOON + HOUR,
    ]


async def test_rooms_of_the_same_moment_add_up(database: Database) -> None:
    first, second, analytics = await add_room(database), await add_room(database), Analytics(database)
    await analytics.add(Minute(NOON, "a", "a", [RoomMinute(r, 5, 60, 60, 1) for r in (first, second)]))
    assert await analytics.points([first, second], NOON, NOON + DAY, DAY) == [Point(NOON, 10, 120, 60, 2, 0)]
    assert await analytics.totals([first, second], NOON, NOON + DAY) == [
        RoomTotal(room, "A room", 5, 60) for room in sorted((first, second))
    ]


async def test_who_follows_in_a_minute_is_gained_in_it(database: Database) -> None:
    room, fan = await add_room(database), await add_user(database, "fan")
    owner = await Users(database).find_by_name("alice")
    assert owner is not None
    await database.execute(
        "INSERT INTO follows (follower_id, user_id, created_at) VALUES ($1, $2, $3)",
        fan,
        owner.id,
        NOON + timedelta(seconds=59),
    )
    for node in ("a", "b"):
        await Analytics(database).add(minute(room, node=node))
    await Analytics(database).add(minute(room, NOON + MINUTE))
    assert [p.followers_gained for p in await points(database, room, MINUTE)] == [1, 0]
    gained = await Analytics(database).followers_gained(owner.id, NOON, NOON + DAY, HOUR)
    assert gained == {NOON: 1}


async def test_what_is_gone_is_left_out(database: Database) -> None:
    room, gone = await add_room(database), new_id()
    await Analytics(database).add(
        Minute(
            NOON,
            "a",
            "a",
            [RoomMinute(gone, 1, 1, 1, 1), RoomMinute(room, 1, 1, 1, 1)],
            [PlayerUse(gone, "hls", "tv", 1, 1, 0, 0)],
            [ViewerUse(room, gone, 1), ViewerUse(gone, gone, 1)],
        )
    )
    assert len(await points(database, room)) == 1
    assert await points(database, gone) == []


async def test_old_minutes_become_hours_and_figures_stay(database: Database) -> None:
    rooms, analytics = [await add_room(database) for _ in range(3)], Analytics(database)
    for minutes in (0, 1, 60):
        for node in ("a", "b"):
            figures = [RoomMinute(room, 5, 60, 60, 1) for room in rooms]
            await analytics.add(Minute(NOON + minutes * MINUTE, node, node, figures))
    before = await analytics.points(rooms, NOON, NOON + DAY, HOUR)
    counts = [await analytics.roll_up(NOON + HOUR, 2) for _ in range(3)]
    assert counts == [2, 1, 0], "a bounded number of rooms at once, and only what is old"
    assert await database.fetch_value("SELECT count(*) FROM room_minutes") == 6
    assert [r["peak_viewers"] for r in await database.fetch("SELECT peak_viewers FROM room_hours")] == [
        10
    ] * 3
    assert await analytics.points(rooms, NOON, NOON + DAY, HOUR) == before


async def test_a_minute_that_comes_late_is_added_to_its_hour(database: Database) -> None:
    room, analytics = await add_room(database), Analytics(database)
    for number in range(2):
        await analytics.add(minute(room, NOON + number * MINUTE))
        assert await analytics.roll_up(NOON + HOUR, 10) == 1
    assert await points(database, room) == [Point(NOON, 5, 480, 120, 4, 0)]


async def test_only_one_node_makes_hours_at_a_time(database: Database) -> None:
    room = await add_room(database)
    await Analytics(database).add(minute(room))
    async with database.transaction() as transaction:
        assert await Analytics(transaction).roll_up(NOON + HOUR, 10) == 1
        assert await Analytics(database).roll_up(NOON + HOUR, 10) == 0


async def test_players_and_viewers_add_up_by_day(database: Database) -> None:
    room, fan = await add_room(database), await add_user(database, "fan")
    for writer in ("1", "2"):
        await Analytics(database).add(
            Minute(
                NOON,
                "a",
                writer,
                players=[PlayerUse(room, "hls", "tv", 1, 30, 2, 1)],
                viewers=[ViewerUse(room, fan, 30)],
            )
        )
    assert await Analytics(database).players([room], NOON, NOON) == [PlayerTotal("hls", "tv", 2, 60, 4, 2)]
    assert await database.fetch_value("SELECT watch_seconds FROM room_viewer_days") == 60


async def test_viewers_are_new_or_return_and_may_be_followers(database: Database) -> None:
    room, analytics = await add_room(database), Analytics(database)
    owner = await Users(database).find_by_name("alice")
    assert owner is not None
    old, new = [await add_user(database, name) for name in ("old", "new")]
    await database.execute("INSERT INTO follows (follower_id, user_id) VALUES ($1, $2)", new, owner.id)
    for at, viewers in ((NOON - DAY, [old]), (NOON, [old, new]), (NOON + MINUTE, [new])):
        await analytics.add(Minute(at, "a", "a", viewers=[ViewerUse(room, viewer, 9) for viewer in viewers]))
    assert await analytics.viewers([room], owner.id, NOON, NOON) == Viewers(2, 1, 1)
    assert await analytics.viewers([room], owner.id, NOON - DAY, NOON) == Viewers(2, 2, 1)
    assert await analytics.viewers([], owner.id, NOON, NOON) == Viewers(0, 0, 0)


async def test_what_is_too_old_is_forgotten(database: Database) -> None:
    room, analytics = await add_room(database), Analytics(database)
    fans = [await add_user(database, f"fan{number}") for number in range(3)]
    await analytics.add(Minute(NOON, "a", "a", viewers=[ViewerUse(room, fan, 9) for fan in fans]))
    assert await analytics.forget_viewers(NOON, 10) == 0
    assert [await analytics.forget_viewers(NOON + DAY, 2) for _ in range(3)] == [2, 1, 0]
    await analytics.forget_writes(NOON + MINUTE)
    assert await database.fetch_value("SELECT count(*) FROM analytics_writes") == 0
