"""Who is in a room, on this node and on the others, and when that is told.

The rule. On each node: viewers = signed-in watchers and chatters, each person once, however many connections;
and the larger of anonymous watchers and anonymous chatters, since who watches mostly has the chat beside it.
Over the nodes: each signed-in person once, as far as nodes tell who is there, and the sum of everything else.

Pure: no I/O, no clock. Anonymous visitors cost a counter.
"""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from chat.ports import Watchers

SMALL_ROOM: Final = 100
"""From so many viewers on, nobody is told who comes and goes, only how many there are."""
MAX_TOLD: Final = 1000
"""With more signed-in viewers, a node tells the others only how many they are."""


class Person(NamedTuple):
    """Sorts as people are listed; also the cursor of a page."""

    username: str
    user_id: UUID


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """Somebody signed in came who was on no node, or left the last."""

    has_joined: bool
    user_id: UUID
    username: str


@dataclass(frozen=True, slots=True)
class Presence:
    """What one node tells of a room. Nobody: ``Presence()``."""

    signed_in: int = 0
    anonymous: int = 0
    people: tuple[Person, ...] = ()
    """Chatters who have signed in, in their order."""
    watchers: frozenset[UUID] = frozenset()
    """Who has signed in and only watches."""
    tells_who: bool = True
    """False when they are too many: ``people`` and ``watchers`` are empty, ``signed_in`` is not."""

    @property
    def is_empty(self) -> bool:
        return not self.signed_in and not self.anonymous


