"""The media of one room: its producers, and the transports of who sends and gets them."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from sfu.data_streams import DataProducer
from sfu.errors import NoSuchProducer, TooManyTransports, TransportClosed
from sfu.media_plane import log
from sfu.observers import AudioObserver
from sfu.producer import LocalProducer, LocalProducerListener, Producer
from sfu.protocol import ortc
from sfu.protocol.active_speaker import Volume
from sfu.protocol.parameters import (
    Kind,
    RtpCapabilities,
    RtpCodecCapability,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpParameters,
)
from sfu.taps import PacketSink, Tap
from sfu.transport import WebRtcTransport
from sfu.transport_ports import TransportHost, TransportListener

KEPT_SHARE: Final = 20
"""One of so many transports is none of a spectator's."""


class RouterListener(Protocol):
    """Who is told of a room's producers."""

    def on_producer(self, producer: Producer) -> None:
        """There is another producer."""

    def on_producer_closed(self, producer: Producer) -> None:
        """A producer has ended."""

    def on_producer_paused(self, producer: Producer) -> None:
        """A producer was paused or goes on: see `paused`."""

    def on_active_speaker(self, producer_id: str | None) -> None:
        """Another producer has the floor; None if nobody has it."""

    def on_volumes(self, volumes: Sequence[Volume]) -> None:
        """The loudest producers of an interval, loudest first; empty once when all have become silent."""


class RouterHost(TransportHost, Protocol):
    """The server."""

    def add_transport(self, transport: WebRtcTransport) -> None:
        """Let a transport receive."""

    def router_closed(self, router: Router) -> None:
        """Forget a router."""


class Router:
    """Made by `WebRtcServer.create_router`; has as many as `max_transports` transports."""

    def __init__(
        self, host: RouterHost, room_id: str, codecs: Iterable[RtpCodecCapability], max_transports: int
    ) -> None:
        self.id = str(uuid.uuid4())
        self.room_id = room_id
        self.rtp_capabilities = ortc.router_rtp_capabilities(codecs)
        self.audio = AudioObserver(self)
        self.is_closed = False
        self.data_producers: dict[str, DataProducer] = {}
        self._host = host
        self._max_transports = max_transports
        self._producers: dict[str, Producer] = {}
        self._transports: dict[str, WebRtcTransport] = {}
        self._listeners: list[RouterListener] = []
        self._next_ssrc = secrets.randbits(31)

    @property
    def producers(self) -> Mapping[str, Producer]:
        """By id, in the order in which they came."""
        return MappingProxyType(self._producers)

    @property
    def transports(self) -> Mapping[str, WebRtcTransport]:
        """By id."""
        return MappingProxyType(self._transports)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is there: neither transports nor producers."""
        return not self._transports and not self._producers

    def create_transport(
        self, listener: TransportListener, *, enable_sctp: bool = False, is_spectator: bool = False
    ) -> WebRtcTransport:
        """Return a transport that waits for its peer; raises TooManyTransports.

        Spectators, who only watch, leave some places to those who send.
        """
        self._check_open()
        kept = self._max_transports // KEPT_SHARE if is_spectator else 0
        if len(self._transports) >= self._max_transports - kept:
            raise TooManyTransports(f"the room has {self._max_transports} transports already")
        transport = WebRtcTransport(self._host, self, listener, enable_sctp=enable_sctp)
        self._host.add_transport(transport)
        self._transports[transport.id] = transport
        return transport

    def remove_transport(self, transport: WebRtcTransport) -> None:
        """Forget a transport that was closed."""
        self._transports.pop(transport.id, None)

    def produce_local(
        self, kind: Kind, codec: RtpCodecCapability, listener: LocalProducerListener
    ) -> LocalProducer:
        """Return a producer for packets of this process.

        `codec` is matched with the router's; its parameters describe what is sent. Raises
        ortc.UnsupportedParameters.
        """
        self._check_open()
        parameters = RtpParameters(
            codecs=(
                RtpCodecParameters(
                    mime_type=codec.mime_type,
                    payload_type=codec.preferred_payload_type or 0,
                    clock_rate=codec.clock_rate,
                    channels=codec.channels,
                    parameters=codec.parameters,
                ),
            ),
            encodings=(RtpEncodingParameters(),),
        )
        mapping = ortc.producer_mapping(parameters, self.rtp_capabilities, self.next_ssrc())
        consumable = ortc.consumable_parameters(kind, parameters, self.rtp_capabilities, mapping)
        producer = LocalProducer(kind, consumable, self._host.plane, self, listener)
        self.add_producer(producer)
        return producer

    def producer(self, producer_id: str) -> Producer:
        """Return a producer; raises NoSuchProducer."""
        found = self._producers.get(producer_id)
        if found is None:
            raise NoSuchProducer("there is no producer of this id")
        return found

    def tap(self, producer_id: str, sink: PacketSink) -> Tap:
        """Give `sink` every plain packet of a producer; raises NoSuchProducer."""
        return self.producer(producer_id).tap(sink)

    def can_consume(self, producer_id: str, capabilities: RtpCapabilities) -> bool:
        """Return whether a peer with `capabilities` can decode a producer; raises NoSuchProducer."""
        return ortc.can_consume(self.producer(producer_id).consumable_parameters, capabilities)

    def add_listener(self, listener: RouterListener) -> None:
        """Tell `listener` of what happens from now on."""
        self._listeners.append(listener)

    def remove_listener(self, listener: RouterListener) -> None:
        """Tell `listener` nothing more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def close(self) -> None:
        """End every transport and producer; does nothing a second time."""
        if self.is_closed:
            return
        self.is_closed = True
        for transport in tuple(self._transports.values()):
            transport.close()
        for producer in tuple(self._producers.values()):
            producer.close()
        self._host.router_closed(self)
        self._listeners.clear()

    def next_ssrc(self) -> int:
        """Return a number from which producers' streams are counted."""
        self._next_ssrc = (self._next_ssrc + 16) & 0x7FFF_FFFF
        return self._next_ssrc or self.next_ssrc()

    def tick(self, now: float) -> None:
        """Do what time asks for."""
        self.audio.tick(now)
        for producer in tuple(self._producers.values()):
            if isinstance(producer, LocalProducer):
                producer.tick(now)

    def add_producer(self, producer: Producer) -> None:
        """Offer a producer to the room."""
        self._producers[producer.id] = producer
        self._tell(lambda listener: listener.on_producer(producer))

    def producer_closed(self, producer: Producer) -> None:
        """A producer has ended."""
        if self._producers.pop(producer.id, None) is not None:
            self._tell(lambda listener: listener.on_producer_closed(producer))

    def producer_paused(self, producer: Producer) -> None:
        """A producer was paused, or goes on."""
        if producer.kind == "audio":
            self.audio.set_paused(producer.id, producer.paused)
        self._tell(lambda listener: listener.on_producer_paused(producer))

    def speaker_changed(self, producer_id: str | None) -> None:
        """Someone else has the floor."""
        self._tell(lambda listener: listener.on_active_speaker(producer_id))

    def volumes_measured(self, volumes: Sequence[Volume]) -> None:
        """An interval has ended."""
        self._tell(lambda listener: listener.on_volumes(volumes))

    def _tell(self, call: Callable[[RouterListener], None]) -> None:
        for listener in tuple(self._listeners):
            try:
                call(listener)
            except Exception:
                log.warning("sfu_listener_failed", exc_info=True)

    def _check_open(self) -> None:
        if self.is_closed:
            raise TransportClosed("the room is closed")
