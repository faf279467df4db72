"""What one participant sends and receives, by id, within limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from msgspec.structs import replace

from sfu.errors import NoDataChannels
from sfu.protocol.parameters import DtlsParameters, Kind, RtpCapabilities, RtpParameters, SctpStreamParameters
from sfu.room_errors import Refusal
from sfu.room_messages import (
    ConsumerClosed,
    ConsumerLayersChanged,
    ConsumerPaused,
    ConsumerResumed,
    Message,
    TransportClosed,
)
from sfu.room_ports import (
    ConsumerPort,
    DataConsumerPort,
    DataProducerPort,
    DataTransportPort,
    ProducerPort,
    RouterPort,
    TransportPort,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Of one participant. `max_incoming_bitrate` in bit/s, of each transport."""

    transports: int = 4
    producers: int = 8
    consumers: int = 128
    data_producers: int = 8
    data_consumers: int = 64
    max_incoming_bitrate: int = 8_000_000


class _Table(Generic[T]):
    """Things by id, each on one transport."""

    def __init__(self, noun: str, limit: int) -> None:
        self._noun = noun
        self._limit = limit
        self._entries: dict[str, tuple[str, T]] = {}

    def check_room(self) -> None:
        if len(self._entries) >= self._limit:
            raise Refusal("too_many_streams", f"No more than {self._limit} {self._noun}s at a time.")

    def add(self, identifier: str, transport_id: str, thing: T) -> None:
        self._entries[identifier] = (transport_id, thing)

    def get(self, identifier: str) -> T:
        entry = self._entries.get(identifier)
        if entry is None:
            raise Refusal("not_found", f"You have no {self._noun} of this id.")
        return entry[1]

    def pop(self, identifier: str) -> T | None:
        entry = self._entries.pop(identifier, None)
        return None if entry is None else entry[1]

    def pop_transport(self, transport_id: str) -> list[T]:
        """Forget those on the transport, and return them."""
        gone = [key for key, (carrier, _) in self._entries.items() if carrier == transport_id]
        return [self._entries.pop(key)[1] for key in gone]

    def values(self) -> list[T]:
        return [thing for _, thing in self._entries.values()]

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._entries


