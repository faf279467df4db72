"""How nodes tell each other what happens in the rooms they share.

The room's log in the database is the truth, and the relay only makes haste: whatever it loses is found there.
Reactions, typing and presence are not in the log; of these a lost one is not missed.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from chat.presence import Presence
from storage.repositories.chat_log import LoggedEntry


class RelaySink(Protocol):
    """What other nodes tell. Synchronous; only of rooms that are open here."""

    def remote_entries(self, room_id: UUID, entries: Sequence[LoggedEntry]) -> None:
        """Were committed on another node. May come twice, in another order, or not at all."""

    def remote_burst(self, room_id: UUID, reactions: Mapping[str, int]) -> None: ...

    def remote_typing(self, room_id: UUID, people: Mapping[UUID, str]) -> None: ...

    def remote_presence(self, room_id: UUID, node: str, presence: Presence) -> None:
        """Who is on ``node`` now; ``Presence()`` also when the node is gone."""

    def missed(self) -> None:
        """Entries may have been lost: catch up from the database, in every room."""


class Relay(Protocol):
    """Everything but ``run`` and ``close`` is synchronous and never waits."""

    async def run(self, sink: RelaySink) -> None:
        """Relay until cancelled."""

    async def close(self) -> None:
        """Send what waits, and say farewell. Call it when ``run`` has ended."""

    def opened(self, room_id: UUID) -> None:
        """Call it before the room is read from the database, so that nothing is missed in between."""

    def closed(self, room_id: UUID) -> None: ...

    def publish(self, entries: Sequence[LoggedEntry]) -> None:
        """Entries that were committed on this node."""

    def burst(self, room_id: UUID, reactions: Mapping[str, int]) -> None: ...

    def typing(self, room_id: UUID, people: Mapping[UUID, str]) -> None: ...

    def presence(self, room_id: UUID, presence: Presence) -> None:
        """Who is in an open room on this node: as often as one likes, it is told once a second if it changed.

        The first time, the sink is given what other nodes have told before.
        """

    async def elsewhere(self, room_id: UUID) -> Mapping[str, Presence]:
        """Who is in a room on other nodes, by their names, open here or not; as far as that can be known."""


class LocalRelay:
    """For a node that is alone."""

    async def run(self, sink: RelaySink) -> None:
        """There is nothing to do."""

    async def close(self) -> None: ...

    def opened(self, room_id: UUID) -> None: ...

    def closed(self, room_id: UUID) -> None: ...

    def publish(self, entries: Sequence[LoggedEntry]) -> None: ...

    def burst(self, room_id: UUID, reactions: Mapping[str, int]) -> None: ...

    def typing(self, room_id: UUID, people: Mapping[UUID, str]) -> None: ...

    def presence(self, room_id: UUID, presence: Presence) -> None: ...

    async def elsewhere(self, room_id: UUID) -> Mapping[str, Presence]:
        return {}
