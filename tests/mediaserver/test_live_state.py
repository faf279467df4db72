"""The record of broadcasts, also through outages and crashes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import pytest

from mediaserver import live_state
from mediaserver.live_state import LiveState
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.repositories import Broadcast, Broadcasts, LiveFigures, Rooms, Users
from tests.helpers.waiting import eventually

NODE = "node"


@pytest.fixture
async def room(database: Database) -> str:
    owner = await Users(database).add("alice", "a@example.com", "hash")
    return str(await Rooms(database).add(owner.id, "A room", None))


@pytest.fixture
def viewers() -> dict[str, int]:
    return {}


@pytest.fixture
def state(database: Database, viewers: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> LiveState:
    monkeypatch.setattr(live_state, "COUNT_SECONDS", 0.01)
    monkeypatch.setattr(live_state, "UPDATE_SECONDS", 0.05)
    monkeypatch.setattr(live_state, "RETRY_SECONDS", 0.01)
    return LiveState(database, NODE, lambda room_id: viewers.get(room_id, 0))


@asynccontextmanager
async def running(state: LiveState) -> AsyncIterator[None]:
    task = asyncio.create_task(state.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await state.close()


async def history(database: Database, room: str) -> Sequence[Broadcast]:
    return await Broadcasts(database).history(UUID(room), 10)


async def live_rows(database: Database) -> list[tuple[str, int]]:
    rows = await database.fetch("SELECT room_id, viewers FROM room_live_state")
    return [(str(row["room_id"]), row["viewers"]) for row in rows]


class Outage:
    """Makes a database answer nobody."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch.context
        self._database = database

    @asynccontextmanager
    async def during(self) -> AsyncIterator[None]:
        with self._patch() as patch:
            patch.setattr(self._database, "_connection", self._refuse)
            yield

    @asynccontextmanager
    async def _refuse(self) -> AsyncIterator[None]:
        raise DatabaseUnavailable("away")
        yield


@pytest.fixture
def outage(database: Database, monkeypatch: pytest.MonkeyPatch) -> Outage:
    return Outage(database, monkeypatch)


async def test_a_broadcast_is_recorded_with_its_peak(
    database: Database, room: str, viewers: dict[str, int], state: LiveState
) -> None:
    async with running(state):
        state.started(room)
        await eventually(lambda: state.pending == 0)
        assert [broadcast.ended_at for broadcast in await history(database, room)] == [None]

        viewers[room] = 7
        async with asyncio.timeout(10):
            while await live_rows(database) != [(room, 7)]:  # noqa: ASYNC110 (nothing says it)
                await asyncio.sleep(0.01)
        viewers[room] = 0
        state.ended(room, "publisher stopped")
        await eventually(lambda: state.pending == 0)
    (broadcast,) = await history(database, room)
    assert (broadcast.peak_viewers, broadcast.end_reason) == (7, "publisher stopped")
    assert broadcast.duration is not None
    assert await live_rows(database) == []


async def test_figures_that_change_are_written_before_it_is_time_for_all(
    database: Database,
    room: str,
    viewers: dict[str, int],
    state: LiveState,
    outage: Outage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_state, "UPDATE_SECONDS", 1000)
    written: list[tuple[int, int]] = []
    update = Broadcasts.update

    async def noted(self: Broadcasts, figures: Sequence[LiveFigures], seen_at: datetime) -> None:
        await update(self, figures, seen_at)
        written.extend((each.viewers, each.peak_viewers) for each in figures)

    monkeypatch.setattr(Broadcasts, "update", noted)
    async with running(state):
        state.started(room)
        await eventually(lambda: written == [(0, 0)])
        for count in (3, 2):
            viewers[room] = count
            await eventually(lambda count=count: written[-1] == (count, 3))  # type: ignore[misc]
        assert await live_rows(database) == [(room, 2)] and len(written) == 3
        async with outage.during():
            viewers[room] = 9
            await eventually(lambda: state._running[room].viewers == 9)
        await eventually(lambda: written[-1] == (9, 9))


async def test_what_stopped_and_started_again_is_two_broadcasts(
    database: Database, room: str, state: LiveState
) -> None:
    async with running(state):
        for _ in range(2):
            state.started(room)
            state.ended(room, "publisher stopped")
        state.started(room)
        await eventually(lambda: state.pending == 0)
    newest, *older = await history(database, room)
    assert newest.ended_at is None
    assert [broadcast.end_reason for broadcast in older] == ["publisher stopped"] * 2


async def test_an_outage_loses_nothing_but_the_figures(
    database: Database, room: str, state: LiveState, outage: Outage
) -> None:
    async with running(state):
        async with outage.during():
            state.started(room)
            state.ended(room, "publisher lost")
            state.started(room)
            await asyncio.sleep(0)
            await eventually(lambda: state.pending == 2)
        await eventually(lambda: state.pending == 0)
    newest, oldest = await history(database, room)
    assert (newest.ended_at, oldest.end_reason) == (None, "publisher lost")
    assert oldest.started_at <= (oldest.ended_at or newest.started_at) <= newest.started_at


async def test_what_waits_is_bounded(
    room: str, state: LiveState, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_state, "MAX_ENDED", 10)
    async with outage.during():
        for _ in range(100):
            state.started(room)
            state.ended(room, "publisher lost")
        assert state.pending == 10


async def test_a_crash_is_repaired_at_the_next_start(database: Database, room: str, state: LiveState) -> None:
    task = asyncio.create_task(state.run())
    state.started(room)
    await eventually(lambda: state.pending == 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    async with running(LiveState(database, "another node", lambda _: 0)):
        await asyncio.sleep(0)
    assert [broadcast.ended_at for broadcast in await history(database, room)] == [None]

    async with running(LiveState(database, NODE, lambda _: 0)):
        await asyncio.sleep(0)
    (broadcast,) = await history(database, room)
    assert broadcast.end_reason == "server lost"
    assert broadcast.ended_at is not None
    assert await live_rows(database) == []


async def test_a_room_deleted_under_its_stream_holds_nobody_up(
    database: Database, room: str, state: LiveState
) -> None:
    owner = await Users(database).find_by_name("alice")
    assert owner is not None
    other = str(await Rooms(database).add(owner.id, "Other", None))
    await Rooms(database).delete(UUID(room))
    async with running(state):
        state.started(room)
        state.started(other)
        await eventually(lambda: state.pending == 0)
        state.ended(room, "room deleted")
        await eventually(lambda: state.pending == 0)
    assert len(await history(database, other)) == 1


async def test_an_end_without_a_start_is_nothing(state: LiveState, room: str) -> None:
    state.ended(room, "publisher stopped")
    assert state.pending == 0


async def test_closing_without_a_database_gives_up(state: LiveState, room: str, outage: Outage) -> None:
    async with outage.during():
        state.started(room)
        await state.close()
        assert state.pending == 1
