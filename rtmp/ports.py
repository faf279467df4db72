"""What the RTMP server needs from whoever embeds it.

``Authorizer`` decides, ``Ingest`` takes a publisher's messages, ``Playback`` feeds players. The server
implements ``PublisherConnection`` and ``PlayerConnection`` and hands them over, so that the embedder can
end a session or write to it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class RefusalReason(Enum):
    """Why a publish or play was refused; each maps to one NetStream status code."""

    BAD_NAME = "bad_name"
    """No such stream key or room: NetStream.Publish.BadName / NetStream.Play.StreamNotFound."""
    REJECTED = "rejected"
    """Known, but not allowed now: NetStream.Publish.Rejected / NetStream.Play.Failed."""
    UNAVAILABLE = "unavailable"
    """The server cannot decide or take it now (database lost, draining): NetStream.Publish.Denied."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """``description`` is shown to the peer, so it never holds a secret."""

    reason: RefusalReason
    description: str


@dataclass(frozen=True, slots=True)
class PublishGrant:
    """``room_id`` is the public name of the stream; it stands in logs where the key must not."""

    room_id: str


@dataclass(frozen=True, slots=True)
class PlayGrant:
    room_id: str


class Authorizer(Protocol):
    """``query`` holds the parameters of tcUrl and of the stream name, the latter winning.

    ``address`` is the peer's IP address, taken from the socket.
    """

    async def may_publish(
        self, app: str, name: str, query: Mapping[str, str], address: str
    ) -> PublishGrant | Refusal: ...

    async def may_play(
        self, app: str, name: str, query: Mapping[str, str], address: str
    ) -> PlayGrant | Refusal: ...


class PublisherConnection(Protocol):
    """One accepted publisher, as the embedder sees it."""

    @property
    def address(self) -> str:
        """The peer's IP address."""

    @property
    def encoder(self) -> str:
        """flashVer of connect, or an empty string."""

    def close(self, code: str, description: str) -> None:
        """Send a NetStream status with ``code`` and close the connection.

        The publication's ``closed(False)`` is called before this returns. A second call does nothing.
        """

    def request_reconnect(self, description: str) -> bool:
        """Send NetConnection.Connect.ReconnectRequest if the peer announced it in capsEx; say whether."""


class PlayerConnection(Protocol):
    """One accepted player. Chunked bytes are written to ``transport`` directly, the same for all players.

    They are whole messages as ``serialize_message`` cuts them with ``OUTGOING_CHUNK_SIZE`` of the session,
    because the server writes pings and acknowledgements in between.
    """

    @property
    def address(self) -> str: ...

    @property
    def transport(self) -> asyncio.WriteTransport: ...

    @property
    def message_stream_id(self) -> int:
        """What media for this player carries: 1, unless it opened several streams."""

    def close(self, code: str, description: str) -> None:
        """Send the end of the stream and a NetStream status with ``code``, and close the connection.

        The session's ``closed()`` is called before this returns. A second call does nothing.
        """


class Publication(Protocol):
    """Where one publisher's messages go. Synchronous, called once per message.

    ``timestamp`` is the message's 32-bit timestamp in ms as it stood on the wire, still wrapping. ``body`` is
    the FLV tag body. Methods may raise ``rtmp.protocol.errors.ProtocolError`` for a body that cannot be
    parsed: the server then closes the publisher with a status and one log line.
    """

    def audio(self, timestamp: int, body: bytes) -> None: ...

    def video(self, timestamp: int, body: bytes) -> None: ...

    def metadata(self, values: Mapping[str, object]) -> None: ...

    def closed(self, is_clean: bool) -> None:
        """The publisher is gone, exactly once. Clean means it said so (FCUnpublish, deleteStream)."""


class Ingest(Protocol):
    def open(self, grant: PublishGrant, connection: PublisherConnection) -> Publication:
        """Take over a publisher that was told it may publish; close an older one of the same room."""


class PlaybackSession(Protocol):
    def closed(self) -> None:
        """The player is gone, exactly once."""


class Playback(Protocol):
    def refusal(self, grant: PlayGrant) -> Refusal | None:
        """Say why there is nothing to play now, although the player may."""

    def open(self, grant: PlayGrant, connection: PlayerConnection) -> PlaybackSession:
        """Start writing chunked media to the player's transport. Called where ``refusal`` gave None."""
