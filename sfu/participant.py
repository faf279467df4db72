"""Somebody in a room: a role, what was granted, a connection that may come and go, and media."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from secrets import token_urlsafe
from typing import Final, Protocol

from sfu.participant_media import ParticipantMedia
from sfu.protocol.parameters import Kind
from sfu.room_errors import Refusal
from sfu.room_messages import Message, ParticipantInfo
from sfu.room_ports import Grants
from sfu.spotlight import VideoChoice


class Role(StrEnum):
    """Who stands above whom, highest first. All but listeners are on the stage and may publish."""

    HOST = "host"
    CO_HOST = "co-host"
    SPEAKER = "speaker"
    LISTENER = "listener"

    @property
    def rank(self) -> int:
        """Higher is more."""
        return _RANKS[self]

    @property
    def is_on_stage(self) -> bool:
        """Whether it may publish."""
        return self is not Role.LISTENER

    @property
    def can_moderate(self) -> bool:
        """Whether it may invite, mute and remove those below it."""
        return self in (Role.HOST, Role.CO_HOST)


_RANKS: Final = {Role.HOST: 3, Role.CO_HOST: 2, Role.SPEAKER: 1, Role.LISTENER: 0}


def granted_role(grants: Grants) -> Role:
    """Return the role that somebody begins with."""
    if grants.is_host:
        return Role.HOST
    if grants.can_moderate:
        return Role.CO_HOST
    return Role.SPEAKER if grants.can_publish else Role.LISTENER


class Link(Protocol):
    """The connection of a participant; must not block or raise."""

    def notify(self, message: Message) -> None:
        """Send a notification. The same object goes to many links one after the other."""

    def close(self, code: int, reason: str) -> None:
        """Say goodbye."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """To the stage. `by` is a participant's id."""

    by: str
    expires_at: float


class Participant:
    """The state that the room changes; nothing here tells anybody."""

    def __init__(self, grants: Grants, role: Role, media: ParticipantMedia, link: Link) -> None:
        self.id: Final = token_urlsafe(12)
        self.resume_token: Final = token_urlsafe(32)
        self.grants = grants
        self.role = role
        self.media: Final = media
        self.hand_raised = False
        self.muted: frozenset[Kind] = frozenset()
        self.invitation: Invitation | None = None
        self.link: Link | None = link
        self.away_since: float | None = None
        self.video_choice: VideoChoice | None = None
        """None for the video of all."""
        media.tell = self.tell

    def tell(self, message: Message) -> None:
        """Notify it; what happens while it is away it learns when it resumes."""
        if self.link is not None:
            self.link.notify(message)

    @property
    def info(self) -> ParticipantInfo:
        """What everybody sees."""
        return ParticipantInfo(
            id=self.id,
            identity=self.grants.identity,
            name=self.grants.name,
            role=self.role.value,
            hand_raised=self.hand_raised,
            muted=tuple(sorted(self.muted)),
            is_away=self.link is None,
        )

    def check_moderates(self, target: Participant) -> None:
        """Raise Refusal unless this one may decide about `target`."""
        if not self.role.can_moderate:
            raise Refusal("not_moderator", "Only hosts and co-hosts may do this.")
        if self.role.rank <= target.role.rank:
            raise Refusal("outranked", "This needs somebody who stands above that participant.")
