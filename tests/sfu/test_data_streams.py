"""Data producers and data consumers between linked peers."""

from __future__ import annotations

import contextlib

import pytest
from aiortc.rtcdatachannel import RTCDataChannelParameters

from sfu.data_channels import MAX_STREAMS, DataChannel, SctpAssociation
from sfu.data_streams import MAX_MESSAGES, MAX_OCTETS
from sfu.dtls import DtlsState
from sfu.errors import DuplicateStream, NoDataChannels, NoSuchProducer
from sfu.protocol.ortc import InvalidParameters
from sfu.protocol.parameters import SctpStreamParameters
from tests.helpers.waiting import eventually
from tests.sfu.linked_world import Peer, World


class DataPeer:
    """A peer's end of the association."""

    def __init__(self, world: World) -> None:
        self.peer = Peer(world, world.next_address(), enable_sctp=True)
        self.messages: list[str | bytes] = []
        self.ended = 0

    async def connect(self) -> None:
        """Connect ICE, DTLS and SCTP."""
        await self.peer.connect()
        self.association = SctpAssociation(self.peer.dtls, self)
        self.peer.on_data = self.association.receive
        self.association.start()
        await eventually(lambda: self.association.is_connected)

    def open(self, stream_id: int, label: str = "chat") -> DataChannel:
        """Open a channel as mediasoup-client does."""
        return self.association.open(RTCDataChannelParameters(label=label, negotiated=True, id=stream_id))

    async def close(self) -> None:
        """Leave."""
        with contextlib.suppress(ConnectionError):
            await self.association.close()

    def on_data_channel(self, channel: DataChannel) -> None:
        """Nothing."""

    def on_data_channel_message(self, channel: DataChannel, message: str | bytes) -> None:
        self.messages.append(message)

    def on_data_channel_closed(self, channel: DataChannel) -> None:
        """Nothing."""

    def on_association_closed(self) -> None:
        self.ended += 1


async def test_messages_go_from_one_peer_to_the_others() -> None:
    world = World()
    sender, viewers = DataPeer(world), [DataPeer(world), DataPeer(world)]
    producer = sender.peer.transport.produce_data(SctpStreamParameters(stream_id=7), "chat", "json")
    await sender.connect()
    channel = sender.open(7)
    for viewer in viewers:
        await viewer.connect()
        consumer = viewer.peer.transport.consume_data(producer.id)
        assert (consumer.label, consumer.protocol, consumer.data_producer_id) == ("chat", "json", producer.id)
        viewer.open(consumer.sctp_stream_parameters.stream_id)
    await eventually(lambda: channel.is_open)
    assert channel.send("hello")
    assert channel.send(b"bytes")
    await eventually(lambda: all(viewer.messages == ["hello", b"bytes"] for viewer in viewers))

    sender.peer.transport.close()
    await eventually(lambda: sender.peer.dtls.state is DtlsState.CLOSED)
    assert world.router.data_producers == {}
    with pytest.raises(NoSuchProducer):
        viewers[0].peer.transport.consume_data(producer.id)
    world.router.close()
    for peer in (sender, *viewers):
        await peer.close()


async def test_who_closes_a_channel_ends_it_for_the_owner_of_its_other_end() -> None:
    world = World()
    sender, viewer = DataPeer(world), DataPeer(world)
    producer = sender.peer.transport.produce_data(SctpStreamParameters(stream_id=7), "chat", "")
    await sender.connect()
    channel = sender.open(7)
    await viewer.connect()
    consumer = viewer.peer.transport.consume_data(producer.id)
    ended = []
    producer.on_closed = lambda: ended.append("producer")
    consumer.on_closed = lambda: ended.append("consumer")
    received = viewer.open(consumer.sctp_stream_parameters.stream_id)
    await eventually(lambda: channel.is_open and received.is_open)
    received.close()
    await eventually(lambda: ended == ["consumer"])
    assert producer.consumers == {}
    channel.close()
    await eventually(lambda: ended == ["consumer", "producer"])
    assert world.router.data_producers == {}
    consumer.close()
    producer.close()
    assert ended == ["consumer", "producer"]
    world.router.close()
    for peer in (sender, viewer):
        await peer.close()


