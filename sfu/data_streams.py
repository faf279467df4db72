"""Messages from one peer's data channel to the channels of others: data producers and data consumers."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, MutableMapping
from typing import Final

from aiortc.rtcdatachannel import RTCDataChannelParameters

from sfu.data_channels import (
    MAX_LABEL_SIZE,
    MAX_STREAMS,
    SCTP_PORT,
    Carrier,
    DataChannel,
    DataChannelLimits,
    SctpAssociation,
)
from sfu.errors import DuplicateStream, NoSuchProducer, TooManyStreams
from sfu.ingress_limit import IngressLimit
from sfu.protocol import ortc
from sfu.protocol.parameters import SctpParameters, SctpStreamParameters

PEER_MESSAGE_SIZE: Final = 262_144
"""What every browser takes."""

MAX_MESSAGES: Final = 60
"""That one channel passes on in a second: each costs what a packet of media does, times the consumers."""
MAX_OCTETS: Final = 262_144
"""In a second; the longest message."""

_closing: set[asyncio.Task[None]] = set()


def _nobody() -> None:
    """Nobody waits for the end."""


class DataProducer:
    """One channel that a peer sends on; made by `WebRtcTransport.produce_data`."""

    def __init__(self, side: DataSide, parameters: SctpStreamParameters, label: str, protocol: str) -> None:
        self.id = str(uuid.uuid4())
        self.sctp_stream_parameters = parameters
        self.label = label
        self.protocol = protocol
        self.consumers: dict[str, DataConsumer] = {}
        self.is_closed = False
        self.on_closed: Callable[[], object] = _nobody
        """Called once at the end, whoever brought it about: the peer may close a channel by itself."""
        self.messages = 0
        self.octets = 0
        self._limit = IngressLimit(MAX_MESSAGES, 8 * MAX_OCTETS)
        self._side = side

    @property
    def dropped(self) -> int:
        """Messages that were more than one channel may send."""
        return self._limit.dropped

    def receive(self, message: str | bytes) -> None:
        """Hand a message to every consumer, if it is not one too many."""
        size = len(message.encode() if isinstance(message, str) else message)
        if not self._limit.admits(size, self._side.clock()):
            return
        self.messages += 1
        self.octets += size
        for consumer in tuple(self.consumers.values()):
            consumer.send(message)

    def close(self) -> None:
        """End it and its consumers; does nothing a second time."""
        if self.is_closed:
            return
        self.is_closed = True
        self._side.remove_producer(self)
        for consumer in tuple(self.consumers.values()):
            consumer.close()
        self.on_closed()


class DataConsumer:
    """One channel that a peer gets messages on; made by `WebRtcTransport.consume_data`."""

    def __init__(self, side: DataSide, producer: DataProducer, parameters: SctpStreamParameters) -> None:
        self.id = str(uuid.uuid4())
        self.sctp_stream_parameters = parameters
        self.label = producer.label
        self.protocol = producer.protocol
        self.is_closed = False
        self.on_closed: Callable[[], object] = _nobody
        """Called once at the end, whoever brought it about."""
        self.messages = 0
        self.dropped = 0
        """Messages that came before the channel was open, or while too much waited."""
        self._side = side
        self._producer = producer

    @property
    def data_producer_id(self) -> str:
        """The data producer's id."""
        return self._producer.id

    def send(self, message: str | bytes) -> None:
        """Send a message, or drop it."""
        if self._side.send(self.sctp_stream_parameters.stream_id, message):
            self.messages += 1
        else:
            self.dropped += 1

    def close(self) -> None:
        """End it; does nothing a second time."""
        if self.is_closed:
            return
        self.is_closed = True
        self._producer.consumers.pop(self.id, None)
        self._side.remove_consumer(self)
        self.on_closed()


