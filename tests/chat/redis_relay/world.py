"""What the tests of the relay share: entries, and a sink that remembers."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from chat.presence import Person, Presence
from storage.repositories.chat_log import LoggedEntry, Mention, NewEvent, NewMessage

ROOM, OTHER_ROOM = UUID(int=1), UUID(int=2)
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SOMEBODY = Presence(1, 2, (Person("ann", UUID(int=11)),), frozenset({UUID(int=12)}))


def message(offset: int, room_id: UUID = ROOM, text: str = "hello") -> LoggedEntry:
    mentions = (Mention(UUID(int=8), "bob"),)
    return LoggedEntry(
        offset,
        NewMessage(
            UUID(int=offset + 100),
            room_id,
            UUID(int=7),
            "ann",
            "Ann",
            "owner",
            text,
            UUID(int=9),
            mentions,
            WHEN,
        ),
    )


def event(offset: int, room_id: UUID = ROOM) -> LoggedEntry:
    data = {"userId": str(UUID(int=7)), "coins": 3, "nested": {"list": [1, None, True, "ü"]}}
    return LoggedEntry(offset, NewEvent(room_id, "gift", data, WHEN))


class Memory:
    """A RelaySink."""

    def __init__(self) -> None:
        self.entries: list[LoggedEntry] = []
        self.rooms: list[UUID] = []
        self.bursts: list[tuple[UUID, Mapping[str, int]]] = []
        self.typing: list[tuple[UUID, Mapping[UUID, str]]] = []
        self.presences: list[tuple[UUID, str, Presence]] = []
        self.missed_count = 0

    @property
    def offsets(self) -> list[int]:
        return [logged.offset for logged in self.entries]

    def present(self, room_id: UUID = ROOM) -> dict[str, Presence]:
        """Where somebody is, as was last heard."""
        last = {node: presence for room, node, presence in self.presences if room == room_id}
        return {node: presence for node, presence in last.items() if not presence.is_empty}

    def remote_entries(self, room_id: UUID, entries: Sequence[LoggedEntry]) -> None:
        self.rooms.append(room_id)
        self.entries += entries

    def remote_burst(self, room_id: UUID, reactions: Mapping[str, int]) -> None:
        self.bursts.append((room_id, reactions))

    def remote_typing(self, room_id: UUID, people: Mapping[UUID, str]) -> None:
        self.typing.append((room_id, people))

    def remote_presence(self, room_id: UUID, node: str, presence: Presence) -> None:
        self.presences.append((room_id, node, presence))

    def missed(self) -> None:
        self.missed_count += 1
