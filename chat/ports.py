"""What the chat needs from the roof: who somebody is, whom a room admits, and who watches it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who has signed in, by a session or by an API key.

    ``may_moderate`` is False for an API key that is not for that, whatever its owner may do.
    """

    user_id: UUID
    username: str
    display_name: str
    session_id: UUID | None = None
    may_moderate: bool = True
    api_key_id: UUID | None = None


class SignIn(Protocol):
    async def identify(self, request: web.Request) -> Identity | None:
        """Who opens the connection: by ticket, bearer token or cookie; None for nobody.

        Raises Refusal ``invalid_ticket`` or ``invalid_token`` for a credential that is not good,
        ``bad_origin`` for a page of another site that comes with a cookie.
        """

    async def is_valid(self, identity: Identity) -> bool:
        """Whether the session or key still counts and the account is active."""

    def address_of(self, request: web.Request) -> str:
        """The client's address, as far as proxies are trusted."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """A room that somebody may enter. ``max_viewers`` is None for whom a full room does not keep out."""

    room_id: UUID
    owner_id: UUID
    max_viewers: int | None = None


class Admission(Protocol):
    async def admit(self, room: str, user_id: UUID | None) -> Entrance:
        """The room with this id or slug. Raises Refusal: ``room_not_found``, or why it is closed to them."""


class Visit(Protocol):
    """A stay in a room. The roof calls what was given to ``enter`` when the visitor must leave."""

    def leave(self) -> None: ...


class Visits(Protocol):
    def enter(self, room_id: UUID, user_id: UUID | None, on_close: Callable[[], None]) -> Visit:
        """From now on the rules of the room are watched for this visitor."""


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who watches a room's stream on this node. ``anonymous`` is a count."""

    user_ids: frozenset[UUID]
    anonymous: int


class Audience(Protocol):
    def watchers(self, room_id: UUID) -> Watchers: ...


class NotificationSource(Protocol):
    async def find(self, user_id: UUID, notification_id: UUID) -> Mapping[str, object] | None:
        """The user's notification as the API lists it; None if it is not to be shown. Raises StorageError."""


class RateLimiter(Protocol):
    """The part of storage.shared_state.SharedState that is used here."""

    async def take(self, key: str, limit: int, window_seconds: float) -> "Allowance": ...


class Allowance(Protocol):
    @property
    def is_allowed(self) -> bool: ...

    @property
    def reset_seconds(self) -> float: ...
