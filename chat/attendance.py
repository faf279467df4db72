"""Who is in the rooms, how lively they are, and what of it is told. None of it is in a room's log."""

import asyncio
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from chat.connection import Connection
from chat.ports import Audience, Identity
from chat.presence import Presence, PresenceChange
from chat.protocol.frames import Person, ReactionBurst, TypingNow, ViewerCount, ViewerMoved
from chat.relay import Relay
from chat.room import Room, Visitor

BURST_SECONDS: Final = 0.25
"""Reactions and typing are gathered for so long and then told at once."""
MOST_TYPING: Final = 5
"""So many are told to be writing; nobody reads a longer list."""


class Attendance:
    """Everything here is synchronous. ``tick`` is to be called once a second for each room."""

    def __init__(self, relay: Relay, audience: Audience) -> None:
        self._relay = relay
        self._audience = audience

    def enter(self, room: Room, connection: Connection, visitor: Visitor) -> None:
        """The visitor is told nothing of their own coming."""
        identity = connection.identity
        change = room.presence.enter(identity.user_id, identity.username) if identity else None
        if identity is None:
            room.presence.enter(None)
        self._tell(room, change)
        room.enter(connection, visitor)

    def leave(self, room: Room, connection: Connection, is_silent: bool) -> Visitor | None:
        """None for somebody who is not there. ``is_silent``: they come back at once."""
        visitor = room.leave(connection)
        if visitor is None:
            return None
        change = room.presence.leave(connection.identity.user_id if connection.identity else None)
        if not is_silent:
            self._tell(room, change)
        if not room.visitors:
            room.empty_since = asyncio.get_running_loop().time()
        return visitor

    def viewer_count(self, room: Room) -> int:
        """For who has just come."""
        return room.presence.count_to_show(self._audience.watchers(room.id))

    def tick(self, room: Room) -> None:
        watchers = self._audience.watchers(room.id)
        count = room.presence.take_count(watchers)
        if count is not None:
            room.say("viewer-count", ViewerCount(room.id, count))
        self._relay.presence(room.id, room.presence.own(watchers))

    def react(self, room: Room, reaction: str) -> None:
        room.here.react(reaction)
        self._gather(room)

    def type(self, room: Room, identity: Identity) -> None:
        room.here.typing[identity.user_id] = identity.username
        self._gather(room)

    # From other nodes

    def remote_presence(self, room: Room, node: str, presence: Presence) -> None:
        for change in room.presence.remote(node, presence):
            self._tell(room, change)

    def remote_burst(self, room: Room, reactions: Mapping[str, int]) -> None:
        room.say("reaction-burst", ReactionBurst(room.id, dict(reactions)))

    def remote_typing(self, room: Room, people: Mapping[UUID, str]) -> None:
        self._say_typing(room, people)

    def _tell(self, room: Room, change: PresenceChange | None) -> None:
        if change is None:
            return
        count = room.presence.count_to_announce(self._audience.watchers(room.id))
        if count is not None:
            kind = "viewer-joined" if change.has_joined else "viewer-left"
            room.say(kind, ViewerMoved(room.id, change.user_id, change.username, count))

    def _gather(self, room: Room) -> None:
        if not room.is_gathering:
            room.is_gathering = True
            asyncio.get_running_loop().call_later(BURST_SECONDS, self._say_gathered, room)

    def _say_gathered(self, room: Room) -> None:
        room.is_gathering = False
        reactions, typing = room.here.take_reactions(), room.here.take_typing()
        if reactions:
            room.say("reaction-burst", ReactionBurst(room.id, reactions))
            self._relay.burst(room.id, reactions)
        if typing:
            self._say_typing(room, typing)
            self._relay.typing(room.id, typing)

    def _say_typing(self, room: Room, people: Mapping[UUID, str]) -> None:
        shown = tuple(Person(user_id, username) for user_id, username in people.items())[:MOST_TYPING]
        room.say("typing", TypingNow(room.id, shown))
