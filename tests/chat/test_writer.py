"""Nothing is acknowledged or shown before it is stored."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest

from chat import writer as writer_module
from chat.errors import Refusal
from chat.writer import LogWriter
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.ids import new_id
from storage.repositories import Rooms, Users
from storage.repositories.chat_log import ChatLog, Entry, LoggedEntry, NewEvent
from storage.repositories.rooms import RoomSettings


class Sink:
    def __init__(self) -> None:
        self.entries: list[LoggedEntry] = []

    def logged(self, entries: Sequence[LoggedEntry]) -> None:
        self.entries.extend(entries)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def room(database: Database) -> UUID:
    owner = await Users(database).add("owner", "owner@example.com", "x")
    return await Rooms(database).create(owner.id, RoomSettings("room"))


@pytest.fixture
async def writer(database: Database, sink: Sink) -> AsyncIterator[LogWriter]:
    writer = LogWriter(database, sink)
    task = asyncio.create_task(writer.run())
    yield writer
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def event(room_id: UUID, text: str = "x") -> NewEvent:
    return NewEvent(room_id, "tip", {"message": text}, datetime.now(UTC))


async def test_what_is_acknowledged_is_stored_and_was_shown_in_order(
    database: Database, room: UUID, writer: LogWriter, sink: Sink
):
    offsets = await asyncio.gather(*(writer.write(event(room, str(n))) for n in range(700)))
    assert offsets == list(range(1, 701))
    assert [logged.offset for logged in sink.entries] == offsets
    stored = await ChatLog(database).since(room, 0, 1000)
    assert [logged.entry.data["message"] for logged in stored] == [str(n) for n in range(700)]  # type: ignore[union-attr]


async def test_a_room_that_is_gone_is_said_so_and_the_others_go_on(room: UUID, writer: LogWriter):
    gone, there = writer.write(event(new_id())), writer.write(event(room))
    with pytest.raises(Refusal, match="room_not_found"):
        await gone
    assert await there == 1


async def test_one_entry_that_cannot_be_stored_does_not_take_the_others_with_it(
    room: UUID, writer: LogWriter, sink: Sink
):
    poison = writer.write(event(room, "\0"))
    good = writer.write(event(room, "good"))
    with pytest.raises(Refusal, match="bad_frame"):
        await poison
    assert await good == 1
    assert len(sink.entries) == 1


async def test_without_a_database_everything_is_refused_and_nothing_shown(
    room: UUID, writer: LogWriter, sink: Sink, monkeypatch: pytest.MonkeyPatch
):
    async def away(_: ChatLog, _entries: Sequence[Entry]) -> list[int | None]:
        raise DatabaseUnavailable("PostgreSQL: away")

    with monkeypatch.context() as patch:
        patch.setattr(ChatLog, "append", away)
        with pytest.raises(Refusal, match="unavailable"):
            await writer.write(event(room))
    assert sink.entries == []
    assert await writer.write(event(room)) == 1


async def test_too_much_waiting_is_refused_at_once(
    database: Database, room: UUID, sink: Sink, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer_module, "MAX_WAITING", 2)
    writer = LogWriter(database, sink)
    waiting = [writer.write(event(room)) for _ in range(2)]
    with pytest.raises(Refusal, match="busy"):
        writer.write(event(room))
    task = asyncio.create_task(writer.run())
    assert await asyncio.gather(*waiting) == [1, 2]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_is_under_way_at_the_end_is_refused(
    database: Database, room: UUID, sink: Sink, monkeypatch: pytest.MonkeyPatch
):
    started = asyncio.Event()

    async def slow(_: ChatLog, _entries: Sequence[Entry]) -> list[int | None]:
        started.set()
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(ChatLog, "append", slow)
    writer = LogWriter(database, sink)
    task = asyncio.create_task(writer.run())
    waiting = writer.write(event(room))
    await started.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    with pytest.raises(Refusal, match="unavailable"):
        await waiting
