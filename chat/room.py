"""A room that somebody is in, on this node: what holds in it now, and who is there."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final
from uuid import UUID

from chat.bodies import message_body, settings_body
from chat.connection import Connection
from chat.fanout import Fanout, Ticker
from chat.moderation.recent import Recent
from chat.moderation.rules import is_staff
from chat.moderation.terms import CompiledTerms
from chat.ordering import Arrivals
from chat.ports import Visit
from chat.presence import RoomPresence
from chat.protocol.frames import MessageBody, Outgoing, ServerBody, SettingsBody
from chat.ring import Ring
from storage.repositories.chat_messages import StoredMessage
from storage.repositories.chat_people import RoomPerson
from storage.repositories.chat_rooms import ChatRoomState, ChatSettings

MAX_PEOPLE: Final = 5_000
"""So many of those who spoke last are known without asking the database."""
MAX_BURST: Final = 32
"""Different reactions in one burst; more are not counted."""

SUBSCRIBER: Final = "subscriber"
"""The badge of who is nothing else in the room."""


class Role(Enum):
    """What somebody is in a room; the value is what clients see."""

    OWNER = "owner"
    STAFF = "staff"
    MODERATOR = "moderator"
    MEMBER = "member"
    ANONYMOUS = "anonymous"

    @property
    def is_moderator(self) -> bool:
        return self in _MODERATORS


_MODERATORS: Final = frozenset((Role.OWNER, Role.STAFF, Role.MODERATOR))


def role_of(person: RoomPerson | None) -> Role:
    if person is None:
        return Role.ANONYMOUS
    if person.is_owner:
        return Role.OWNER
    if is_staff(person):
        return Role.STAFF
    return Role.MODERATOR if person.is_moderator else Role.MEMBER


def badge_of(person: RoomPerson) -> str | None:
    """What stands beside the person's name."""
    role = role_of(person)
    if role.is_moderator:
        return role.value
    return SUBSCRIBER if person.is_subscriber else None


@dataclass(slots=True)
class Visitor:
    """One connection's stay in the room."""

    visit: Visit
    role: Role


@dataclass(slots=True)
class Bustle:
    """What is gathered on this node until it is told: reactions, and who is writing."""

    reactions: dict[str, int] = field(default_factory=dict)
    typing: dict[UUID, str] = field(default_factory=dict)

    def react(self, reaction: str, count: int = 1) -> None:
        if reaction in self.reactions or len(self.reactions) < MAX_BURST:
            self.reactions[reaction] = self.reactions.get(reaction, 0) + count

    def take_reactions(self) -> dict[str, int]:
        taken, self.reactions = self.reactions, {}
        return taken

    def take_typing(self) -> dict[UUID, str]:
        taken, self.typing = self.typing, {}
        return taken


class Room:
    """``terms`` are compiled of the room's blocked terms. Everything here is synchronous."""

    def __init__(self, state: ChatRoomState, terms: CompiledTerms, ticker: Ticker) -> None:
        self.id: Final = state.room_id
        self.owner_id: Final = state.owner_id
        self.epoch: Final = state.position.epoch
        self.settings: ChatSettings = state.settings
        self.terms = terms
        self.pinned: MessageBody | None = None
        self.pin(state.pinned)
        self.arrivals: Final = Arrivals(state.position.offset)
        self.ring = Ring(state.position.offset)
        self.recent: Final = Recent()
        self.presence: Final = RoomPresence()
        self.fanout: Final = Fanout(ticker)
        self.visitors: Final[dict[Connection, Visitor]] = {}
        self.here: Final = Bustle()
        self.is_gathering = False
        self.empty_since: float | None = None
        self.people_changes = 0
        """Counts what may have changed about people: an answer of the database may be older than that."""
        self.pin_changes = 0
        """Counts what may have unpinned a message, for the same reason."""
        self.reloads = 0
        self._people: OrderedDict[UUID, RoomPerson] = OrderedDict()

    @property
    def offset(self) -> int:
        """Of the last entry that was delivered here."""
        return self.arrivals.offset

    @property
    def settings_body(self) -> SettingsBody:
        return settings_body(self.settings)

    def pin(self, message: StoredMessage | None) -> None:
        """As the database has it."""
        self.pinned = None
        if message is not None and message.offset is not None:
            self.pinned = message_body(message.offset, message.as_new())

    # Who is there

    def enter(self, connection: Connection, visitor: Visitor) -> None:
        self.fanout.join(connection)
        self.visitors[connection] = visitor
        self.empty_since = None

    def leave(self, connection: Connection) -> Visitor | None:
        self.fanout.leave(connection)
        return self.visitors.pop(connection, None)

    def connections_of(self, user_id: UUID) -> list[Connection]:
        return [
            connection
            for connection in self.visitors
            if connection.identity is not None and connection.identity.user_id == user_id
        ]

    # People, as the database knows them

    def known_person(self, user_id: UUID) -> RoomPerson | None:
        person = self._people.get(user_id)
        if person is not None:
            self._people.move_to_end(user_id)
        return person

    def remember(self, person: RoomPerson) -> None:
        self._people[person.user_id] = person
        self._people.move_to_end(person.user_id)
        if len(self._people) > MAX_PEOPLE:
            self._people.popitem(last=False)

    def forget_person(self, user_id: UUID) -> None:
        """Something about them changed; they are asked for anew when they next say something."""
        self.people_changes += 1
        self._people.pop(user_id, None)

    def forget_people(self) -> None:
        self.people_changes += 1
        self._people.clear()

    def messages_by(self, user_id: UUID) -> list[UUID]:
        """Those that are shown to who comes now."""
        found = self.ring.messages_by(user_id)
        if self.pinned is not None and self.pinned.user_id == user_id and self.pinned.id not in found:
            found.append(self.pinned.id)
        return found

    # Saying

    def say(self, kind: str, body: ServerBody | dict[str, Any]) -> None:
        """To everybody here, at the next tick."""
        self.fanout.say(Outgoing(kind, body))

    def say_to(self, connections: Iterable[Connection], kind: str, body: ServerBody | dict[str, Any]) -> None:
        frame = Outgoing(kind, body)
        for connection in connections:
            connection.write(frame.wire(connection.encoding))
