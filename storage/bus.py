"""Domain events: who causes something tells the bus, who cares has subscribed; neither knows the other.

Events are frozen dataclasses named in the past tense. A handler is called synchronously and must not block;
one that raises is logged and disturbs nobody.

An event is published on one node. What the database tells of (see storage.notifications) is published on each
of them. The events in RELAYED reach the other nodes too, when there is a relay (see storage.redis_bus), and
there only those handlers that were subscribed with ``everywhere``: what must be done once, such as writing a
row or sending an e-mail, is done by a handler of the node where it happened.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

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
    """A user's state, role or displayed name is another one, or sessions or API keys were revoked."""

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
class GiftSent:
    """``gift`` is the gift's slug in the catalogue; ``coins`` is what all ``quantity`` of it cost.

    ``combo`` counts the same gift, given again within seconds; ``room_coins`` is what the room got in all.
    """

    room_id: str
    transfer_id: str
    from_user_id: str
    username: str
    gift: str
    quantity: int
    coins: int
    combo: int = 1
    room_coins: int = 0


@dataclass(frozen=True, slots=True)
class TipSent:
    """``message`` is what the sender wrote beside it, or empty; ``room_coins`` as in GiftSent."""

    room_id: str
    transfer_id: str
    from_user_id: str
    username: str
    coins: int
    message: str
    room_coins: int = 0


@dataclass(frozen=True, slots=True)
class SubscriptionStarted:
    """``user_id``, who is called ``username``, subscribed to ``owner_id``; ``months`` counts this one too."""

    owner_id: str
    user_id: str
    username: str
    plan: str
    months: int


@dataclass(frozen=True, slots=True)
class ChangesMissed:
    """Nobody listened to the database, or to other nodes, for a while: any of the above may have happened."""


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
    | GiftSent
    | TipSent
    | SubscriptionStarted
    | ChangesMissed
)
EventType = TypeVar("EventType", bound=Event)

RELAYED: Final[frozenset[type[Event]]] = frozenset(
    {
        UserFollowed,
        BroadcastStarted,
        BroadcastEnded,
        NotificationAdded,
        GiftSent,
        TipSent,
        SubscriptionStarted,
    }
)
"""What other nodes are told of. Never what the database tells every node of anyway: it would come twice."""


class Bus:
    """Delivers each event to the handlers subscribed to its class, in the order of subscription."""

    def __init__(self) -> None:
        self._here = EventEmitter()
        self._elsewhere = EventEmitter()

    def subscribe(
        self, kind: type[EventType], handler: Callable[[EventType], Any], *, everywhere: bool = False
    ) -> None:
        """``handler`` gets what is published on this node; with ``everywhere`` what other nodes publish, too.

        What other nodes publish may come late or not at all; ``ChangesMissed`` says when some of it was lost.
        """

        def guarded(event: EventType) -> None:
            try:
                handler(event)
            except Exception:
                logger.exception("event_handler_failed", event_kind=kind.__name__)

        self._here.add_listener(kind.__name__, guarded)
        if everywhere:
            self._elsewhere.add_listener(kind.__name__, guarded)

    def publish(self, event: Event) -> None:
        """Something happened on this node."""
        self._here.emit(type(event).__name__, event)

    def publish_from_elsewhere(self, event: Event) -> None:
        """Something happened on another node. For the relay alone."""
        self._elsewhere.emit(type(event).__name__, event)
