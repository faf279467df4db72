"""What the API needs of the media plane. It knows nothing else of it; mediaserver.api_ports implements this.

Everything is answered from memory, for the streams of this node, and never blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID


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
