"""What a session tells its embedder, in the order it happened.

Frozen dataclasses, except audio and video: those are built once per frame of every stream, and a frozen
dataclass costs four times as much as a plain slotted class.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rtmp.protocol.capabilities import Capabilities
from rtmp.protocol.errors import ProtocolError


class _MediaReceived:
    __slots__ = ("body", "timestamp")

    def __init__(self, timestamp: int, body: bytes) -> None:
        self.timestamp: Final = timestamp
        self.body: Final = body

    def __repr__(self) -> str:
        return f"{type(self).__name__}(timestamp={self.timestamp}, body=<{len(self.body)} bytes>)"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (other.timestamp, other.body) == (self.timestamp, self.body)

    def __hash__(self) -> int:
        return hash((type(self), self.timestamp, self.body))


class AudioReceived(_MediaReceived):
    """One audio message. Treat as immutable.

    ``timestamp`` is in ms as on the wire, modulo 2**32; ``body`` is the body of an FLV audio tag.
    """

    __slots__ = ()


class VideoReceived(_MediaReceived):
    """One video message. Treat as immutable.

    ``timestamp`` is in ms as on the wire, modulo 2**32; ``body`` is the body of an FLV video tag.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class MetadataReceived:
    """onMetaData, with @setDataFrame stripped."""

    timestamp: int
    """ms, as on the wire."""
    values: Mapping[str, object]
    """The properties as AMF0 values, see ``rtmp.protocol.amf0``."""


@dataclass(frozen=True, slots=True)
class ProtocolViolated:
    """The peer broke the protocol: the last event of a session. Send what is left to send and close."""

    error: ProtocolError


@dataclass(frozen=True, slots=True)
class ClientConnected:
    """Server side: a client's connect command was answered."""

    app: str
    """Without parameters."""
    flash_version: str
    """flashVer: names the encoder, or is empty."""
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """Server side: answer with ``accept`` or ``refuse`` and this very event."""

    message_stream_id: int
    app: str
    name: str = field(repr=False)
    """The stream name without parameters: usually a secret key, so it is kept out of the representation."""
    query: Mapping[str, str] = field(repr=False)
    """Parameters of tcUrl and stream name, the latter winning, not decoded; may hold secrets too."""


@dataclass(frozen=True, slots=True)
class PlayRequested:
    """Server side: answer with ``accept`` or ``refuse`` and this very event."""

    message_stream_id: int
    app: str
    name: str
    query: Mapping[str, str] = field(repr=False)
    """As in PublishRequested."""


@dataclass(frozen=True, slots=True)
class PublishEnded:
    """Server side: the publisher said that it is done (FCUnpublish, deleteStream or closeStream)."""


@dataclass(frozen=True, slots=True)
class PlayEnded:
    """Server side: the player said that it is done (deleteStream or closeStream)."""


@dataclass(frozen=True, slots=True)
class ConnectAccepted:
    """Client side: ``publish`` or ``play`` may be called."""

    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class PublishStarted:
    """Client side: the server takes our media."""


@dataclass(frozen=True, slots=True)
class PlayStarted:
    """Client side: media follows."""


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """Client side: the server refused or ended what we asked for, with an error status."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """Client side: the server says that the stream we play or publish is over."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class ReconnectRequested:
    """Client side: the server asks us to connect anew at the next keyframe (Enhanced RTMP v2)."""

    tc_url: str | None
    """Where to, or None for the same address."""
    description: str


Event = (
    AudioReceived
    | VideoReceived
    | MetadataReceived
    | ProtocolViolated
    | ClientConnected
    | PublishRequested
    | PlayRequested
    | PublishEnded
    | PlayEnded
    | ConnectAccepted
    | PublishStarted
    | PlayStarted
    | RequestRefused
    | StreamEnded
    | ReconnectRequested
)
