"""What peers and the server tell each other about media, in the shapes of ORTC and mediasoup-client.

The structs are decoded from the signalling (JSON or MessagePack, camelCase) and made from SDP. They are
frozen: one producer's parameters are shared by all of its consumers. Every text is limited to what may stand
in a line of SDP, since texts of one peer end up in the descriptions that others get.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

MAX_CODECS: Final = 128
MAX_HEADER_EXTENSIONS: Final = 128
MAX_ENCODINGS: Final = 8
MAX_FEEDBACK: Final = 16
MAX_CODEC_PARAMETERS: Final = 32
MAX_CANDIDATES: Final = 64
MAX_FINGERPRINTS: Final = 8
MAX_TEXT: Final = 512

UNPRINTABLE: Final = r"\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff"
"""What may not stand in a line of a description; a tab may (RFC 8866 9, byte-string)."""
PRINTABLE: Final = rf"^[^{UNPRINTABLE}]*\Z"
TOKEN: Final = r"^[A-Za-z0-9!#$%&'*+.^_`{|}~-]+\Z"
"""RFC 8866 9: what names, mids and rids are made of."""

Text = Annotated[str, Meta(max_length=MAX_TEXT, pattern=PRINTABLE)]
Token = Annotated[str, Meta(min_length=1, max_length=64, pattern=TOKEN)]
Rid = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,16}\Z")]
"""RFC 8851 10 allows any length, RFC 8852 3.1 only what fits a header extension; senders use one to three."""
ParameterName = Annotated[str, Meta(max_length=64, pattern=rf"^[^\x00-\x20\x80-\x9f;={UNPRINTABLE}]*\Z")]
MimeType = Annotated[str, Meta(pattern=r"^(?i:audio|video)/[A-Za-z0-9._+-]{1,40}\Z")]
PayloadType = Annotated[int, Meta(ge=0, le=127)]
ExtensionId = Annotated[int, Meta(ge=1, le=255)]
Ssrc = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
ClockRate = Annotated[int, Meta(ge=1, le=768_000)]
Channels = Annotated[int, Meta(ge=1, le=255)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Unsigned32 = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
CodecParameters = Annotated[
    dict[ParameterName, Text | Annotated[int, Meta(ge=-(2**53), le=2**53)]],
    Meta(max_length=MAX_CODEC_PARAMETERS),
]

Kind = Literal["audio", "video"]
DtlsRole = Literal["auto", "client", "server"]
Hash = Literal["sha-1", "sha-224", "sha-256", "sha-384", "sha-512"]


class Direction(StrEnum):
    """Which way media flows, from the point of view of who says it."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def reverse(self) -> Direction:
        """The same flow from the other side."""
        return _REVERSE.get(self, self)

    @property
    def sends(self) -> bool:
        """Whether the one who says it sends."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """Whether the one who says it receives."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)


_REVERSE: Final = {Direction.SENDONLY: Direction.RECVONLY, Direction.RECVONLY: Direction.SENDONLY}


class Shape(Struct, rename="camel", kw_only=True, frozen=True, omit_defaults=True):
    """Fields that the browser adds and the server does not know are ignored; defaults are left out."""


class RtcpFeedback(Shape, frozen=True):
    """One kind of feedback, such as `nack` or `ccm` with the parameter `fir` (RFC 4585 4.2)."""

    type: Token
    parameter: Text = ""


class RtpCodecCapability(Shape, frozen=True):
    """A codec that a peer or the router can deal with."""

    kind: Kind
    mime_type: MimeType
    clock_rate: ClockRate
    preferred_payload_type: PayloadType | None = None
    channels: Channels | None = None
    parameters: CodecParameters = field(default_factory=dict)
    rtcp_feedback: Annotated[tuple[RtcpFeedback, ...], Meta(max_length=MAX_FEEDBACK)] = ()


class RtpHeaderExtension(Shape, frozen=True):
    """A header extension that a peer or the router can deal with."""

    kind: Kind
    uri: Text
    preferred_id: ExtensionId
    preferred_encrypt: bool = False
    direction: Direction = Direction.SENDRECV


class RtpCapabilities(Shape, frozen=True):
    """What a peer or the router can send and receive."""

    codecs: Annotated[tuple[RtpCodecCapability, ...], Meta(max_length=MAX_CODECS)] = ()
    header_extensions: Annotated[tuple[RtpHeaderExtension, ...], Meta(max_length=MAX_HEADER_EXTENSIONS)] = ()


