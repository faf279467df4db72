"""What is recorded of viewers and their players, and who may see it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from control_api.errors import ApiError
from control_api.principal import Principal
from control_api.routes.analytics import MOST_EVENTS, AnalyticsRoutes, RangeQuery, ReportedEvents
from control_api.services.analytics import MAX_POINTS, AnalyticsService, Range, Step
from control_api.services.analytics_recording import (
    MOST_SECONDS_PER_MINUTE,
    MOST_WAITING,
    AnalyticsRecorder,
    Device,
    PlayerEvent,
    PlayerEventKind,
    PlayerProtocol,
    RecordingOptions,
)
from control_api.services.rooms import RoomsService
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.ids import new_id
from storage.repositories import Role, Rooms, Users, Visibility
from storage.stream_keys import StreamKeyDigester
from tests.helpers.waiting import eventually

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
FIVE = timedelta(seconds=5)
DAY = timedelta(days=1)


@dataclass
class Stage:
    """The media plane and the clock."""

    time: datetime = NOON
    live: dict[UUID, int] = field(default_factory=dict)

    def now(self) -> datetime:
        return self.time

    def viewer_counts(self) -> Mapping[UUID, int]:
        return self.live

    def is_live(self, room_id: UUID) -> bool:
        return room_id in self.live


class LostDatabase(Database):
    """PostgreSQL that is away."""

    def __init__(self) -> None:
        super().__init__("postgresql://nowhere")

    def transaction(self):  # type: ignore[no-untyped-def]
        raise DatabaseUnavailable("away")


async def add_room(database: Database, name: str = "alice") -> tuple[UUID, UUID]:
    """Its owner and its id."""
    owner = (await Users(database).add(name, f"{name}@example.com", "hash")).id
    return owner, await Rooms(database).add(owner, "A room", None)


def service(database: Database) -> AnalyticsService:
    return AnalyticsService(database, RoomsService(database, StreamKeyDigester(b"secret" * 8)))


def watch(recorder: AnalyticsRecorder, stage: Stage, seconds: int) -> None:
    for _ in range(seconds // 5):
        stage.time += FIVE
        recorder.sample()


def event(room: UUID, kind: PlayerEventKind, seconds: int = 0) -> PlayerEvent:
    return PlayerEvent(room, kind, PlayerProtocol.HLS, Device.MOBILE, seconds)


async def test_a_minute_of_viewers_becomes_a_point(database: Database) -> None:
    owner, room = await add_room(database)
    stage = Stage(live={room: 4})
    recorder = AnalyticsRecorder(database, stage, "node", now=stage.now)
    watch(recorder, stage, 30)
    stage.live[room] = 10
    watch(recorder, stage, 25)
    watch(recorder, stage, 5)
    await recorder.write()
    curve = await service(database).room(
        Principal(owner, Role.USER), room, Range.of(NOON, NOON + DAY, Step.MINUTE)
    )
    [point] = curve.points
    assert (point.at, point.peak_viewers, point.live_seconds) == (NOON, 10, 55)
    assert point.watch_seconds == 4 * 30 + 10 * 25
    assert curve.total == point


async def test_a_pause_of_the_process_is_not_watched(database: Database) -> None:
    _, room = await add_room(database)
    stage = Stage(live={room: 4})
    recorder = AnalyticsRecorder(database, stage, "node", now=stage.now)
    stage.time += timedelta(hours=8)
    recorder.sample()
    stage.time -= timedelta(hours=1)
    recorder.sample()
    watch(recorder, stage, 5)
    stage.time += timedelta(minutes=61)
    recorder.sample()
    await recorder.write()
    row = await database.fetch_row("SELECT sum(watch_seconds) AS watch FROM room_minutes")
    assert row is not None and row["watch"] == 20


async def test_what_cannot_be_written_waits_but_not_for_ever(database: Database) -> None:
    room = new_id()
    stage = Stage(live={room: 1})
    recorder = AnalyticsRecorder(LostDatabase(), stage, "node", now=stage.now)
    for _ in range(MOST_WAITING + 10):
        watch(recorder, stage, 60)
        await recorder.write()
    assert len(recorder._waiting) == MOST_WAITING


async def test_written_minutes_are_not_written_again(database: Database) -> None:
    _, room = await add_room(database)
    stage = Stage(live={room: 1})
    recorder = AnalyticsRecorder(database, stage, "node", now=stage.now)
    watch(recorder, stage, 120)
    await recorder.write()
    await recorder.write()
    assert await database.fetch_value("SELECT sum(watch_seconds) FROM room_minutes") == 55 + 60


async def test_the_task_writes_what_it_has_when_it_is_stopped(database: Database) -> None:
    _, room = await add_room(database)
    stage = Stage(live={room: 3})
    recorder = AnalyticsRecorder(database, stage, "node", RecordingOptions(sample_seconds=0.5), stage.now)
    samples = 0

    def viewer_counts() -> Mapping[UUID, int]:
        nonlocal samples
        samples += 1
        stage.time += timedelta(seconds=1)
        return stage.live

    stage.viewer_counts = viewer_counts  # type: ignore[method-assign]
    task = asyncio.create_task(recorder.run())
    await eventually(lambda: samples >= 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await database.fetch_value("SELECT watch_seconds FROM room_minutes") >= 3


async def test_players_report_of_live_rooms_only(database: Database) -> None:
    owner, room = await add_room(database)
    fan = (await Users(database).add("fan", "fan@example.com", "hash")).id
    stage = Stage(live={room: 1})
    recorder = AnalyticsRecorder(database, stage, "node", now=stage.now)
    kinds = [*PlayerEventKind]
    assert recorder.take([event(room, kind, 30) for kind in kinds], fan) == len(kinds)
    assert recorder.take([event(room, PlayerEventKind.JOIN)], None) == 1
    assert recorder.take([event(new_id(), PlayerEventKind.JOIN)] * 50, None) == 0
    watch(recorder, stage, 60)
    await recorder.write()
    audience = await service(database).audience(owner, Range.of(NOON, NOON + DAY, None))
    assert (audience.viewers.count, audience.viewers.new, audience.viewers.followers) == (1, 1, 0)
    assert audience.joins_by("protocol") == {"hls": 2} and audience.joins_by("device") == {"mobile": 2}
    assert audience.watch_seconds_by("device") == {"mobile": 60}
    assert [(total.stalls, total.errors) for total in audience.players] == [(1, 1)]


async def test_nobody_watches_for_hours_in_a_minute(database: Database) -> None:
    _, room = await add_room(database)
    fan = (await Users(database).add("fan", "fan@example.com", "hash")).id
    stage = Stage(live={room: 1})
    recorder = AnalyticsRecorder(database, stage, "node", now=stage.now)
    for _ in range(100):
        recorder.take([event(room, PlayerEventKind.HEARTBEAT, 60)] * 50, fan)
    watch(recorder, stage, 60)
    await recorder.write()
    assert await database.fetch_value("SELECT watch_seconds FROM room_viewer_days") == MOST_SECONDS_PER_MINUTE


async def test_old_minutes_are_made_hours(database: Database) -> None:
    _, room = await add_room(database)
    stage = Stage(live={room: 1})
    recorder = AnalyticsRecorder(database, stage, "node", now=stage.now)
    watch(recorder, stage, 60)
    await recorder.write()
    assert await recorder.keep_house() == 0
    stage.time += timedelta(days=31)
    assert await recorder.keep_house() == 1
    assert await database.fetch_value("SELECT count(*) FROM room_minutes") == 0


async def test_only_the_owner_and_administrators_see_a_room(database: Database) -> None:
    owner, room = await add_room(database)
    analytics, chosen = service(database), Range.of(None, None, None)
    await analytics.room(Principal(owner, Role.USER), room, chosen)
    await analytics.room(Principal(new_id(), Role.ADMIN), room, chosen)
    for principal in (Principal(new_id(), Role.USER), Principal(new_id(), Role.MODERATOR)):
        with pytest.raises(ApiError) as refusal:
            await analytics.room(principal, room, chosen)
        assert (refusal.value.status, refusal.value.code) == (403, "not_room_owner")
    await Rooms(database).set_visibility(room, Visibility.PRIVATE)
    for room_id in (room, new_id()):
        with pytest.raises(ApiError) as refusal:
            await analytics.room(Principal(new_id(), Role.USER), room_id, chosen)
        assert (refusal.value.status, refusal.value.code) == (404, "room_not_found")


async def test_the_dashboard_counts_followers_also_while_nothing_was_live(database: Database) -> None:
    owner, room = await add_room(database)
    stage = Stage(live={room: 2})
    recorder = AnalyticsRecorder(database, stage, "node", now=stage.now)
    watch(recorder, stage, 60)
    await recorder.write()
    fans = [(await Users(database).add(f"fan{n}", f"{n}@example.com", "hash")).id for n in range(2)]
    for fan, at in zip(fans, (NOON, NOON + timedelta(hours=5)), strict=True):
        await database.execute(
            "INSERT INTO follows (follower_id, user_id, created_at) VALUES ($1, $2, $3)", fan, owner, at
        )
    dashboard = await service(database).dashboard(owner, Range.of(NOON, NOON + DAY, Step.HOUR))
    assert [(p.at, p.peak_viewers, p.followers_gained) for p in dashboard.curve.points] == [
        (NOON, 2, 1),
        (NOON + timedelta(hours=5), 0, 1),
    ]
    assert dashboard.curve.total.followers_gained == 2
    assert [room.title for room in dashboard.rooms] == ["A room"]
    stranger = await service(database).dashboard(new_id(), Range.of(NOON, NOON + DAY, Step.HOUR))
    assert (stranger.rooms, stranger.curve.points) == ([], [])


@pytest.mark.parametrize(
    ("start", "end", "step", "name"),
    [
        (NOON, NOON, None, "from"),
        (NOON + DAY, NOON, None, "from"),
        (NOON - 401 * DAY, NOON, None, "from"),
        (datetime(1, 1, 1, tzinfo=UTC), NOON, None, "from"),
        (NOON, datetime(9999, 12, 31, tzinfo=UTC), None, "to"),
        (NOON - 2 * DAY, NOON, Step.MINUTE, "step"),
        (NOON - 100 * DAY, NOON, Step.HOUR, "step"),
    ],
)
def test_ranges_are_bounded(start: datetime, end: datetime, step: Step | None, name: str) -> None:
    with pytest.raises(ApiError) as refusal:
        Range.of(start, end, step)
    assert (refusal.value.status, refusal.value.details[0].field) == (400, name)


@pytest.mark.parametrize(
    ("length", "step"),
    [(timedelta(hours=1), Step.MINUTE), (DAY, Step.HOUR), (30 * DAY, Step.DAY), (400 * DAY, Step.DAY)],
)
def test_a_step_that_fits_is_chosen(length: timedelta, step: Step) -> None:
    chosen = Range.of(NOON - length, NOON, None)
    assert chosen.step is step and length / step.length <= MAX_POINTS


@pytest.mark.parametrize(
    "query", [{"from": "x"}, {"from": "2026-05-01T12:00:00"}, {"step": "second"}, {"since": "1"}]
)
def test_queries_that_are_none_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(query, RangeQuery, strict=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "hack"},
        {"seconds": 61},
        {"seconds": -1},
        {"seconds": 1.5},
        {"roomId": "x"},
        {"protocol": "'; --"},
        {"device": ""},
        {"userId": "me"},
    ],
)
def test_events_that_are_none_are_refused(changes: dict[str, object]) -> None:
    good = {"roomId": str(new_id()), "kind": "heartbeat", "protocol": "hls", "device": "tv", "seconds": 30}
    msgspec.convert({"events": [good] * MOST_EVENTS}, ReportedEvents)
    for events in ([good | changes], [], [good] * (MOST_EVENTS + 1)):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"events": events}, ReportedEvents)


def test_every_route_says_who_may_call_it(database: Database) -> None:
    routes = AnalyticsRoutes(service(database), AnalyticsRecorder(database, Stage(), "node")).routes()
    assert {(route.path, route.access.value) for route in routes} == {
        ("/analytics/events", "public"),
        ("/rooms/{id}/analytics", "user"),
        ("/analytics/dashboard", "user"),
        ("/analytics/audience", "user"),
    }