class ParticipantMedia:
    """Implements room_ports.TransportEvents. What it raises has changed nothing."""

    def __init__(self, router: RouterPort, limits: MediaLimits = MediaLimits()) -> None:
        self._router = router
        self._limits = limits
        self._transports: _Table[TransportPort] = _Table("transport", limits.transports)
        self._producers: _Table[ProducerPort] = _Table("producer", limits.producers)
        self._consumers: _Table[ConsumerPort] = _Table("consumer", limits.consumers)
        self._data_producers: _Table[DataProducerPort] = _Table("data producer", limits.data_producers)
        self._data_consumers: _Table[DataConsumerPort] = _Table("data consumer", limits.data_consumers)
        self._is_closed = False
        self.tell: Callable[[Message], None] = _to_nobody
        self.on_data_producers_closed: Callable[[Iterable[DataProducerPort]], None] = _to_nobody
        self.take_place: Callable[[], Callable[[], None] | None] = _no_place
        """Called with the first consumer; what it returns, with the end of the last one."""
        self._leave_place: Callable[[], None] | None = None
        self.capabilities: RtpCapabilities | None = None
        """What the peer can receive, once it has said so."""

    # Transports

    def create_transport(self, *, enable_sctp: bool) -> TransportPort:
        """Make a transport."""
        self._transports.check_room()
        transport = self._router.create_transport(self, enable_sctp=enable_sctp)
        transport.set_max_incoming_bitrate(self._limits.max_incoming_bitrate)
        self._transports.add(transport.id, transport.id, transport)
        return transport

    def transport(self, transport_id: str) -> TransportPort:
        """Return the transport of this id."""
        return self._transports.get(transport_id)

    def connect(self, transport_id: str, dtls: DtlsParameters) -> None:
        """Tell a transport of its peer's certificate."""
        self._transports.get(transport_id).connect(dtls)

    def close_transport(self, transport_id: str) -> None:
        """Close it and what it carries."""
        self._transports.get(transport_id).close()
        self._forget_transport(transport_id)

    @property
    def transports(self) -> list[TransportPort]:
        """All of them."""
        return self._transports.values()

    def _data_transport(self, transport_id: str) -> DataTransportPort:
        transport = self._transports.get(transport_id)
        if transport.sctp_parameters is None or not isinstance(transport, DataTransportPort):
            raise NoDataChannels("The transport was made without data channels.")
        return transport

    # What it sends

    @property
    def producers(self) -> list[ProducerPort]:
        """All of them."""
        return self._producers.values()

    @property
    def data_producers(self) -> list[DataProducerPort]:
        """All of them."""
        return self._data_producers.values()

    def producer(self, producer_id: str) -> ProducerPort:
        """Return the producer of this id."""
        return self._producers.get(producer_id)

    def produce(
        self,
        transport_id: str,
        kind: Kind,
        parameters: RtpParameters,
        *,
        paused: bool,
        app_data: Mapping[str, object],
        is_program: bool,
    ) -> ProducerPort:
        """Begin to send a track."""
        self._producers.check_room()
        transport = self._transports.get(transport_id)
        # What a peer sends on one transport is in step; under simulcast, browsers do not say so themselves.
        parameters = replace(parameters, rtcp=replace(parameters.rtcp, cname=transport_id))
        producer = transport.produce(
            kind, parameters, paused=paused, app_data=app_data, is_program=is_program
        )
        self._producers.add(producer.id, transport_id, producer)
        return producer

    def close_producer(self, producer_id: str) -> None:
        """End a track."""
        self._producers.get(producer_id).close()
        self._producers.pop(producer_id)

    def forget_producer(self, producer_id: str) -> None:
        """It is closed already, whoever did it."""
        self._producers.pop(producer_id)

    def stop_sending(self) -> None:
        """Close all that it sends."""
        for producer in self._producers.values():
            self.close_producer(producer.id)
        for data_producer in self._data_producers.values():
            data_producer.close()

    def pause_kinds(self, kinds: Iterable[Kind]) -> None:
        """Pause what it sends of these kinds."""
        for producer in self._producers.values():
            if producer.kind in kinds and not producer.paused:
                producer.pause()

    def produce_data(
        self, transport_id: str, parameters: SctpStreamParameters, label: str, protocol: str
    ) -> DataProducerPort:
        """Begin to send messages."""
        self._data_producers.check_room()
        data_producer = self._data_transport(transport_id).produce_data(parameters, label, protocol)
        self._data_producers.add(data_producer.id, transport_id, data_producer)
        data_producer.on_closed = lambda: self._data_producer_closed(data_producer)
        return data_producer

    def _data_producer_closed(self, data_producer: DataProducerPort) -> None:
        if self._data_producers.pop(data_producer.id) is not None:
            self.on_data_producers_closed((data_producer,))

    def close_data_producer(self, data_producer_id: str) -> None:
        """End a channel."""
        self._data_producers.get(data_producer_id).close()

    # What it receives

    @property
    def consumers(self) -> list[ConsumerPort]:
        """All of them."""
        return self._consumers.values()

    def consumer(self, consumer_id: str) -> ConsumerPort:
        """Return the consumer of this id."""
        return self._consumers.get(consumer_id)

    def consume(
        self,
        transport_id: str,
        producer_id: str,
        capabilities: RtpCapabilities | None,
        *,
        paused: bool,
        suspended: bool = False,
    ) -> ConsumerPort:
        """Begin to receive a track. The capabilities given last count when there are none."""
        self._consumers.check_room()
        if producer_id in self._producers:
            raise Refusal("own_producer", "This is what you send yourself.")
        if any(consumer.producer_id == producer_id for consumer in self.consumers):
            raise _already_consumed()
        if capabilities is not None:
            self.capabilities = capabilities
        if self.capabilities is None:
            raise Refusal("no_capabilities", "Say what you can receive: rtpCapabilities is missing.")
        transport = self._transports.get(transport_id)
        if not self._consumers.values():
            self._leave_place = self.take_place()
        try:
            consumer = transport.consume(producer_id, self.capabilities, paused=paused or suspended)
            self._consumers.add(consumer.id, transport_id, consumer)
        finally:
            self._review_place()
        if suspended:
            consumer.set_suspended(True)
            if not paused:
                consumer.resume()
        return consumer

    def _review_place(self) -> None:
        """Give the viewer's place back if nothing is received any more."""
        leave = self._leave_place
        if leave is not None and not self._consumers.values():
            self._leave_place = None
            leave()

    def suspend(self, is_hidden: Callable[[str], bool]) -> None:
        """Receive nothing of the producers that are hidden, and the others again."""
        for consumer in self._consumers.values():
            hidden = is_hidden(consumer.producer_id)
            if hidden is not consumer.suspended:
                consumer.set_suspended(hidden)
                message = ConsumerPaused if hidden else ConsumerResumed
                self._say(message(consumer_id=consumer.id, reason="lastN"))

    def close_consumer(self, consumer_id: str) -> None:
        """Receive it no more."""
        self._consumers.get(consumer_id).close()
        self._consumers.pop(consumer_id)
        self._review_place()

    def stop_receiving(self) -> None:
        """Close all that it receives."""
        for consumer in self._consumers.values():
            self.close_consumer(consumer.id)
            self._say(ConsumerClosed(consumer_id=consumer.id))
        for data_consumer in self._data_consumers.values():
            data_consumer.close()

    def consume_data(self, transport_id: str, data_producer_id: str) -> DataConsumerPort:
        """Begin to receive messages."""
        self._data_consumers.check_room()
        if any(channel.data_producer_id == data_producer_id for channel in self.data_consumers):
            raise _already_consumed()
        data_consumer = self._data_transport(transport_id).consume_data(data_producer_id)
        self._data_consumers.add(data_consumer.id, transport_id, data_consumer)
        data_consumer.on_closed = partial(self._data_consumers.pop, data_consumer.id)
        return data_consumer

    def forget_data_consumers(self, data_producer_id: str) -> None:
        """What they received is over."""
        for data_consumer in self._data_consumers.values():
            if data_consumer.data_producer_id == data_producer_id:
                data_consumer.close()

    @property
    def data_consumers(self) -> list[DataConsumerPort]:
        """All of them."""
        return self._data_consumers.values()

    def close(self) -> None:
        """Close everything; nothing is told to the participant any more."""
        self._is_closed = True
        for transport in self._transports.values():
            transport.close()
            self._forget_transport(transport.id)

    # What transports tell

    def on_transport_state(self, transport: TransportPort, state: object) -> None:
        """Implement TransportEvents: the client's own connection tells it the same."""

    def on_transport_closed(self, transport: TransportPort) -> None:
        """Implement TransportEvents."""
        self._forget_transport(transport.id)

    def on_consumer_closed(self, consumer: ConsumerPort) -> None:
        """Implement TransportEvents."""
        if self._consumers.pop(consumer.id) is not None:
            self._review_place()
            self._say(ConsumerClosed(consumer_id=consumer.id))

    def on_consumer_paused(self, consumer: ConsumerPort) -> None:
        """Implement TransportEvents."""
        message = ConsumerPaused if consumer.producer_paused else ConsumerResumed
        self._say(message(consumer_id=consumer.id, reason="producer"))

    def on_consumer_layers(self, consumer: ConsumerPort) -> None:
        """Implement TransportEvents."""
        layers = consumer.current_layers
        spatial = temporal = None
        if layers is not None:
            spatial, temporal = layers.spatial, layers.temporal
        self._say(
            ConsumerLayersChanged(consumer_id=consumer.id, spatial_layer=spatial, temporal_layer=temporal)
        )

    def _forget_transport(self, transport_id: str) -> None:
        if self._transports.pop(transport_id) is None:
            return
        self._producers.pop_transport(transport_id)
        self._consumers.pop_transport(transport_id)
        self._review_place()
        self._data_consumers.pop_transport(transport_id)
        closed = self._data_producers.pop_transport(transport_id)
        if closed:
            self.on_data_producers_closed(closed)
        self._say(TransportClosed(transport_id=transport_id))

    def _say(self, message: Message) -> None:
        if not self._is_closed:
            self.tell(message)


def _already_consumed() -> Refusal:
    """What one peer gets twice costs as much as a second peer, and counts as none."""
    return Refusal("already_consumed", "You receive this already.")


def _no_place() -> None:
    """Take none: nobody counts."""


def _to_nobody(_: object) -> None:
    """Do nothing: the participant is not there yet."""
