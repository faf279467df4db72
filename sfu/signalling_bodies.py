"""The data of requests and of their responses. Fields the server does not know are refused, except inside the
shapes of WebRTC, to which browsers and libraries add their own."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from sfu.protocol.parameters import (
    PRINTABLE,
    DtlsParameters,
    IceCandidate,
    IceParameters,
    Kind,
    RtpCapabilities,
    RtpParameters,
    SctpCapabilities,
    SctpParameters,
    SctpStreamParameters,
)
from sfu.room_messages import ActiveSpeaker, DataProducerInfo, ParticipantInfo, ProducerInfo

MAX_APP_DATA: Final = 16
MAX_PINNED: Final = 16

Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+\Z")]
RoomName = Annotated[str, Meta(min_length=1, max_length=64, pattern=PRINTABLE)]
Credential = Annotated[str, Meta(min_length=1, max_length=4_096, pattern=r"^[\x21-\x7e]+\Z")]
Label = Annotated[str, Meta(max_length=128, pattern=PRINTABLE)]
AppText = Annotated[str, Meta(max_length=128, pattern=PRINTABLE)]
AppData = Annotated[
    dict[Annotated[str, Meta(max_length=32, pattern=PRINTABLE)], AppText | int | float | bool | None],
    Meta(max_length=MAX_APP_DATA),
]
Kinds = Annotated[tuple[Kind, ...], Meta(min_length=1, max_length=2)]
Layer = Annotated[int, Meta(ge=0, le=7)]


class RequestBody(Struct, rename="camel", kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What clients say."""


class ResponseBody(Struct, rename="camel", kw_only=True, frozen=True):
    """What they are answered."""


# The room


class Nothing(RequestBody, frozen=True):
    """Requests without data."""


class Join(RequestBody, frozen=True):
    """`room` by id or slug, `token` a playback or publish grant, `resume_token` of a lost connection."""

    room: RoomName
    token: Credential | None = None
    resume_token: Credential | None = None
    rtp_capabilities: RtpCapabilities | None = None


class OwnConsumer(ResponseBody, frozen=True):
    """What a resumed participant still receives."""

    id: str
    producer_id: str
    kind: Kind
    paused: bool
    producer_paused: bool
    suspended: bool = False


class OwnMedia(ResponseBody, frozen=True):
    """What a resumed participant still has, by id."""

    transports: tuple[str, ...] = ()
    producers: tuple[str, ...] = ()
    consumers: tuple[OwnConsumer, ...] = ()
    data_producers: tuple[str, ...] = ()
    data_consumers: tuple[str, ...] = ()
    last_n: int | None = None
    pinned: tuple[str, ...] = ()


class Joined(ResponseBody, frozen=True):
    """The room as it is now; everything later comes as notifications."""

    room_id: str
    participant_id: str
    resume_token: str
    resume_seconds: float
    resumed: bool
    router_rtp_capabilities: RtpCapabilities
    participants: tuple[ParticipantInfo, ...]
    producers: tuple[ProducerInfo, ...]
    data_producers: tuple[DataProducerInfo, ...]
    active_speaker: ActiveSpeaker | None
    own: OwnMedia = field(default_factory=OwnMedia)


class RouterCapabilities(ResponseBody, frozen=True):
    router_rtp_capabilities: RtpCapabilities


# The stage


class OfParticipant(RequestBody, frozen=True):
    participant_id: Id


class SetRole(RequestBody, frozen=True):
    participant_id: Id
    role: Literal["co-host", "speaker", "listener"]


class Mute(RequestBody, frozen=True):
    participant_id: Id
    kinds: Kinds = ("audio",)


# Transports


class CreateTransport(RequestBody, frozen=True):
    """With `sctp_capabilities` it carries data channels; `force_tcp` leaves out UDP candidates."""

    sctp_capabilities: SctpCapabilities | None = None
    force_tcp: bool = False


class TransportCreated(ResponseBody, frozen=True):
    """What mediasoup-client makes its transport of."""

    id: str
    ice_parameters: IceParameters
    ice_candidates: tuple[IceCandidate, ...]
    dtls_parameters: DtlsParameters
    sctp_parameters: SctpParameters | UnsetType = UNSET


class ConnectTransport(RequestBody, frozen=True):
    transport_id: Id
    dtls_parameters: DtlsParameters


class OfTransport(RequestBody, frozen=True):
    transport_id: Id


class IceRestarted(ResponseBody, frozen=True):
    ice_parameters: IceParameters


class GetStats(RequestBody, frozen=True):
    """Of one transport, or of all."""

    transport_id: Id | None = None


class TransportStatistics(ResponseBody, frozen=True):
    transport_id: str
    stats: tuple[dict[str, object], ...]


class Statistics(ResponseBody, frozen=True):
    transports: tuple[TransportStatistics, ...]


# What is sent


class Produce(RequestBody, frozen=True):
    """`program` is for the host: the track is what the room broadcasts."""

    transport_id: Id
    kind: Kind
    rtp_parameters: RtpParameters
    paused: bool = False
    program: bool = False
    app_data: AppData = field(default_factory=dict)


class Created(ResponseBody, frozen=True):
    id: str


class OfProducer(RequestBody, frozen=True):
    producer_id: Id


class ProduceData(RequestBody, frozen=True):
    transport_id: Id
    sctp_stream_parameters: SctpStreamParameters
    label: Label = ""
    protocol: Label = ""
    app_data: AppData = field(default_factory=dict)


class OfDataProducer(RequestBody, frozen=True):
    data_producer_id: Id


# What is received


class Consume(RequestBody, frozen=True):
    """Begins paused, so that no keyframe is lost before the browser is ready: call `resumeConsumer`."""

    transport_id: Id
    producer_id: Id
    rtp_capabilities: RtpCapabilities | None = None
    paused: bool = True


class Consuming(ResponseBody, frozen=True):
    """What mediasoup-client makes its consumer of."""

    id: str
    producer_id: str
    participant_id: str | None
    kind: Kind
    rtp_parameters: RtpParameters
    producer_paused: bool
    suspended: bool
    app_data: dict[str, object]


class OfConsumer(RequestBody, frozen=True):
    consumer_id: Id


class SetLayers(RequestBody, frozen=True):
    consumer_id: Id
    spatial_layer: Layer
    temporal_layer: Layer | None = None


class SetPriority(RequestBody, frozen=True):
    consumer_id: Id
    priority: Annotated[int, Meta(ge=1, le=255)]


class SetLastN(RequestBody, frozen=True):
    """The video of the `n` others who spoke last, None for all; `pinned` are participants to see besides."""

    n: Annotated[int, Meta(ge=1, le=50)] | None
    pinned: Annotated[tuple[Id, ...], Meta(max_length=MAX_PINNED)] = ()


class ConsumeData(RequestBody, frozen=True):
    transport_id: Id
    data_producer_id: Id


class ConsumingData(ResponseBody, frozen=True):
    id: str
    data_producer_id: str
    sctp_stream_parameters: SctpStreamParameters
    label: str
    protocol: str
