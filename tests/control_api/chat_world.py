"""The chat's surface behind the real dispatcher, with the real moderation and a presence that tests play."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chat.moderation.service import Moderation
from control_api.ports import Chatter
from control_api.routes.chat import ChatRoutes
from control_api.routes.chat_moderation import ChatModerationRoutes
from control_api.services.chat import ChatModerationService, ChatService
from control_api.services.chat_tickets import ChatTickets
from control_api.services.playback import PlaybackAccess
from mediaserver.chat_api_ports import ApiModeration
from storage.database import Database
from storage.ids import new_id
from storage.repositories import Role, Rooms, User, Users, Visibility
from storage.repositories.chat_log import ChatLog, LoggedEntry, NewEvent, NewMessage
from storage.repositories.chat_messages import ChatMessages, MessageState
from storage.shared_state import LocalState
from tests.control_api.rooms_world import Nouns
from tests.control_api.sample import Sample
from tests.control_api.serving import serve

ROLES = {"alice": Role.USER, "bob": Role.USER, "carol": Role.USER, "mod": Role.MODERATOR, "admin": Role.ADMIN}


@dataclass
class Sink:
    """Implements chat.moderation.deeds.ModerationSink."""

    entries: list[LoggedEntry] = field(default_factory=list)

    def logged(self, entries: Sequence[LoggedEntry]) -> None:
        self.entries.extend(entries)

    @property
    def kinds(self) -> list[str]:
        entries = [each.entry for each in self.entries]
        return [each.kind if isinstance(each, NewEvent) else "new-message" for each in entries]


@dataclass
class Crowd:
    """Implements ChatPresence."""

    chatters: list[Chatter] = field(default_factory=list)

    async def people(self, room_id: UUID, after: Chatter | None, limit: int) -> list[Chatter]:
        listed = sorted(self.chatters, key=_place)
        return [each for each in listed if after is None or _place(each) > _place(after)][:limit]


def _place(chatter: Chatter) -> tuple[str, UUID]:
    return chatter.username, chatter.user_id


@dataclass
class ChatWorld:
    """A room of alice's, ``kitchen``. ``mod`` and ``admin`` have the roles of their names on the server."""

    database: Database
    users: Mapping[str, User]
    room: UUID
    api: Sample
    sink: Sink
    crowd: Crowd
    tickets: ChatTickets

    def id(self, name: str) -> str:
        return str(self.users[name].id)

    async def call(self, method: str, path: str, user: str | None = None, **options: Any) -> tuple[int, Any]:
        """(status, data), or (status, code) of what is refused. ``path`` is below the room."""
        status, body, _ = await self.api.call(method, f"/rooms/{self.room}{path}", user, **options)
        return status, body["data"] if body["success"] else body["code"]

    async def ok(self, method: str, path: str, user: str | None = "alice", **options: Any) -> Any:
        status, data = await self.call(method, path, user, **options)
        assert status in (200, 201), data
        return data

    async def page(self, path: str, user: str | None = "alice") -> tuple[list[Any], str | None]:
        status, body, _ = await self.api.call("GET", f"/rooms/{self.room}{path}", user)
        assert status == 200, body
        return body["data"], body["meta"]["nextCursor"]

    async def fields(self, method: str, path: str, user: str | None = "alice", **options: Any) -> list[str]:
        """The fields that a 400 names."""
        status, body, _ = await self.api.call(method, f"/rooms/{self.room}{path}", user, **options)
        assert status == 400, body
        return [detail["field"] for detail in body["details"]]

    async def say(self, text: str, name: str = "bob") -> str:
        """The id of a message that is shown."""
        message = self._message(text, name)
        await ChatLog(self.database).append([message])
        return str(message.id)

    async def hold(self, text: str, name: str = "bob", reason: str = "link") -> str:
        message = self._message(text, name)
        await ChatMessages(self.database).add(message, MessageState.HELD, reason)
        return str(message.id)

    async def shown(self) -> list[str]:
        return [message["message"] for message in (await self.page("/messages"))[0]]

    async def make_moderator(self, name: str) -> None:
        await self.ok("PUT", f"/moderators/{self.id(name)}")

    async def show_to(self, visibility: Visibility) -> None:
        await Rooms(self.database).set_visibility(self.room, visibility)

    async def audited(self) -> list[tuple[str, str]]:
        """Actions, and where they were asked for."""
        rows = await self.database.fetch("SELECT action, address FROM audit_log ORDER BY id")
        return [tuple(row) for row in rows]

    def _message(self, text: str, name: str) -> NewMessage:
        user = self.users[name]
        return NewMessage(
            new_id(),
            self.room,
            user.id,
            user.username,
            user.display_name,
            None,
            text,
            None,
            (),
            datetime.now(UTC),
        )


async def chat_world(database: Database, aiohttp_client: Callable[..., Awaitable[Any]]) -> ChatWorld:
    users = {
        name: await Users(database).add(name, f"{name}@example.com", "hash", role)
        for name, role in ROLES.items()
    }
    room = await Rooms(database).add(users["alice"].id, "A room", "kitchen")
    sink, crowd, tickets = Sink(), Crowd(), ChatTickets(LocalState())
    moderation = ApiModeration(Moderation(database, sink), database)
    access = PlaybackAccess(database)
    nouns = Nouns(
        ChatRoutes(ChatService(database, access, moderation, crowd), tickets),
        ChatModerationRoutes(ChatModerationService(database, access, moderation), moderation),
    )
    api = await serve(nouns, database, aiohttp_client, *users.values())
    return ChatWorld(database, users, room, api, sink, crowd, tickets)
