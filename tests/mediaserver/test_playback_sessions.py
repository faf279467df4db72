"""Who watches, and who of them must leave when something changes."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from uuid import UUID

import pytest

from mediaserver import playback_sessions
from mediaserver.playback_sessions import PlaybackSession, PlaybackSessions, SessionReview
from storage.bus import (
    Bus,
    ChangesMissed,
    Event,
    RoomChanged,
    RoomDeleted,
    RoomOwnerChanged,
    RoomRelationChanged,
    UserChanged,
)
from storage.errors import DatabaseUnavailable
from tests.helpers.waiting import eventually

ANNA = UUID(int=1)
BERT = UUID(int=2)


class Rulebook:
    """Knows who may not watch; counts what it is asked, and can be away or slow."""

    def __init__(self) -> None:
        self.banned: set[UUID | None] = set()
        self.asked: list[tuple[str, list[UUID | None]]] = []
        self.fails_with: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.slow_rooms: set[str] = set()
        self.latency_asked: list[str] = []
        self.latency_fails_with: Exception | None = None

    async def may_not_watch(self, room_id: str, user_ids: Sequence[UUID | None]) -> Collection[UUID | None]:
        self.asked.append((room_id, list(user_ids)))
        if self.gate is not None:
            await self.gate.wait()
        if self.fails_with is not None:
            raise self.fails_with
        return self.banned & set(user_ids)

    async def has_low_latency(self, room_id: str) -> bool:
        self.latency_asked.append(room_id)
        if self.latency_fails_with is not None:
            raise self.latency_fails_with
        return room_id not in self.slow_rooms


class Hall:
    """Sessions, a review of them, and everyone who was sent away."""

    def __init__(self) -> None:
        self.rules = Rulebook()
        self.sessions = PlaybackSessions()
        self.bus = Bus()
        self.review = SessionReview(self.sessions, self.rules, self.bus)
        self.closed: list[PlaybackSession] = []

    def watch(self, room_id: str, user_id: UUID | None, *, is_real_time: bool = False) -> PlaybackSession:
        session = self.sessions.open(room_id, user_id, is_real_time=is_real_time)
        session.on_close = lambda: self.closed.append(session)
        return session

    def slow_room(self, room_id: str) -> None:
        self.rules.slow_rooms.add(room_id)

    async def hear(self, event: Event, questions: int = 1) -> None:
        """``event``, until this many questions came of it and were answered."""
        self.rules.asked.clear()
        self.bus.publish(event)
        await eventually(lambda: len(self.rules.asked) == questions and self.is_idle)

    @property
    def is_idle(self) -> bool:
        return not self.review.is_busy


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    hall = Hall()
    yield hall
    await hall.review.close()


@pytest.mark.parametrize(
    "event", [RoomChanged("r"), RoomDeleted("r"), RoomOwnerChanged("r", is_active=False), ChangesMissed()]
)
async def test_a_changed_room_is_asked_about_once_for_all_its_viewers(hall: Hall, event: Event):
    anna, also_anna, nobody = hall.watch("r", ANNA), hall.watch("r", ANNA), hall.watch("r", None)
    bert = hall.watch("r", BERT)
    hall.rules.banned = {ANNA, None}
    await hall.hear(event)
    assert hall.rules.asked == [("r", [ANNA, None, BERT])]
    assert hall.closed == [anna, also_anna, nobody]
    assert not bert.is_closed


@pytest.mark.parametrize("event", [UserChanged(str(ANNA)), RoomRelationChanged(str(ANNA), str(BERT))])
async def test_a_changed_user_is_asked_about_in_every_room(hall: Hall, event: Event):
    sessions = [hall.watch("r", ANNA), hall.watch("s", ANNA)]
    hall.watch("r", BERT)
    hall.watch("t", BERT)
    hall.rules.banned = {ANNA, BERT}
    await hall.hear(event, questions=2)
    assert hall.rules.asked == [("r", [ANNA]), ("s", [ANNA])]
    assert hall.closed == sessions


async def test_other_rooms_and_users_are_not_asked_about(hall: Hall):
    hall.watch("r", ANNA)
    hall.bus.publish(RoomChanged("other"))
    hall.bus.publish(UserChanged(str(BERT)))
    hall.bus.publish(UserChanged("no id"))
    assert hall.is_idle
    assert hall.rules.asked == []


async def test_nobody_is_sent_away_twice(hall: Hall):
    session = hall.watch("r", ANNA)
    hall.rules.banned = {ANNA}
    await hall.hear(RoomChanged("r"))
    await hall.hear(RoomChanged("r"))
    assert hall.closed == [session]


async def test_what_changes_while_the_answer_is_under_way_is_asked_about_again(hall: Hall):
    hall.watch("r", ANNA)
    hall.rules.gate = asyncio.Event()
    hall.bus.publish(RoomChanged("r"))
    await eventually(lambda: hall.rules.asked)
    hall.bus.publish(RoomChanged("r"))
    hall.bus.publish(UserChanged(str(ANNA)))
    hall.rules.gate.set()
    await eventually(lambda: hall.is_idle)
    assert hall.rules.asked == [("r", [ANNA])] * 2


async def test_while_the_database_is_away_everyone_stays_and_is_asked_about_later(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(playback_sessions, "PAUSE_SECONDS", 0.001)
    session = hall.watch("r", ANNA)
    hall.rules.banned = {ANNA}
    hall.rules.fails_with = DatabaseUnavailable()
    hall.bus.publish(RoomChanged("r"))
    await eventually(lambda: len(hall.rules.asked) > 3)
    assert not session.is_closed
    hall.rules.fails_with = None
    await eventually(lambda: session.is_closed)


async def test_a_fault_in_one_room_does_not_stop_the_review(hall: Hall):
    hall.watch("r", ANNA)
    hall.rules.fails_with = KeyError("fault")
    await hall.hear(RoomChanged("r"))
    hall.rules.fails_with = None
    hall.rules.banned = {ANNA}
    await hall.hear(RoomChanged("r"))
    assert len(hall.closed) == 1


async def test_a_session_that_cannot_be_closed_stops_nobody_else(hall: Hall):
    broken, other = hall.watch("r", ANNA), hall.watch("r", ANNA)
    broken.on_close = lambda: [][0]
    hall.rules.banned = {ANNA}
    await hall.hear(RoomChanged("r"))
    assert hall.closed == [other]


async def test_a_full_room_is_asked_about_in_parts(hall: Hall, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(playback_sessions, "USERS_AT_ONCE", 10)
    for number in range(25):
        hall.watch("r", UUID(int=number))
    await hall.hear(RoomChanged("r"), questions=3)
    assert [len(users) for _, users in hall.rules.asked] == [10, 10, 5]


async def test_any_number_of_viewers_is_one_task_and_leaves_nothing(hall: Hall):
    before = len(asyncio.all_tasks())
    sessions = [hall.watch(f"r{number % 7}", UUID(int=number % 50)) for number in range(1000)]
    assert len(asyncio.all_tasks()) == before
    assert len(hall.sessions) == 1000
    hall.bus.publish(ChangesMissed())
    assert len(asyncio.all_tasks()) == before + 1
    await eventually(lambda: hall.is_idle)
    for session in sessions:
        hall.sessions.leave(session)
        hall.sessions.leave(session)
    assert len(hall.sessions) == 0
    assert not hall.sessions.rooms()
    hall.bus.publish(ChangesMissed())
    assert hall.is_idle


@pytest.mark.parametrize("event", [RoomChanged("r"), ChangesMissed()])
async def test_without_low_latency_those_in_real_time_leave_and_no_others(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, event: Event
):
    monkeypatch.setattr(playback_sessions, "SESSIONS_AT_ONCE", 2)
    real_time = [hall.watch("r", user, is_real_time=True) for user in (ANNA, None, None, BERT, BERT)]
    others = [hall.watch("r", ANNA), hall.watch("r", None)]
    await hall.hear(event)
    assert not hall.closed
    hall.slow_room("r")
    await hall.hear(event)
    assert set(hall.closed) == set(real_time)
    assert not any(session.is_closed for session in others)


async def test_low_latency_is_asked_about_only_where_it_matters(hall: Hall):
    hall.watch("r", ANNA)
    await hall.hear(RoomChanged("r"))
    hall.watch("s", ANNA, is_real_time=True)
    await hall.hear(UserChanged(str(ANNA)), questions=2)
    assert hall.rules.latency_asked == []
    await hall.hear(RoomChanged("s"))
    assert hall.rules.latency_asked == ["s"]


async def test_while_the_database_is_away_real_time_goes_on(hall: Hall, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(playback_sessions, "PAUSE_SECONDS", 0.001)
    session = hall.watch("r", ANNA, is_real_time=True)
    hall.slow_room("r")
    hall.rules.latency_fails_with = DatabaseUnavailable()
    hall.bus.publish(RoomChanged("r"))
    await eventually(lambda: len(hall.rules.latency_asked) > 3)
    assert not session.is_closed
    hall.rules.latency_fails_with = None
    await eventually(lambda: session.is_closed)


def test_a_session_lasts_as_long_as_its_block():
    sessions = PlaybackSessions()
    with pytest.raises(KeyError), sessions.opened("r", None):
        assert sessions.users("r") == [None]
        raise KeyError
    assert sessions.users("r") == []


def test_a_session_may_be_closed_before_anyone_listens():
    sessions = PlaybackSessions()
    session = sessions.open("r", ANNA)
    assert sessions.close("r", [ANNA]) == 1
    assert session.is_closed
