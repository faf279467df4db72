"""What the API needs of the media plane and the chat. It knows nothing else of them; implemented by
mediaserver.api_ports and mediaserver.chat_api_ports.

Of the media plane, everything is answered from memory, for the streams of this node, and never blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from storage.repositories.blocked_terms import BlockedTerm
from storage.repositories.chat_messages import StoredMessage
from storage.repositories.chat_people import Ban, ChatModerator
from storage.repositories.chat_rooms import ChatSettings


class LiveRooms(Protocol):
    """Which rooms are live here. Rooms on other nodes are known from the database only."""

    def is_live(self, room_id: UUID) -> bool: ...

    def viewer_count(self, room_id: UUID) -> int:
        """0 for a room that is not live here."""

    def started_at(self, room_id: UUID) -> datetime | None: ...

    def ended_at(self, room_id: UUID) -> datetime | None:
        """When its last broadcast here ended, as long as that is remembered: the database hears it later."""

    def viewer_counts(self) -> Mapping[UUID, int]:
        """Of all rooms that are live here."""


@dataclass(frozen=True, slots=True)
class IngestWarning:
    """``code`` for programs, ``message`` for the streamer."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class IngestVideo:
    """``codec`` as in RFC 6381. Figures that are not measured yet are 0."""

    codec: str
    width: int
    height: int
    frame_rate: float
    keyframe_interval: float


@dataclass(frozen=True, slots=True)
class IngestAudio:
    codec: str
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class IngestHealth:
    """How the stream comes in. ``bitrate`` in bit/s over the last two seconds; ``skew`` is how many seconds
    the audio is ahead of the video. ``is_interrupted`` while the publisher is away and may come back.
    """

    is_interrupted: bool
    started_at: datetime | None
    video: IngestVideo | None
    audio: IngestAudio | None
    bitrate: int
    skew: float
    warnings: Sequence[IngestWarning]


class IngestMonitor(Protocol):
    def health(self, room_id: UUID) -> IngestHealth | None:
        """None for a room that nobody publishes to here."""


class StreamControl(Protocol):
    def kick(self, room_id: UUID, reason: str) -> bool:
        """End the room's stream and its publisher's session; say whether there was one here."""


class IngestAddresses(Protocol):
    """Where encoders send to. No key is in them."""

    def rtmp_url(self) -> str: ...

    def whip_url(self, room_id: UUID) -> str: ...


class ChatModeration(Protocol):
    """What moderators do. Who may do it is decided here, and what is done is shown to the room and audited.

    ``address`` is where the request came from. Raises ApiError: 403 ``not_a_moderator`` or
    ``cannot_moderate``, 404 for what is not there, and others as the methods say.
    """

    async def require_moderator(self, actor: UUID, room_id: UUID) -> None: ...

    async def delete_message(self, actor: UUID, room_id: UUID, message_id: UUID, address: str) -> None: ...

    async def clear(self, actor: UUID, room_id: UUID, address: str) -> None: ...

    async def pin(self, actor: UUID, room_id: UUID, message_id: UUID | None, address: str) -> None:
        """None unpins."""

    async def change_settings(
        self, actor: UUID, room_id: UUID, settings: ChatSettings, expected_version: int | None, address: str
    ) -> int:
        """The new version. 412 ``version_mismatch`` if they have another version than expected."""

    async def ban(
        self,
        actor: UUID,
        room_id: UUID,
        user_id: UUID,
        seconds: int | None,
        reason: str,
        is_shadow: bool,
        address: str,
    ) -> Ban:
        """For ever without ``seconds``."""

    async def unban(self, actor: UUID, room_id: UUID, user_id: UUID, address: str) -> None: ...

    async def bans(self, actor: UUID, room_id: UUID, limit: int, after: UUID | None) -> list[Ban]:
        """By the ids of the users; ``after`` is the last one of the page before."""

    async def add_moderator(self, actor: UUID, room_id: UUID, user_id: UUID, address: str) -> None: ...

    async def remove_moderator(self, actor: UUID, room_id: UUID, user_id: UUID, address: str) -> None: ...

    async def moderators(self, actor: UUID, room_id: UUID) -> list[ChatModerator]: ...

    async def blocked_terms(self, actor: UUID, room_id: UUID) -> list[BlockedTerm]: ...

    async def replace_blocked_terms(
        self, actor: UUID, room_id: UUID, terms: Sequence[BlockedTerm], address: str
    ) -> None:
        """400 ``bad_pattern`` that names ``terms[i].text`` of one that is no pattern, or costs too much."""

    async def held(self, actor: UUID, room_id: UUID, limit: int, after: UUID | None) -> list[StoredMessage]:
        """The oldest first, after the message with the id ``after``."""

    async def allow(self, actor: UUID, room_id: UUID, message_id: UUID, address: str) -> None: ...

    async def deny(self, actor: UUID, room_id: UUID, message_id: UUID, address: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Chatter:
    """Somebody who is in a room's chat."""

    user_id: UUID
    username: str


class ChatPresence(Protocol):
    async def people(self, room_id: UUID, after: Chatter | None, limit: int) -> list[Chatter]:
        """Who has signed in and is there, by name and id; ``after`` is the last one of the page before."""
