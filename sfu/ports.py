"""What the doors of the SFU need from whoever embeds it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from sfu.protocol.parameters import Kind

if TYPE_CHECKING:
    from sfu.router import Router


class RefusalReason(Enum):
    """Why somebody may not publish or watch; each has a status of HTTP."""

    NO_SUCH_ROOM = "no_such_room"
    NEEDS_TOKEN = "needs_token"
    """Another token, or one at all, may help."""
    FORBIDDEN = "forbidden"
    UNAVAILABLE = "unavailable"
    """Nobody can tell now (database lost, draining)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """`code` is for programs; `description` is shown to the peer, so it never holds a secret."""

    reason: RefusalReason
    code: str
    description: str


@dataclass(frozen=True, slots=True)
class PublishGrant:
    """The bearer may publish the program of the room. `user_id` is whose token it was, None of a key."""

    room_id: str
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ViewGrant:
    """The asker, whom a token may have named, may watch the room, beside at most `max_viewers` over WHEP.

    Without `low_latency` the room's program is for other doors; participants are nobody's audience.
    """

    room_id: str
    viewer_id: UUID | None = None
    max_viewers: int | None = None
    low_latency: bool = True


class PublishAccess(Protocol):
    """Who may publish a room's program."""

    async def authorize_publish(self, room: str, bearer: str | None, address: str) -> PublishGrant | Refusal:
        """Answer for what stood in the path (`room`: an id or a slug) and in the Authorization header."""

    async def may_still_publish(self, grant: PublishGrant) -> bool:
        """Answer for somebody who was let in with a token: whether that would be so now."""
        ...


class ViewAccess(Protocol):
    """Who may watch a room, and until when."""

    async def authorize_view(self, room: str, token: str | None, address: str) -> ViewGrant | Refusal:
        """Answer for what stood in the path (`room`: an id or a slug) and the token, if there was one."""

    def joined(self, grant: ViewGrant, leave: Callable[[], None], *, is_program: bool) -> Callable[[], None]:
        """Let a viewer in, who is still to connect; return what is called once when the viewer is gone.

        `is_program` says that it is the room's program that is watched, not a participant.
        Called right after `authorize_view`, without an await between, so that no change is missed.
        `leave` may be called when the viewer may not watch any more; not from within this call.
        """

    def connected(self, grant: ViewGrant) -> Callable[[], None] | None:
        """Count a viewer who has come; return what is called once at the end, None where all is full."""


class Rooms(Protocol):
    """The rooms that have a router, or get one when somebody asks for it."""

    async def router(self, room_id: str) -> Router:
        """Return the room's router, which stays until `release` was called as often.

        A program that comes from elsewhere begins to be offered there. Raises `sfu.errors.SfuError` when
        there can be no more routers.
        """

    def release(self, room_id: str) -> None:
        """A session that asked for the router is over."""

    def program_kinds(self, room_id: str) -> Collection[Kind] | None:
        """Return what the room's program consists of, nothing while that is not known yet.

        None when nobody publishes a program from outside of the router.
        """

    def program_refusal(self, room_id: str) -> str | None:
        """Return why a program from outside cannot be played over WebRTC, None if it can or there is none."""

    def participant_producers(self, room_id: str, participant_id: str) -> Collection[str] | None:
        """Return the ids of a participant's producers, None if there is no such participant."""