class RoomPresence:
    """``known_count`` is what was last counted, on demand or by ``take_count``."""

    def __init__(self) -> None:
        self._connections: dict[UUID, int] = {}
        self._names: dict[UUID, str] = {}
        self._order: list[Person] = []
        self._anonymous = 0
        self._nodes: dict[str, _Node] = {}
        self._told = 0
        self.known_count = 0

    # Coming and going

    def enter(self, user_id: UUID | None, username: str = "") -> PresenceChange | None:
        """One more connection, of nobody in particular if ``user_id`` is None."""
        if user_id is None:
            self._anonymous += 1
            return None
        connections = self._connections.get(user_id, 0)
        self._connections[user_id] = connections + 1
        if connections:
            self._rename(user_id, username)
            return None
        self._names[user_id] = username
        insort(self._order, Person(username, user_id))
        return None if self._is_elsewhere(user_id) else PresenceChange(True, user_id, username)

    def leave(self, user_id: UUID | None) -> PresenceChange | None:
        """One connection less. Leaving where one is not changes nothing."""
        if user_id is None:
            self._anonymous = max(0, self._anonymous - 1)
            return None
        connections = self._connections.get(user_id, 0)
        if connections > 1:
            self._connections[user_id] = connections - 1
        if connections != 1:
            return None
        del self._connections[user_id]
        username = self._names.pop(user_id)
        self._remove(Person(username, user_id))
        return None if self._is_elsewhere(user_id) else PresenceChange(False, user_id, username)

    def remote(self, node: str, presence: Presence) -> list[PresenceChange]:
        """What another node tells now; ``Presence()`` when nobody is there any more, or the node is gone."""
        before = self._nodes.pop(node, _NO_NODE)
        after = _Node(presence)
        left = self._nowhere(each for each in before.people if after.ids.get(each.user_id) is None)
        joined = self._nowhere(each for each in after.people if before.ids.get(each.user_id) is None)
        if not presence.is_empty:
            self._nodes[node] = after
        if not (before.presence.tells_who and presence.tells_who):
            # Who is not named any more may still be there.
            return []
        return [PresenceChange(False, each.user_id, each.username) for each in left] + [
            PresenceChange(True, each.user_id, each.username) for each in joined
        ]

    # How many

    def count(self, watchers: Watchers) -> int:
        """Viewers on all nodes; ``watchers`` are this node's."""
        nodes = self._nodes.values()
        signed_in = watchers.user_ids.union(self._connections, *(node.ids for node in nodes))
        others = sum(node.presence.anonymous for node in nodes)
        others += sum(node.presence.signed_in for node in nodes if not node.presence.tells_who)
        self.known_count = len(signed_in) + max(watchers.anonymous, self._anonymous) + others
        return self.known_count

    def count_to_show(self, watchers: Watchers) -> int:
        """For who just comes: exact in a small room, as of the last second in a large one."""
        return self.known_count if self._is_large() else self.count(watchers)

    def count_to_announce(self, watchers: Watchers) -> int | None:
        """What a viewer-joined or viewer-left frame says; None: the room is large, so send no such frame."""
        if self._is_large() or self.count(watchers) >= SMALL_ROOM:
            return None
        self._told = self.known_count
        return self.known_count

    def take_count(self, watchers: Watchers) -> int | None:
        """Once a second: what a viewer-count frame says; None if all have been told that already."""
        count = self.count(watchers)
        if count == self._told:
            return None
        self._told = count
        return count

    # Who

    def own(self, watchers: Watchers) -> Presence:
        """What this node tells the others."""
        only_watching = watchers.user_ids.difference(self._connections)
        signed_in = len(only_watching) + len(self._order)
        anonymous = max(watchers.anonymous, self._anonymous)
        if signed_in > MAX_TOLD:
            return Presence(signed_in, anonymous, tells_who=False)
        return Presence(signed_in, anonymous, tuple(self._order), only_watching)

    def people(self, after: Person | None, limit: int) -> list[Person]:
        """Signed-in people in the chat, ordered by name and id; of nodes that do not tell who, none."""
        start = 0 if after is None else bisect_right(self._order, after)
        pages: list[Sequence[Person]] = [self._order[start : start + limit]]
        pages += [node.people[_place(node.people, after) :] for node in self._nodes.values()]
        found: dict[UUID, Person] = {}
        for person in heapq.merge(*pages):
            if len(found) >= limit:
                break
            if person == self._listed(person.user_id):
                found[person.user_id] = person
        return list(found.values())

    def _is_large(self) -> bool:
        """Without counting: everybody who comes into a large room would have everybody counted."""
        return max(self.known_count, len(self._order), self._anonymous) >= SMALL_ROOM

    def _listed(self, user_id: UUID) -> Person | None:
        """The one entry under which somebody is listed, though nodes may know them by different names."""
        username = self._names.get(user_id)
        if username is not None:
            return Person(username, user_id)
        named = (node.ids.get(user_id) for node in self._nodes.values())
        return next((person for person in named if person is not None), None)

    def _nowhere(self, people: Iterable[Person]) -> list[Person]:
        return [
            each
            for each in people
            if each.user_id not in self._connections and not self._is_elsewhere(each.user_id)
        ]

    def _is_elsewhere(self, user_id: UUID) -> bool:
        """In the chat on another node; who only watches there has not joined."""
        return any(node.ids.get(user_id) is not None for node in self._nodes.values())

    def _rename(self, user_id: UUID, username: str) -> None:
        before = self._names[user_id]
        if username != before:
            self._remove(Person(before, user_id))
            self._names[user_id] = username
            insort(self._order, Person(username, user_id))

    def _remove(self, person: Person) -> None:
        del self._order[bisect_left(self._order, person)]


class _Node:
    """What another node told last, made ready to ask."""

    __slots__ = ("ids", "people", "presence")

    def __init__(self, presence: Presence) -> None:
        self.presence = presence
        self.people = sorted(presence.people)
        self.ids: dict[UUID, Person | None] = dict.fromkeys(presence.watchers)
        """Everybody who was named; None for who only watches."""
        self.ids.update((each.user_id, each) for each in self.people)


_NO_NODE: Final = _Node(Presence())


def _place(people: Sequence[Person], after: Person | None) -> int:
    return 0 if after is None else bisect_right(people, after)