async def test_a_channel_that_was_not_announced_is_refused() -> None:
    world = World()
    sender = DataPeer(world)
    await sender.connect()
    channel = sender.association.open(RTCDataChannelParameters(label="surprise"))
    await eventually(lambda: not channel.is_open and channel.stream_id is not None)
    await eventually(lambda: channel._inner.readyState == "closed")
    await sender.close()
    world.router.close()


async def test_what_is_wrong_is_refused() -> None:
    world = World()
    transport = Peer(world, world.next_address(), enable_sctp=True).transport
    transport.produce_data(SctpStreamParameters(stream_id=1), "a", "")
    with pytest.raises(DuplicateStream):
        transport.produce_data(SctpStreamParameters(stream_id=1), "b", "")
    with pytest.raises(InvalidParameters):
        transport.produce_data(SctpStreamParameters(stream_id=2), "b" * 300, "")
    with pytest.raises(NoSuchProducer):
        transport.consume_data("nobody")
    without = world.peer().transport
    assert without.sctp_parameters is None
    with pytest.raises(NoDataChannels):
        without.produce_data(SctpStreamParameters(stream_id=1), "a", "")


async def test_streams_are_used_again_after_the_others() -> None:
    world = World()
    sender, viewer = DataPeer(world), DataPeer(world)
    transport = viewer.peer.transport
    producer = sender.peer.transport.produce_data(SctpStreamParameters(stream_id=7), "chat", "")
    await viewer.connect()
    first = transport.consume_data(producer.id)
    first.close()
    second = transport.consume_data(producer.id)
    assert second.sctp_stream_parameters.stream_id != first.sctp_stream_parameters.stream_id
    assert list(producer.consumers.values()) == [second]
    numbers = set()
    for _ in range(MAX_STREAMS - 2):
        side = transport._data
        assert side is not None
        numbers.add(side._free_stream())
    assert second.sctp_stream_parameters.stream_id not in numbers
    await viewer.close()
    world.router.close()


async def test_a_stream_that_is_being_closed_is_refused_and_leaves_nothing() -> None:
    world = World()
    sender, viewer = DataPeer(world), DataPeer(world)
    producer = sender.peer.transport.produce_data(SctpStreamParameters(stream_id=7), "chat", "")
    await sender.connect()
    await viewer.connect()
    sender.open(7)
    consumer = viewer.peer.transport.consume_data(producer.id)
    stream_id = consumer.sctp_stream_parameters.stream_id
    consumer.close()
    side = viewer.peer.transport._data
    assert side is not None
    side._next_stream = stream_id
    with pytest.raises(DuplicateStream):
        viewer.peer.transport.consume_data(producer.id)
    assert producer.consumers == {}
    assert side._consumers == {}
    viewer.peer.transport.consume_data(producer.id)

    producer.close()
    with pytest.raises(DuplicateStream):
        sender.peer.transport.produce_data(SctpStreamParameters(stream_id=7), "chat", "")
    assert world.router.data_producers == {}
    sender.peer.transport.produce_data(SctpStreamParameters(stream_id=8), "chat", "")
    assert len(world.router.data_producers) == 1
    world.router.close()
    for peer in (sender, viewer):
        await peer.close()


async def test_a_flood_of_messages_is_dropped_and_counted() -> None:
    world = World()
    sender, viewer = DataPeer(world), DataPeer(world)
    side = sender.peer.transport._data
    assert side is not None
    side.clock = world.clock
    producer = sender.peer.transport.produce_data(SctpStreamParameters(stream_id=7), "chat", "")
    other = sender.peer.transport.produce_data(SctpStreamParameters(stream_id=8), "chat", "")
    consumer = viewer.peer.transport.consume_data(producer.id)
    for _ in range(3 * MAX_MESSAGES):
        producer.receive("x")
    assert (producer.messages, producer.dropped) == (MAX_MESSAGES, 2 * MAX_MESSAGES)
    assert consumer.messages + consumer.dropped == MAX_MESSAGES
    other.receive("x")
    assert other.messages == 1

    world.clock.now += 1
    producer.receive(b"x" * MAX_OCTETS)
    producer.receive(b"x")
    assert (producer.messages, producer.dropped) == (MAX_MESSAGES + 1, 2 * MAX_MESSAGES + 1)
    world.router.close()