class DataSide:
    """The data channels of one transport; all are agreed on by signalling, none by DCEP."""

    def __init__(
        self,
        carrier: Carrier,
        data_producers: MutableMapping[str, DataProducer],
        limits: DataChannelLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`data_producers` are the router's."""
        self.clock = clock
        self.limits = limits or DataChannelLimits()
        self.parameters = SctpParameters(
            port=SCTP_PORT, OS=MAX_STREAMS, MIS=MAX_STREAMS, max_message_size=self.limits.message_size
        )
        self._carrier = carrier
        self._all = data_producers
        self._association: SctpAssociation | None = None
        self._producers: dict[int, DataProducer] = {}
        self._consumers: dict[int, DataConsumer] = {}
        self._next_stream = 0
        self._channels: dict[int, DataChannel] = {}

    def produce(self, parameters: SctpStreamParameters, label: str, protocol: str) -> DataProducer:
        """Take messages of a stream; raises DuplicateStream, TooManyStreams, ortc.InvalidParameters."""
        if max(len(label), len(protocol)) > MAX_LABEL_SIZE:
            raise ortc.InvalidParameters(f"a label or protocol of more than {MAX_LABEL_SIZE} characters")
        self._check_room()
        parameters = ortc.stream_parameters(parameters)
        if parameters.stream_id in self._producers or parameters.stream_id in self._consumers:
            raise DuplicateStream(f"the SCTP stream {parameters.stream_id} is in use")
        producer = DataProducer(self, parameters, label, protocol)
        self._producers[parameters.stream_id] = producer
        try:
            self._open(parameters, label, protocol)
        except DuplicateStream:
            del self._producers[parameters.stream_id]
            raise
        self._all[producer.id] = producer
        return producer

    def consume(self, data_producer_id: str) -> DataConsumer:
        """Send the messages of a data producer; raises NoSuchProducer, TooManyStreams, DuplicateStream."""
        producer = self._all.get(data_producer_id)
        if producer is None:
            raise NoSuchProducer("there is no data producer of this id")
        self._check_room()
        stream_id = self._free_stream()
        source = producer.sctp_stream_parameters
        parameters = SctpStreamParameters(
            stream_id=stream_id,
            ordered=source.ordered,
            max_packet_life_time=source.max_packet_life_time,
            max_retransmits=source.max_retransmits,
        )
        consumer = DataConsumer(self, producer, parameters)
        self._consumers[stream_id] = consumer
        try:
            self._open(parameters, producer.label, producer.protocol)
        except DuplicateStream:
            del self._consumers[stream_id]
            raise
        producer.consumers[consumer.id] = consumer
        return consumer

    def _free_stream(self) -> int:
        """Return the next in turn: one that was used just now is in use until both sides have reset it."""
        taken = self._producers.keys() | self._consumers.keys()
        numbers = (
            number % MAX_STREAMS for number in range(self._next_stream, self._next_stream + MAX_STREAMS)
        )
        stream_id = next(number for number in numbers if number not in taken)
        self._next_stream = stream_id + 1
        return stream_id

    def _check_room(self) -> None:
        if len(self._producers) + len(self._consumers) >= self.limits.channels:
            raise TooManyStreams(f"a transport has at most {self.limits.channels} data channels")

    def connected(self) -> None:
        """DTLS is there: begin."""
        if self._association is not None:
            return
        self._association = SctpAssociation(self._carrier, self, self.limits)
        self._association.start(SCTP_PORT, PEER_MESSAGE_SIZE)
        for source in self._sources():
            self._open(source.sctp_stream_parameters, source.label, source.protocol)

    def _open(self, parameters: SctpStreamParameters, label: str, protocol: str) -> None:
        """Open the channel, when there is an association. Raises DuplicateStream where it is being closed."""
        if self._association is None:
            return
        wanted = RTCDataChannelParameters(
            label=label,
            protocol=protocol,
            ordered=parameters.ordered is not False,
            maxPacketLifeTime=parameters.max_packet_life_time,
            maxRetransmits=parameters.max_retransmits,
            negotiated=True,
            id=parameters.stream_id,
        )
        try:
            self._channels[parameters.stream_id] = self._association.open(wanted)
        except ValueError as error:
            raise DuplicateStream(f"the SCTP stream {parameters.stream_id} is in use") from error

    def receive(self, data: bytes) -> None:
        """Take an SCTP packet."""
        if self._association is not None:
            self._association.receive(data)

    def send(self, stream_id: int, message: str | bytes) -> bool:
        """Send a message on a channel; False if it cannot."""
        channel = self._channels.get(stream_id)
        return channel is not None and channel.send(message)

    def remove_producer(self, producer: DataProducer) -> None:
        """Forget a data producer."""
        self._all.pop(producer.id, None)
        if self._producers.pop(producer.sctp_stream_parameters.stream_id, None) is not None:
            self._close_channel(producer.sctp_stream_parameters.stream_id)

    def remove_consumer(self, consumer: DataConsumer) -> None:
        """Forget a data consumer."""
        if self._consumers.pop(consumer.sctp_stream_parameters.stream_id, None) is not None:
            self._close_channel(consumer.sctp_stream_parameters.stream_id)

    def _close_channel(self, stream_id: int) -> None:
        channel = self._channels.pop(stream_id, None)
        if channel is not None:
            channel.close()

    def close(self) -> None:
        """End every channel and the association."""
        self._end()
        association, self._association = self._association, None
        if association is not None:
            task = asyncio.get_running_loop().create_task(association.close())
            _closing.add(task)
            task.add_done_callback(_closing.discard)

    def _end(self) -> None:
        self._channels.clear()
        for source in self._sources():
            source.close()

    def _sources(self) -> list[DataProducer | DataConsumer]:
        return [*self._producers.values(), *self._consumers.values()]

    # What the association calls.

    def on_data_channel(self, channel: DataChannel) -> None:
        """A channel is open; those that the peer opened by itself are refused."""
        stream_id = channel.stream_id
        is_known = stream_id in self._producers or stream_id in self._consumers
        if stream_id is None or not is_known or self._channels.get(stream_id, channel) is not channel:
            channel.close()

    def on_data_channel_message(self, channel: DataChannel, message: str | bytes) -> None:
        """Take a message."""
        producer = None if channel.stream_id is None else self._producers.get(channel.stream_id)
        if producer is not None:
            producer.receive(message)

    def on_data_channel_closed(self, channel: DataChannel) -> None:
        """The peer closed a channel: what it carried ends."""
        stream_id = channel.stream_id
        if stream_id is None or self._channels.get(stream_id) is not channel:
            return
        del self._channels[stream_id]
        for source in (self._producers.get(stream_id), self._consumers.get(stream_id)):
            if source is not None:
                source.close()

    def on_association_closed(self) -> None:
        """All channels have ended."""
        self._end()
