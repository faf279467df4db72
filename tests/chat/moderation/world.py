"""A room with people of every kind, and a sink that remembers what it was told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chat.moderation.service import Moderation
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Role, Rooms, Users
from storage.repositories.audit import AuditEntry, AuditFilter, AuditLog
from storage.repositories.chat_log import ChatLog, LoggedEntry, NewEvent, NewMessage
from storage.repositories.chat_messages import ChatMessages, MessageState
from storage.repositories.chat_people import ChatPeople, RoomPerson

PEOPLE = {
    "owner": Role.USER,
    "moderator": Role.USER,
    "colleague": Role.USER,
    "alice": Role.USER,
    "staff": Role.MODERATOR,
    "admin": Role.ADMIN,
}


@dataclass
class FakeSink:
    entries: list[LoggedEntry] = field(default_factory=list)

    def logged(self, entries: Sequence[LoggedEntry]) -> None:
        self.entries.extend(entries)

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (logged.entry.kind, dict(logged.entry.data))
            for logged in self.entries
            if isinstance(logged.entry, NewEvent)
        ]


@dataclass
class World:
    """``moderator`` and ``colleague`` moderate the room of ``owner``; ``alice`` only writes."""

    database: Database
    room: UUID
    ids: dict[str, UUID]
    sink: FakeSink
    moderation: Moderation

    def message(self, author: str, text: str = "hello") -> NewMessage:
        return NewMessage(
            new_id(), self.room, self.ids[author], author, author, None, text, None, (), datetime.now(UTC)
        )

    async def say(self, author: str, text: str = "hello") -> UUID:
        message = self.message(author, text)
        assert await ChatLog(self.database).append([message]) != [None]
        return message.id

    async def hold(self, author: str, text: str = "hello") -> UUID:
        message = self.message(author, text)
        await ChatMessages(self.database).add(message, MessageState.HELD, "link")
        return message.id

    async def person(self, name: str) -> RoomPerson:
        person = await ChatPeople(self.database).person(self.room, self.ids[name])
        assert person is not None
        return person

    async def logged(self) -> list[LoggedEntry]:
        return await ChatLog(self.database).since(self.room, 0, 1000)

    async def audited(self) -> list[AuditEntry]:
        return (await AuditLog(self.database).list(AuditFilter(), limit=1000))[::-1]


async def make_world(database: Database) -> World:
    users = Users(database)
    ids = {
        name: (await users.add(name, f"{name}@example.com", "hash", role)).id for name, role in PEOPLE.items()
    }
    room = await Rooms(database).add(ids["owner"], "Room", None)
    for name in ("moderator", "colleague"):
        await ChatPeople(database).add_moderator(room, ids[name], ids["owner"])
    sink = FakeSink()
    return World(database, room, ids, sink, Moderation(database, sink))
