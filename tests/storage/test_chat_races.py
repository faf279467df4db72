"""Everybody does everything to the same few rooms at once: nobody waits for ever, every log stays whole."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from storage.database import Database, PoolOptions, Transaction
from storage.errors import InvalidValue
from storage.ids import new_id
from storage.repositories import Rooms
from storage.repositories.account_data import AccountData
from storage.repositories.blocked_terms import BlockedTerm, BlockedTerms, TermAction
from storage.repositories.chat_log import ChatLog
from storage.repositories.chat_messages import ChatMessages, MessageState
from storage.repositories.chat_people import ChatPeople
from storage.repositories.chat_rooms import ChatRooms, ChatSettings
from tests.storage.chat_world import add_user, event, message

OWNERS = 4
VISITORS = 4
ROOMS = 6
WORKERS = 12
ROUNDS = 30


@dataclass
class Crowd:
    database: Database
    owners: list[UUID]
    visitors: list[UUID]
    dice: random.Random
    rooms: list[UUID] = field(default_factory=list)
    said: list[tuple[UUID, UUID]] = field(default_factory=list)

    async def open_room(self, number: int) -> None:
        owner = self.owners[number % OWNERS]
        self.rooms[number : number + 1] = [await Rooms(self.database).add(owner, "Room", None)]

    async def act(self) -> None:
        acts: tuple[Callable[[], Awaitable[object]], ...] = (
            self.speak,
            self.moderate,
            self.review,
            self.leave,
        )
        (act,) = self.dice.choices(acts, weights=(40, 45, 10, 5))
        # A room or a message that somebody else has just removed is no fault.
        try:
            await act()
        except InvalidValue as error:
            assert error.constraint.endswith(("_room_known", "_pinned_known"))

    async def speak(self) -> None:
        users = self.owners + self.visitors
        batch = [
            message(self.dice.choice(self.rooms), user_id=self.dice.choice(users))
            for _ in range(self.dice.randrange(1, 12))
        ]
        self.said.extend((entry.room_id, entry.id) for entry in batch[:2])
        await ChatLog(self.database).append(batch)

    async def moderate(self) -> None:
        room, said = self.dice.choice(self.said[-100:] or [(self.rooms[0], new_id())])
        by, visitor = self.owners[0], self.dice.choice(self.visitors)
        until = datetime.now(UTC) + timedelta(minutes=1)
        actions: tuple[Callable[[Transaction], Awaitable[object]], ...] = (
            lambda own: ChatMessages(own).delete(room, said, by),
            lambda own: ChatMessages(own).clear(room, by),
            lambda own: ChatPeople(own).ban(room, visitor, by, until),
            lambda own: ChatPeople(own).unban(room, visitor),
            lambda own: ChatPeople(own).add_moderator(room, visitor, by),
            lambda own: ChatPeople(own).remove_moderator(room, visitor),
            lambda own: ChatRooms(own).save_settings(room, ChatSettings(slow_mode_seconds=3)),
            lambda own: ChatRooms(own).pin(room, said),
            lambda own: BlockedTerms(own).replace(room, [BlockedTerm("x", False, TermAction.HOLD)]),
        )
        async with self.database.transaction() as own:
            await self.dice.choice(actions)(own)
            await ChatLog(own).append([event(room)])

    async def review(self) -> None:
        held = message(self.dice.choice(self.rooms), user_id=self.dice.choice(self.visitors))
        await ChatMessages(self.database).add(held, MessageState.HELD)
        async with self.database.transaction() as own:
            if await ChatMessages(own).take_held(held.room_id, held.id):
                offset = await ChatLog(own).reserve(held.room_id)
                assert offset is not None and await ChatMessages(own).allow(held.id, offset)

    async def leave(self) -> None:
        number = self.dice.randrange(ROOMS)
        if self.dice.random() < 0.5:
            room = self.rooms[number]
            await self.open_room(number)
            await Rooms(self.database).delete(room)
            return
        async with self.database.transaction() as own:
            await AccountData(own).remove(self.dice.choice(self.owners + self.visitors))
        for number in range(ROOMS):
            await self.open_room(number)


@pytest.fixture
async def crowd(database_url: str) -> AsyncIterator[Crowd]:
    async with Database(database_url, PoolOptions(size=WORKERS)) as database:
        people = [(await add_user(database, f"user{n}")).id for n in range(OWNERS + VISITORS)]
        crowd = Crowd(database, people[:OWNERS], people[OWNERS:], random.Random(5))
        for number in range(ROOMS):
            await crowd.open_room(number)
        yield crowd


async def test_nobody_waits_for_ever_and_every_log_stays_whole(crowd: Crowd) -> None:
    async def work() -> None:
        for _ in range(ROUNDS):
            await crowd.act()

    await asyncio.gather(*(work() for _ in range(WORKERS)))
    rows = await crowd.database.fetch(
        """SELECT chat_rooms.room_id, last_offset, array_agg(log_offset ORDER BY log_offset) AS offsets
           FROM chat_rooms JOIN rooms ON rooms.id = chat_rooms.room_id
           JOIN (SELECT room_id, log_offset FROM chat_messages WHERE log_offset IS NOT NULL
                 UNION ALL SELECT room_id, log_offset FROM chat_events) AS entries USING (room_id)
           GROUP BY chat_rooms.room_id"""
    )
    assert rows
    for row in rows:
        assert row["offsets"] == list(range(1, row["last_offset"] + 1))
    left = "SELECT count(*) FROM chat_rooms WHERE room_id NOT IN (SELECT id FROM rooms)"
    assert await crowd.database.fetch_value(left) == 0
