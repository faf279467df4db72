"""What rooms need: of the roof, who may do what in which room; of the core, a router with transports.

The protocols of the core name only what rooms use of it, so that their tests need no sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from aiohttp import web

from sfu.protocol.parameters import (
    DtlsParameters,
    IceCandidate,
    IceParameters,
    Kind,
    RtpCapabilities,
    RtpParameters,
    SctpParameters,
    SctpStreamParameters,
)


@dataclass(frozen=True, slots=True)
class Grants:
    """What somebody may do in a room. `room_id` is the room's id, whatever it was called by.

    `identity` is the user's, or a guest's own, which may be another for each of their connections
    (`is_guest`). `name` is shown to the others. `is_host` is whose room it is. `can_publish` puts somebody on
    the stage at once, others need an invitation. `address` is where they connect from, told to nobody; empty
    if it is not known. `max_viewers` is the room's, None for whom a full room does not keep out.
    """

    room_id: str
    identity: str
    name: str
    can_publish: bool = False
    can_subscribe: bool = True
    can_moderate: bool = False
    is_host: bool = False
    is_guest: bool = False
    address: str = ""
    max_viewers: int | None = None

    def may_be_same(self, other: Grants) -> bool:
        """Whether who has a resume token, too, is the same: of a guest nothing else is known."""
        return self.identity == other.identity or (self.is_guest and other.is_guest)


class RoomAccess(Protocol):
    """Implemented by the roof. A principal is whatever `admit` returned; rooms only hand it back."""

    async def admit(self, request: web.Request) -> object:
        """Return who connects (by ticket, bearer token, cookie with the right Origin, or nobody).

        Limits how often an address may connect. Raises Refusal: `invalid_token`, `bad_origin`,
        `rate_limited`.
        """

    async def authorize(self, room: str, token: str | None, principal: object) -> Grants:
        """Return what `principal` may do in `room` (id or slug), `token` being a playback or publish grant.

        Raises Refusal: `room_not_found`, `invalid_token`, or why the room is closed to them.
        """

    async def review(self, grants: Grants, principal: object) -> Grants:
        """Return what somebody who was granted this before may do now, however old the token has become.

        Called when something about the room or the user changed. Raises Refusal if that is nothing any
        more, `unavailable` if nobody can tell.
        """


class Audience(Protocol):
    """Implemented by the roof: who receives something takes a viewer's place."""

    def watch(self, grants: Grants) -> Callable[[], None]:
        """Take a place; call what is returned, once, when nothing is received any more.

        Raises Refusal: `server_full`, `room_full`.
        """


class LayersInfo(Protocol):
    """A spatial and a temporal layer."""

    @property
    def spatial(self) -> int: ...

    @property
    def temporal(self) -> int | None: ...


class ProducerPort(Protocol):
    """sfu.producer.Producer."""

    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def paused(self) -> bool: ...
    @property
    def is_program(self) -> bool: ...
    @property
    def app_data(self) -> Mapping[str, object]: ...

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...


class ConsumerPort(Protocol):
    """sfu.consumer.Consumer."""

    @property
    def id(self) -> str: ...
    @property
    def producer_id(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def rtp_parameters(self) -> RtpParameters: ...
    @property
    def paused(self) -> bool: ...
    @property
    def producer_paused(self) -> bool: ...
    @property
    def suspended(self) -> bool: ...
    @property
    def current_layers(self) -> LayersInfo | None: ...

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def set_preferred_layers(self, spatial: int, temporal: int | None = None) -> None: ...
    def set_suspended(self, suspended: bool) -> None: ...
    def set_priority(self, priority: int) -> None: ...
    def request_keyframe(self) -> None: ...
    def close(self) -> None: ...


class DataProducerPort(Protocol):
    on_closed: Callable[[], object]

    @property
    def id(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def protocol(self) -> str: ...

    def close(self) -> None: ...


class DataConsumerPort(Protocol):
    on_closed: Callable[[], object]

    @property
    def id(self) -> str: ...
    @property
    def data_producer_id(self) -> str: ...
    @property
    def sctp_stream_parameters(self) -> SctpStreamParameters: ...
    @property
    def label(self) -> str: ...
    @property
    def protocol(self) -> str: ...

    def close(self) -> None: ...


class TransportPort(Protocol):
    """sfu.transport.WebRtcTransport."""

    @property
    def id(self) -> str: ...
    @property
    def ice_parameters(self) -> IceParameters: ...
    @property
    def ice_candidates(self) -> Sequence[IceCandidate]: ...
    @property
    def dtls_parameters(self) -> DtlsParameters: ...
    @property
    def sctp_parameters(self) -> SctpParameters | None: ...

    def connect(self, dtls: DtlsParameters) -> None: ...
    def restart_ice(self) -> IceParameters: ...
    def produce(
        self,
        kind: Kind,
        rtp_parameters: RtpParameters,
        *,
        paused: bool = False,
        app_data: Mapping[str, object] | None = None,
        is_program: bool = False,
    ) -> ProducerPort: ...
    def consume(
        self, producer_id: str, capabilities: RtpCapabilities, *, paused: bool = True
    ) -> ConsumerPort: ...
    def statistics(self) -> Sequence[Mapping[str, object]]: ...
    def set_max_incoming_bitrate(self, bitrate: int) -> None: ...
    def close(self) -> None: ...


@runtime_checkable
class DataTransportPort(Protocol):
    """A transport that can have data channels."""

    def produce_data(
        self, parameters: SctpStreamParameters, label: str, protocol: str
    ) -> DataProducerPort: ...
    def consume_data(self, data_producer_id: str) -> DataConsumerPort: ...


class TransportEvents(Protocol):
    """What a participant hears of its transports: sfu.transport.TransportListener."""

    def on_transport_state(self, transport: TransportPort, state: object) -> None: ...
    def on_transport_closed(self, transport: TransportPort) -> None: ...
    def on_consumer_closed(self, consumer: ConsumerPort) -> None: ...
    def on_consumer_paused(self, consumer: ConsumerPort) -> None: ...
    def on_consumer_layers(self, consumer: ConsumerPort) -> None: ...


class VolumeInfo(Protocol):
    @property
    def producer_id(self) -> str: ...
    @property
    def volume(self) -> int: ...


class RouterEvents(Protocol):
    """What a room hears of its router: sfu.router.RouterListener."""

    def on_producer(self, producer: ProducerPort) -> None: ...
    def on_producer_closed(self, producer: ProducerPort) -> None: ...
    def on_producer_paused(self, producer: ProducerPort) -> None: ...
    def on_active_speaker(self, producer_id: str | None) -> None: ...
    def on_volumes(self, volumes: Sequence[VolumeInfo]) -> None: ...


class RouterPort(Protocol):
    """sfu.router.Router."""

    @property
    def rtp_capabilities(self) -> RtpCapabilities: ...
    @property
    def producers(self) -> Mapping[str, ProducerPort]: ...

    def create_transport(self, listener: TransportEvents, *, enable_sctp: bool = False) -> TransportPort: ...
    def add_listener(self, listener: RouterEvents) -> None: ...
    def remove_listener(self, listener: RouterEvents) -> None: ...


class RouterSource(Protocol):
    """The roof's table of routers, which WHIP and WHEP use as well (sfu.ports.Rooms)."""

    async def router(self, room_id: str) -> RouterPort:
        """Return the router of the room, which stays until `release` was called as often."""

    def release(self, room_id: str) -> None:
        """The room needs it no more."""
