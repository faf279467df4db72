"""People, rooms and messages for the tests of the chat's storage."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from storage.database import Database
from storage.ids import new_id
from storage.repositories import Rooms, User, Users
from storage.repositories.chat_log import ChatLog, LoggedEntry, NewEvent, NewMessage

_WAITING = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'"""
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
TEXTS_POSTGRESQL_CANNOT_HOLD = ("a\0b", "\0", "close \ud800", "\udfff")


async def add_user(database: Database, name: str) -> User:
    return await Users(database).add(name, f"{name}@example.com", "hash")


async def add_room(database: Database, owner: str = "owner") -> UUID:
    users = Users(database)
    user = await users.find_by_name(owner) or await add_user(database, owner)
    return await Rooms(database).add(user.id, "Room", None)


def message(room_id: UUID, text: str = "hello", **changes: Any) -> NewMessage:
    plain = NewMessage(new_id(), room_id, UUID(int=7), "alice", "Alice", None, text, None, (), NOW)
    return replace(plain, **changes)


def event(room_id: UUID, kind: str = "follow", data: Mapping[str, Any] | None = None) -> NewEvent:
    return NewEvent(room_id, kind, data or {}, NOW)


async def say(database: Database, room_id: UUID, *texts: str) -> list[NewMessage]:
    messages = [message(room_id, text) for text in texts]
    await ChatLog(database).append(messages)
    return messages


def texts(entries: list[LoggedEntry]) -> list[str]:
    """What was said, or the kind of what happened."""
    return [e.entry.message if isinstance(e.entry, NewMessage) else e.entry.kind for e in entries]


async def offset_of(database: Database, room_id: UUID) -> int:
    position = await ChatLog(database).position(room_id)
    assert position is not None
    return position.offset


async def until_somebody_waits(database: Database, count: int = 1) -> None:
    """Return when ``count`` commands wait for another transaction."""
    async with asyncio.timeout(10):
        while await database.fetch_value(_WAITING) < count:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.005)
