"""Domain events: who causes something tells the bus, who cares has subscribed; neither knows the other.

Events are frozen dataclasses named in the past tense. A handler is called synchronously and must not block;
one that raises is logged and disturbs nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from pyee import EventEmitter

logger = structlog.get_logger("mediaserver.storage")


@dataclass(frozen=True, slots=True)
class StreamKeyRotated:
    """The room has another stream key than before, or its first one."""

    room_id: str


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """A room was made, or its slug, visibility or title is another one."""

    room_id: str


@dataclass(frozen=True, slots=True)
class RoomDeleted:
    room_id: str


@dataclass(frozen=True, slots=True)
class RoomOwnerChanged:
    """The owner's account was suspended, banned, deleted, or made active again (``is_active``)."""

    room_id: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class UserChanged:
    """A user's state or role is another one, or all of the user's sessions were revoked."""

    user_id: str


@dataclass(frozen=True, slots=True)
class UserFollowed:
    """``user_id`` has a new follower."""

    follower_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class RoomRelationChanged:
    """``user_id`` follows or left ``owner_id``, or was blocked or unblocked, so may see more or less."""

    user_id: str
    owner_id: str


@dataclass(frozen=True, slots=True)
class BroadcastStarted:
    room_id: str


@dataclass(frozen=True, slots=True)
class BroadcastEnded:
    room_id: str


@dataclass(frozen=True, slots=True)
class NotificationAdded:
    """Something for ``user_id`` to read; the row is in the database."""

    user_id: str
    notification_id: str


@dataclass(frozen=True, slots=True)
class ChangesMissed:
    """Nobody listened to the database for a while: any of the above may have happened unseen."""


Event = (
    StreamKeyRotated
    | RoomChanged
    | RoomDeleted
    | RoomOwnerChanged
    | UserChanged
    | UserFollowed
    | RoomRelationChanged
    | BroadcastStarted
    | BroadcastEnded
    | NotificationAdded
    | ChangesMissed
)
EventType = TypeVar("EventType", bound=Event)


class Bus:
    """Delivers each event to the handlers subscribed to its class, in the order of subscription."""

    def __init__(self) -> None:
        self._emitter = EventEmitter()

    def subscribe(self, kind: type[EventType], handler: Callable[[EventType], Any]) -> None:
        def guarded(event: EventType) -> None:
            try:
                handler(event)
            except Exception:
                logger.exception("event_handler_failed", event_kind=kind.__name__)

        self._emitter.add_listener(kind.__name__, guarded)

    def publish(self, event: Event) -> None:
        self._emitter.emit(type(event).__name__, event)
