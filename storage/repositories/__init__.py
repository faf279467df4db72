"""One class per table or group of tables: plain SQL in, frozen dataclasses out."""

from storage.repositories.broadcasts import Broadcast, Broadcasts, LiveFigures
from storage.repositories.rooms import Room, Rooms, Visibility
from storage.repositories.stream_keys import KeyState, StreamKeys
from storage.repositories.users import Role, User, Users, UserState

__all__ = [
    "Broadcast",
    "Broadcasts",
    "KeyState",
    "LiveFigures",
    "Role",
    "Room",
    "Rooms",
    "StreamKeys",
    "User",
    "UserState",
    "Users",
    "Visibility",
]
