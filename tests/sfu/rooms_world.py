"""A router without sockets, an access that grants what it is told, and links that remember."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from aiohttp import web

from sfu.errors import CannotConsume, DuplicateStream, NoDataChannels, NoSuchProducer
from sfu.participant import Participant
from sfu.protocol.capabilities import default_media_codecs
from sfu.protocol.ortc import InvalidParameters, router_rtp_capabilities
from sfu.protocol.parameters import (
    DtlsFingerprint,
    DtlsParameters,
    IceCandidate,
    IceParameters,
    Kind,
    RtcpParameters,
    RtpCapabilities,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpParameters,
    SctpParameters,
    SctpStreamParameters,
)
from sfu.room import Room, RoomOptions
from sfu.room_errors import Refusal
from sfu.room_messages import Message
from sfu.room_ports import (
    ConsumerPort,
    DataProducerPort,
    Grants,
    LayersInfo,
    ProducerPort,
    RouterEvents,
    RouterPort,
    TransportEvents,
    TransportPort,
)

ROOM = "01990000-0000-7000-8000-000000000001"
CAPABILITIES = router_rtp_capabilities(default_media_codecs())
DTLS = DtlsParameters(
    fingerprints=(DtlsFingerprint(algorithm="sha-256", value=":".join(["AB"] * 32)),), role="client"
)
_serial = itertools.count(1)


def audio_parameters(ssrc: int = 1111, mid: str = "0") -> RtpParameters:
    return RtpParameters(
        codecs=(RtpCodecParameters(mime_type="audio/opus", payload_type=111, clock_rate=48_000, channels=2),),
        mid=mid,
        encodings=(RtpEncodingParameters(ssrc=ssrc),),
        rtcp=RtcpParameters(cname="someone"),
    )


def video_parameters(ssrc: int = 2222, mid: str = "1") -> RtpParameters:
    return RtpParameters(
        codecs=(RtpCodecParameters(mime_type="video/VP8", payload_type=96, clock_rate=90_000),),
        mid=mid,
        encodings=(RtpEncodingParameters(ssrc=ssrc),),
        rtcp=RtcpParameters(cname="someone"),
    )


class FakeProducer:
    def __init__(
        self, router: FakeRouter, kind: Kind, parameters: RtpParameters, options: dict[str, Any]
    ) -> None:
        self.id = f"producer-{next(_serial)}"
        self.kind = kind
        self.rtp_parameters = parameters
        self.paused: bool = options["paused"]
        self.is_program: bool = options["is_program"]
        self.app_data: Mapping[str, object] = options["app_data"] or {}
        self.router = router
        self.is_closed = False

    def pause(self) -> None:
        self._set_paused(True)

    def resume(self) -> None:
        self._set_paused(False)

    def _set_paused(self, paused: bool) -> None:
        if self.paused is not paused:
            self.paused = paused
            self.router.paused(self)

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.router.closed(self)


class FakeConsumer:
    def __init__(self, transport: FakeTransport, producer: FakeProducer, paused: bool) -> None:
        self.id = f"consumer-{next(_serial)}"
        self.producer_id = producer.id
        self.kind: Kind = producer.kind
        self.rtp_parameters = producer.rtp_parameters
        self.paused = paused
        self.producer_paused = producer.paused
        self.suspended = False
        self.current_layers: LayersInfo | None = None
        self.transport = transport
        self.calls: list[tuple[Any, ...]] = []
        self.is_closed = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def set_preferred_layers(self, spatial: int, temporal: int | None = None) -> None:
        self.calls.append(("layers", spatial, temporal))

    def set_suspended(self, suspended: bool) -> None:
        self.suspended = suspended

    def set_priority(self, priority: int) -> None:
        self.calls.append(("priority", priority))

    def request_keyframe(self) -> None:
        self.calls.append(("keyframe",))

    def close(self) -> None:
        self.is_closed = True
        self.transport.consumers.pop(self.id, None)


@dataclass
class FakeChannel:
    """A data producer or consumer."""

    id: str
    label: str
    protocol: str
    sctp_stream_parameters: SctpStreamParameters
    data_producer_id: str = ""
    is_closed: bool = False
    on_closed: Callable[[], object] = lambda: None

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.on_closed()


class FakeTransport:
    def __init__(self, router: FakeRouter, listener: TransportEvents, enable_sctp: bool) -> None:
        self.id = f"transport-{next(_serial)}"
        self.ice_parameters = IceParameters(username_fragment="ufrag", password="p" * 24, ice_lite=True)
        self.ice_candidates = tuple(
            IceCandidate(
                foundation=protocol,
                priority=1,
                address="127.0.0.1",
                ip="127.0.0.1",
                protocol=protocol,  # type: ignore[arg-type]
                port=8189,
                type="host",
                tcp_type="passive" if protocol == "tcp" else None,
            )
            for protocol in ("udp", "tcp")
        )
        self.dtls_parameters = DtlsParameters(fingerprints=DTLS.fingerprints)
        self.sctp_parameters = SctpParameters(port=5000) if enable_sctp else None
        self.router = router
        self.listener = listener
        self.connected: DtlsParameters | None = None
        self.max_incoming_bitrate = 0
        self.producers: list[FakeProducer] = []
        self.consumers: dict[str, FakeConsumer] = {}
        self.is_closed = False

    def connect(self, dtls: DtlsParameters) -> None:
        self.connected = dtls

    def restart_ice(self) -> IceParameters:
        self.ice_parameters = IceParameters(username_fragment="again", password="q" * 24, ice_lite=True)
        return self.ice_parameters

    def produce(self, kind: Kind, rtp_parameters: RtpParameters, **options: Any) -> ProducerPort:
        if rtp_parameters.codecs[0].kind != kind:
            raise InvalidParameters("the codec is of the other kind")
        if any(one.rtp_parameters.mid == rtp_parameters.mid for one in self.producers if not one.is_closed):
            raise DuplicateStream(f"mid {rtp_parameters.mid} is in use")
        producer = FakeProducer(self.router, kind, rtp_parameters, options)
        self.producers.append(producer)
        self.router.opened(producer)
        return producer

    def consume(
        self, producer_id: str, capabilities: RtpCapabilities, *, paused: bool = True
    ) -> ConsumerPort:
        producer = self.router.producers.get(producer_id)
        if producer is None:
            raise NoSuchProducer("there is no such producer")
        if not capabilities.codecs:
            raise CannotConsume("no codec in common")
        consumer = FakeConsumer(self, producer, paused)
        self.consumers[consumer.id] = consumer
        return consumer

    def produce_data(self, parameters: SctpStreamParameters, label: str, protocol: str) -> DataProducerPort:
        if self.sctp_parameters is None:
            raise NoDataChannels("the transport has no SCTP")
        channel = FakeChannel(f"data-{next(_serial)}", label, protocol, parameters)
        self.router.channels[channel.id] = channel
        return channel

    def consume_data(self, data_producer_id: str) -> FakeChannel:
        source = self.router.channels[data_producer_id]
        return FakeChannel(
            f"data-{next(_serial)}",
            source.label,
            source.protocol,
            SctpStreamParameters(stream_id=1),
            data_producer_id,
        )

    def statistics(self) -> Sequence[Mapping[str, object]]:
        return [{"type": "transport", "id": self.id, "bytesSent": 0}]

    def set_max_incoming_bitrate(self, bitrate: int) -> None:
        self.max_incoming_bitrate = bitrate

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        for producer in self.producers:
            producer.close()
        self.listener.on_transport_closed(self)


class FakeRouter:
    def __init__(self) -> None:
        self.rtp_capabilities = CAPABILITIES
        self.producers: dict[str, FakeProducer] = {}
        self.channels: dict[str, FakeChannel] = {}
        self.transports: list[FakeTransport] = []
        self.listeners: list[RouterEvents] = []

    def create_transport(self, listener: TransportEvents, *, enable_sctp: bool = False) -> TransportPort:
        transport = FakeTransport(self, listener, enable_sctp)
        self.transports.append(transport)
        return transport

    def add_listener(self, listener: RouterEvents) -> None:
        self.listeners.append(listener)

    def remove_listener(self, listener: RouterEvents) -> None:
        self.listeners.remove(listener)

    def opened(self, producer: FakeProducer) -> None:
        self.producers[producer.id] = producer
        for listener in self.listeners:
            listener.on_producer(producer)

    def closed(self, producer: FakeProducer) -> None:
        del self.producers[producer.id]
        for transport, consumer in self._consumers(producer):
            del transport.consumers[consumer.id]
            transport.listener.on_consumer_closed(consumer)
        for listener in self.listeners:
            listener.on_producer_closed(producer)

    def paused(self, producer: FakeProducer) -> None:
        for transport, consumer in self._consumers(producer):
            consumer.producer_paused = producer.paused
            transport.listener.on_consumer_paused(consumer)
        for listener in self.listeners:
            listener.on_producer_paused(producer)

    def _consumers(self, producer: FakeProducer) -> list[tuple[FakeTransport, FakeConsumer]]:
        return [
            (transport, consumer)
            for transport in self.transports
            for consumer in transport.consumers.values()
            if consumer.producer_id == producer.id
        ]

    def local_producer(self, kind: Kind = "video") -> FakeProducer:
        """What comes from elsewhere, such as RTMP."""
        options = {"paused": False, "is_program": True, "app_data": None}
        producer = FakeProducer(self, kind, video_parameters(), options)
        self.opened(producer)
        return producer


class FakeRouters:
    """Implements RouterSource."""

    def __init__(self) -> None:
        self.routers: dict[str, FakeRouter] = {}
        self.uses: dict[str, int] = {}

    async def router(self, room_id: str) -> RouterPort:
        self.uses[room_id] = self.uses.get(room_id, 0) + 1
        return self.routers.setdefault(room_id, FakeRouter())

    def release(self, room_id: str) -> None:
        self.uses[room_id] -= 1


@dataclass
class FakeLink:
    said: list[Message] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    def notify(self, message: Message) -> None:
        self.said.append(message)

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.said if isinstance(message, kind)]


@dataclass
class FakeAccess:
    """Grants by token, `refused` first. Whoever has no token is a guest who may only watch."""

    grants: dict[str | None, Grants] = field(default_factory=dict)
    refused: dict[str | None, Refusal] = field(default_factory=dict)
    admission: Refusal | None = None

    async def admit(self, request: web.Request) -> object:
        if self.admission is not None:
            raise self.admission
        return SimpleNamespace(address=request.remote)

    async def authorize(self, room: str, token: str | None, principal: object) -> Grants:
        if room not in (ROOM, "the-room"):
            raise Refusal("room_not_found", "There is no such room.")
        if token in self.refused:
            raise self.refused[token]
        if token not in self.grants:
            raise Refusal("invalid_token", "The token is not valid.")
        return self.grants[token]

    async def review(self, grants: Grants, principal: object) -> Grants:
        """What is granted now under the token that is called as the identity."""
        token = grants.identity.removeprefix("user-")
        if token in self.refused:
            raise self.refused[token]
        return self.grants[token]


def granted(name: str, **rights: bool) -> Grants:
    return Grants(room_id=ROOM, identity=f"user-{name}", name=name.title(), **rights)


HOST = granted("ana", is_host=True, can_publish=True, can_moderate=True)
MODERATOR = granted("mia", can_publish=True, can_moderate=True)
SPEAKER = granted("sam", can_publish=True)
LISTENER = granted("leo")


def everybody() -> FakeAccess:
    """An access with the four, by tokens of their names."""
    return FakeAccess(
        {
            "ana": HOST,
            "mia": MODERATOR,
            "sam": SPEAKER,
            "leo": LISTENER,
            None: granted("guest"),
            "deaf": granted("deaf", can_subscribe=False),
        }
    )


class FakeAudience:
    """Implements Audience: `most` may receive something."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.watching: list[str] = []

    def watch(self, grants: Grants) -> Callable[[], None]:
        if len(self.watching) >= self.most:
            raise Refusal("room_full", "The room has as many viewers as it may.")
        self.watching.append(grants.identity)
        return lambda: self.watching.remove(grants.identity)


class RoomWorld:
    """A room with whoever is let in; `links` by participant's id."""

    def __init__(self, options: RoomOptions | None = None, viewers: int = 1_000) -> None:
        self.router = FakeRouter()
        self.audience = FakeAudience(viewers)
        self.room = Room(ROOM, self.router, options or RoomOptions(), self.audience)
        self.links: dict[str, FakeLink] = {}

    def join(self, grants: Grants) -> Participant:
        link = FakeLink()
        participant = self.room.join(grants, link)
        self.links[participant.id] = link
        return participant

    def heard(self, participant: Participant, kind: type[Message]) -> list[Any]:
        return self.links[participant.id].of(kind)

    def transport(self, participant: Participant, *, sctp: bool = False) -> FakeTransport:
        created = participant.media.create_transport(enable_sctp=sctp)
        return next(one for one in self.router.transports if one.id == created.id)

    def microphone(self, participant: Participant) -> ProducerPort:
        transport = self.transport(participant)
        return self.room.produce(participant, transport.id, "audio", audio_parameters())

    def camera(self, participant: Participant, **options: Any) -> ProducerPort:
        transport = self.transport(participant)
        return self.room.produce(participant, transport.id, "video", video_parameters(), **options)
