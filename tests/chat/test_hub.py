"""Entries reach a room once and in order, whichever way they come, and take effect when they do."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import msgspec
import pytest

from chat.attendance import Attendance
from chat.connection import Connection
from chat.errors import Refusal
from chat.fanout import Ticker
from chat.hub import ROOMS_AT_ONCE, Hub
from chat.moderation.service import Moderation
from chat.moderation.terms import CompiledTerms
from chat.ports import Identity, Watchers
from chat.relay import LocalRelay
from chat.room import Role, Room, Visitor
from chat.tasks import Tasks
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.ids import new_id
from storage.repositories import Rooms, Users
from storage.repositories.blocked_terms import BlockedTerm, TermAction
from storage.repositories.chat_log import ChatLog, Entry, LoggedEntry, NewEvent, NewMessage
from storage.repositories.chat_rooms import ChatRooms, ChatSettings
from storage.repositories.rooms import RoomSettings
from tests.chat.stand_ins import Handler, Transport, connected
from tests.helpers.waiting import eventually


class NobodyWatches:
    def watchers(self, room_id: UUID) -> Watchers:
        return Watchers(frozenset(), 0)


class Stay:
    def leave(self) -> None:
        pass


class World:
    def __init__(self, database: Database, hub: Hub, attendance: Attendance, owner: UUID, room: UUID) -> None:
        self.database = database
        self.hub = hub
        self.attendance = attendance
        self.owner = owner
        self.room_id = room

    async def enter(self, name: str | None = None) -> tuple[Room, Connection, Transport]:
        identity = Identity(new_id(), name, name) if name else None
        connection, transport = connected(Handler(), identity=identity)
        room = await self.hub.open(self.room_id)
        role = Role.MEMBER if name else Role.ANONYMOUS
        self.attendance.enter(room, connection, Visitor(Stay(), role))
        return room, connection, transport

    def message(self, text: str) -> NewMessage:
        return NewMessage(
            new_id(), self.room_id, self.owner, "owner", "Owner", None, text, None, (), datetime.now(UTC)
        )

    async def stored(self, *entries: Entry) -> list[LoggedEntry]:
        offsets = await ChatLog(self.database).append(entries)
        return [LoggedEntry(offset or 0, entry) for offset, entry in zip(offsets, entries, strict=True)]


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    owner = await Users(database).add("owner", "owner@example.com", "x")
    room = await Rooms(database).create(owner.id, RoomSettings("room"))
    tasks, relay = Tasks(), LocalRelay()
    attendance = Attendance(relay, NobodyWatches())
    running = asyncio.create_task(tasks.run())
    await asyncio.sleep(0)
    yield World(database, Hub(database, relay, attendance, tasks), attendance, owner.id, room)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def seen(room: Room, transport: Transport) -> list[tuple[int, str]]:
    """What was shown, as (offset, message)."""
    room.fanout.flush()
    shown = []
    data = transport.written
    while data:
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        frame: dict[str, Any] = msgspec.json.decode(data[start : start + length])
        data = data[start + length :]
        if frame["t"] == "new-message":
            shown.append((frame["d"]["offset"], frame["d"]["message"]))
    return shown


async def test_entries_of_another_node_come_in_any_order_and_twice(world: World):
    room, _, transport = await world.enter()
    logged = await world.stored(*(world.message(str(n)) for n in range(4)))
    world.hub.remote_entries(room.id, [logged[2], logged[0]])
    world.hub.remote_entries(room.id, [logged[1], logged[0]])
    world.hub.logged([logged[3]])
    assert seen(room, transport) == [(1, "0"), (2, "1"), (3, "2"), (4, "3")]


async def test_an_entry_that_never_comes_is_read_from_the_database(world: World):
    room, _, transport = await world.enter()
    logged = await world.stored(*(world.message(str(n)) for n in range(3)))
    world.hub.remote_entries(room.id, [logged[2]])
    await eventually(lambda: room.offset == 3)
    assert seen(room, transport) == [(1, "0"), (2, "1"), (3, "2")]


async def test_after_a_time_without_other_nodes_all_is_read_that_was_missed(world: World):
    room, _, transport = await world.enter()
    await world.stored(*(world.message(str(n)) for n in range(1203)))
    world.hub.missed()
    await eventually(lambda: room.offset == 1203)
    assert seen(room, transport) == [(n + 1, str(n)) for n in range(1203)]


async def test_a_deleted_message_is_no_gap(world: World):
    room, _, transport = await world.enter()
    logged = await world.stored(*(world.message(str(n)) for n in range(3)))
    await world.database.execute("UPDATE chat_messages SET deleted_at = now() WHERE log_offset = 2")
    world.hub.remote_entries(room.id, [logged[2]])
    await eventually(lambda: room.offset == 3)
    assert seen(room, transport) == [(1, "0"), (3, "2")]


async def test_a_room_is_opened_once_for_all_who_come_at_a_time(world: World):
    rooms = await asyncio.gather(*(world.hub.open(world.room_id) for _ in range(5)))
    assert len({id(room) for room in rooms}) == 1
    with pytest.raises(Refusal, match="room_not_found"):
        await world.hub.open(new_id())


async def test_an_opened_room_knows_what_was_said_before(world: World):
    logged = await world.stored(*(world.message(str(n)) for n in range(5)))
    room = await world.hub.open(world.room_id)
    assert room.offset == logged[-1].offset
    assert len(room.ring.since(0) or ()) == 5


async def test_an_opened_room_has_what_was_pinned_after_another_was_not_any_more(world: World):
    moderation = Moderation(world.database, world.hub)
    first, second = await world.stored(world.message("first"), world.message("second"))
    assert isinstance(first.entry, NewMessage)
    assert isinstance(second.entry, NewMessage)
    await moderation.pin(world.owner, world.room_id, first.entry.id)
    await moderation.pin(world.owner, world.room_id, None)
    await moderation.pin(world.owner, world.room_id, second.entry.id)
    room = await world.hub.open(world.room_id)
    assert room.pinned is not None
    assert room.pinned.id == second.entry.id


async def test_a_room_is_not_forgotten_while_somebody_enters(world: World):
    room = await world.hub.open(world.room_id)
    room.empty_since = asyncio.get_running_loop().time() - 1000
    assert await world.hub.open(world.room_id) is room
    await world.hub.tick(asyncio.get_running_loop().time())
    assert world.hub.find(room.id) is room


async def test_an_empty_room_is_forgotten_after_a_while(world: World):
    room, connection, _ = await world.enter()
    now = asyncio.get_running_loop().time()
    await world.hub.tick(now + 1000)
    assert world.hub.find(room.id) is room
    world.attendance.leave(room, connection, is_silent=False)
    await world.hub.tick(now + 1)
    assert world.hub.find(room.id) is room
    await world.hub.tick(now + 1000)
    assert world.hub.find(room.id) is None


async def test_many_rooms_do_not_hold_up_others(world: World):
    """Each second, all rooms are looked at."""
    await world.enter()
    state = await ChatRooms(world.database).state(world.room_id)
    assert state is not None
    for _ in range(10 * ROOMS_AT_ONCE):
        room = Room(replace(state, room_id=new_id()), CompiledTerms.build(()), Ticker())
        world.hub._rooms[room.id] = room
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    taking = asyncio.create_task(take_turns())
    await world.hub.tick(asyncio.get_running_loop().time())
    taking.cancel()
    assert turns >= 10


async def test_the_relay_does_not_listen_for_a_room_that_could_not_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    heard: list[UUID] = []
    monkeypatch.setattr(world.hub._relay, "opened", heard.append)
    monkeypatch.setattr(world.hub._relay, "closed", heard.remove)
    with pytest.raises(Refusal):
        await world.hub.open(new_id())
    with monkeypatch.context() as patch, pytest.raises(DatabaseUnavailable):
        patch.setattr(ChatLog, "since", AsyncMock(side_effect=DatabaseUnavailable("gone")))
        await world.hub.open(world.room_id)
    assert heard == []
    await world.hub.open(world.room_id)
    assert heard == [world.room_id]


async def test_what_is_missed_while_the_log_is_read_is_read_too(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    room, _, transport = await world.enter()
    await world.stored(world.message("0"))
    read = ChatLog.since

    async def read_and_miss_another(log: ChatLog, room_id: UUID, offset: int, limit: int) -> Any:
        entries = await read(log, room_id, offset, limit)
        if offset == 0:
            await world.stored(world.message("1"))
            world.hub._catch_up(room)
        return entries

    monkeypatch.setattr(ChatLog, "since", read_and_miss_another)
    world.hub.missed()
    await eventually(lambda: room.offset == 2)
    assert seen(room, transport) == [(1, "0"), (2, "1")]


async def test_moderation_takes_effect_where_the_entry_is_delivered(world: World):
    room, _, _ = await world.enter()
    moderation = Moderation(world.database, world.hub)
    settings = replace(ChatSettings(), slow_mode_seconds=30)
    await moderation.change_settings(world.owner, room.id, settings)
    assert room.settings == settings
    [logged] = await world.stored(world.message("bad"))
    world.hub.logged([logged])
    assert isinstance(logged.entry, NewMessage)
    await moderation.pin(world.owner, room.id, logged.entry.id)
    await eventually(lambda: room.pinned is not None)
    await moderation.delete_message(world.owner, room.id, logged.entry.id)
    assert room.pinned is None
    assert room.ring.find(logged.entry.id) is None


async def test_new_terms_are_read_when_they_are_heard_of(world: World):
    room, _, _ = await world.enter()
    terms = [BlockedTerm("darn", False, TermAction.REFUSE)]
    before = room.terms
    await Moderation(world.database, world.hub).replace_blocked_terms(world.owner, room.id, terms)
    await eventually(lambda: room.terms is not before)
    assert await room.terms.match("darn it") is not None


async def test_terms_that_take_long_do_not_take_the_place_of_newer_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    room, _, _ = await world.enter()
    moderation, load = Moderation(world.database, world.hub), CompiledTerms.load
    may_go_on, ended = asyncio.Event(), asyncio.Event()

    async def load_slowly(terms: Sequence[BlockedTerm]) -> CompiledTerms:
        compiled = await load(terms)
        if [term.text for term in terms] == ["first"]:
            await may_go_on.wait()
            ended.set()
        return compiled

    monkeypatch.setattr(CompiledTerms, "load", load_slowly)
    for word in ("first", "second"):
        await moderation.replace_blocked_terms(
            world.owner, room.id, [BlockedTerm(word, False, TermAction.REFUSE)]
        )
    await eventually(lambda: room.terms.match_now("second") is not None)
    may_go_on.set()
    await ended.wait()
    assert room.terms.match_now("second") is not None


@pytest.mark.parametrize("is_cleared", [False, True])
async def test_a_message_that_went_while_it_was_read_is_not_pinned(
    world: World, monkeypatch: pytest.MonkeyPatch, is_cleared: bool
):
    room, _, _ = await world.enter()
    moderation, read = Moderation(world.database, world.hub), ChatRooms.state
    [logged] = await world.stored(world.message("bad"))
    world.hub.logged([logged])
    assert isinstance(logged.entry, NewMessage)
    message_id, has_read = logged.entry.id, asyncio.Event()

    async def read_and_lose_it(rooms: ChatRooms, room_id: UUID) -> Any:
        state = await read(rooms, room_id)
        if not has_read.is_set():
            has_read.set()
            if is_cleared:
                await moderation.clear(world.owner, room.id)
            else:
                await moderation.delete_message(world.owner, room.id, message_id)
        else:
            is_over.set()
        return state

    is_over = asyncio.Event()
    monkeypatch.setattr(ChatRooms, "state", read_and_lose_it)
    await moderation.pin(world.owner, room.id, message_id)
    async with asyncio.timeout(10):
        await is_over.wait()
    assert room.pinned is None


async def test_what_another_version_wrote_is_passed_on_without_effect(world: World):
    room, _, _ = await world.enter()
    entries = await world.stored(NewEvent(room.id, "settings-changed", {"settings": 1}, datetime.now(UTC)))
    world.hub.logged(entries)
    assert (room.offset, room.settings) == (1, ChatSettings())


async def test_coming_and_going_is_told_to_the_others(world: World):
    room, _, transport = await world.enter("first")
    room, second, _ = await world.enter("second")
    room.fanout.flush()
    assert b"viewer-joined" in transport.written
    assert b"second" in transport.written
    world.attendance.leave(room, second, is_silent=False)
    room.fanout.flush()
    assert b"viewer-left" in transport.written