class RtpCodecParameters(Shape, frozen=True):
    """A codec in use, under a payload type."""

    mime_type: MimeType
    payload_type: PayloadType
    clock_rate: ClockRate
    channels: Channels | None = None
    parameters: CodecParameters = field(default_factory=dict)
    rtcp_feedback: Annotated[tuple[RtcpFeedback, ...], Meta(max_length=MAX_FEEDBACK)] = ()

    @property
    def kind(self) -> str:
        """`audio` or `video`."""
        return self.mime_type.partition("/")[0].lower()


class RtpHeaderExtensionParameters(Shape, frozen=True):
    """A header extension in use, under an id (RFC 8285)."""

    uri: Text
    id: ExtensionId
    encrypt: bool = False
    parameters: CodecParameters = field(default_factory=dict)


class RtxParameters(Shape, frozen=True):
    """The stream that carries retransmissions (RFC 4588)."""

    ssrc: Ssrc


class RtpEncodingParameters(Shape, frozen=True):
    """One stream of a producer or consumer: named by SSRC, or by rid when there is simulcast."""

    ssrc: Ssrc | None = None
    rid: Rid | None = None
    codec_payload_type: PayloadType | None = None
    rtx: RtxParameters | None = None
    dtx: bool = False
    scalability_mode: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,16}\Z")] | None = None
    scale_resolution_down_by: Annotated[float, Meta(ge=1)] | None = None
    max_bitrate: Unsigned32 | None = None


class RtcpParameters(Shape, frozen=True):
    """How RTCP is sent. `cname` is the name of the source (RFC 7022)."""

    cname: Text | None = None
    reduced_size: bool = True


class RtpParameters(Shape, frozen=True):
    """What is sent: by a producer to the router, or by the router to a consumer."""

    codecs: Annotated[tuple[RtpCodecParameters, ...], Meta(min_length=1, max_length=MAX_CODECS)]
    mid: Token | None = None
    header_extensions: Annotated[
        tuple[RtpHeaderExtensionParameters, ...], Meta(max_length=MAX_HEADER_EXTENSIONS)
    ] = ()
    encodings: Annotated[tuple[RtpEncodingParameters, ...], Meta(max_length=MAX_ENCODINGS)] = ()
    rtcp: RtcpParameters = field(default_factory=RtcpParameters)


class IceParameters(Shape, frozen=True):
    """A peer's ICE credentials (RFC 8839 5.4)."""

    username_fragment: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/_=-]{4,256}\Z")]
    password: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/_=-]{22,256}\Z")]
    ice_lite: bool = False


class IceCandidate(Shape, frozen=True):
    """An address where a peer may be reached (RFC 8839 5.1). `ip` repeats `address` for older clients."""

    foundation: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/_=-]{1,64}\Z")]
    priority: Unsigned32
    address: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9.:_%-]+\Z")]
    protocol: Literal["udp", "tcp"]
    port: Port
    type: Literal["host", "srflx", "prflx", "relay"]
    tcp_type: Literal["active", "passive", "so"] | None = None
    ip: Annotated[str, Meta(max_length=255)] = ""


class DtlsFingerprint(Shape, frozen=True):
    """The hash of a certificate (RFC 8122 5)."""

    algorithm: Hash
    value: Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){19,63}\Z")]


class DtlsParameters(Shape, frozen=True, omit_defaults=False):
    """Whom to expect in the handshake, and who begins it."""

    fingerprints: Annotated[tuple[DtlsFingerprint, ...], Meta(min_length=1, max_length=MAX_FINGERPRINTS)]
    role: DtlsRole = "auto"


class NumSctpStreams(Struct, kw_only=True, frozen=True):
    """`OS` outgoing streams to begin with, at most `MIS` incoming ones."""

    OS: Annotated[int, Meta(ge=1, le=65_535)]
    MIS: Annotated[int, Meta(ge=1, le=65_535)]


class SctpCapabilities(Shape, frozen=True):
    """What a peer's SCTP can do."""

    num_streams: NumSctpStreams


class SctpParameters(Struct, kw_only=True, frozen=True):
    """An SCTP association over DTLS (RFC 8841). `OS` and `MIS` are spelled as mediasoup spells them."""

    port: Annotated[int, Meta(ge=1, le=65_535)]
    OS: Annotated[int, Meta(ge=1, le=65_535)] = 1024
    MIS: Annotated[int, Meta(ge=1, le=65_535)] = 1024
    max_message_size: Annotated[int, Meta(ge=0, le=2**32)] = field(default=262_144, name="maxMessageSize")


class SctpStreamParameters(Shape, frozen=True):
    """One stream of a data channel. At most one of the two limits is given (RFC 8831 6.6)."""

    stream_id: Annotated[int, Meta(ge=0, le=65_534)]
    ordered: bool | None = None
    max_packet_life_time: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    max_retransmits: Annotated[int, Meta(ge=0, le=65_535)] | None = None
