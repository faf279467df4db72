"""Data channels: with aiortc's SCTP at the other end, two of ours, and peers that exceed their limits."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import (
    DataChunk,
    RTCSctpCapabilities,
    RTCSctpTransport,
    serialize_packet,
)
from google_crc32c import value as crc32c

from sfu.data_channels import (
    MAX_CLOSING_CHANNELS,
    MAX_WAITING_CHUNKS,
    MAX_WAITING_DATAGRAMS,
    DataChannel,
    DataChannelLimits,
    SctpAssociation,
)
from sfu.dtls import DtlsRole, DtlsState
from tests.helpers.waiting import eventually
from tests.sfu.dtls_pair import Link
from tests.sfu.test_dtls import AiortcPeer

LIMITS = DataChannelLimits(channels=3, message_size=100_000, buffered=200_000)


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.opened: list[DataChannel] = []
        self.messages: list[str | bytes] = []
        self.closed: list[DataChannel] = []
        self.ended = 0

    def on_data_channel(self, channel: DataChannel) -> None:
        self.opened.append(channel)

    def on_data_channel_message(self, channel: DataChannel, message: str | bytes) -> None:
        self.messages.append(message)

    def on_data_channel_closed(self, channel: DataChannel) -> None:
        self.closed.append(channel)

    def on_association_closed(self) -> None:
        self.ended += 1


class Pair:
    """Our association over our DTLS, with aiortc's SCTP over aiortc's DTLS."""

    def __init__(self, role: DtlsRole) -> None:
        self.dtls = AiortcPeer(role)
        self.listener = Listener()
        self.theirs_opened: list[RTCDataChannel] = []
        self.theirs_heard: list[str | bytes] = []

    async def connect(self) -> None:
        await self.dtls.connect()
        self.ours = SctpAssociation(self.dtls.ours, self.listener, LIMITS)
        self.dtls.listener.forward = self.ours.receive
        self.theirs = RTCSctpTransport(self.dtls.transport)
        self.theirs.on("datachannel", self._take)
        self.ours.start()
        await self.theirs.start(RTCSctpCapabilities(maxMessageSize=262_144), 5000)
        await eventually(lambda: self.ours.is_connected and self.theirs.state == "connected")

    def open(self, label: str = "chat", **parameters: object) -> RTCDataChannel:
        """Open a channel at aiortc's end."""
        return RTCDataChannel(self.theirs, RTCDataChannelParameters(label=label, **parameters))

    async def close(self) -> None:
        await self.ours.close()
        await self.theirs.stop()
        await self.dtls.transport.stop()
        self.dtls.ours.close()

    def _take(self, channel: RTCDataChannel) -> None:
        self.theirs_opened.append(channel)
        channel.on("message", self.theirs_heard.append)


@pytest.fixture(params=[DtlsRole.SERVER, DtlsRole.CLIENT], ids=lambda role: f"we are the {role.value}")
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    made = Pair(request.param)
    await made.connect()
    yield made
    await made.close()


class TestWithAiortc:
    async def test_the_peer_opens_a_channel(self, pair: Pair) -> None:
        theirs = pair.open("chat", ordered=False, protocol="json")
        await eventually(lambda: pair.listener.opened)
        channel = pair.listener.opened[0]
        assert (channel.label, channel.protocol, channel.ordered) == ("chat", "json", False)
        await eventually(lambda: theirs.readyState == "open")
        assert channel.stream_id == theirs.id

    async def test_messages_both_ways(self, pair: Pair) -> None:
        theirs = pair.open()
        heard: list[str | bytes] = []
        theirs.on("message", heard.append)
        await eventually(lambda: theirs.readyState == "open")
        sent: list[str | bytes] = ["text", b"bytes", "", b"", "ü" * 1000, b"x" * 60_000]
        for message in sent:
            theirs.send(message)
        await eventually(lambda: pair.listener.messages == sent)
        for message in sent:
            assert pair.listener.opened[0].send(message)
            await eventually(lambda: pair.listener.opened[0].buffered == 0)
        await eventually(lambda: len(heard) == len(sent))
        assert heard == sent

    async def test_we_open_a_channel(self, pair: Pair) -> None:
        channel = pair.ours.open(RTCDataChannelParameters(label="ours"))
        assert not channel.send("too early")
        await eventually(lambda: pair.listener.opened == [channel])
        assert channel.send("hello")
        await eventually(lambda: pair.theirs_heard == ["hello"])

    async def test_a_channel_that_was_negotiated_elsewhere(self, pair: Pair) -> None:
        parameters = RTCDataChannelParameters(negotiated=True, id=7)
        theirs = RTCDataChannel(pair.theirs, parameters)
        channel = pair.ours.open(parameters)
        assert channel.is_open
        theirs.send("hello")
        await eventually(lambda: pair.listener.messages == ["hello"])
        with pytest.raises(ValueError, match="already"):
            pair.ours.open(parameters)

    async def test_the_peer_closes_it(self, pair: Pair) -> None:
        theirs = pair.open()
        await eventually(lambda: theirs.readyState == "open")
        theirs.close()
        await eventually(lambda: pair.listener.closed == pair.listener.opened)
        assert not pair.listener.opened[0].send("late")

    async def test_we_close_it(self, pair: Pair) -> None:
        theirs = pair.open()
        await eventually(lambda: pair.listener.opened)
        pair.listener.opened[0].close()
        await eventually(lambda: theirs.readyState == "closed" and pair.listener.closed)

    async def test_its_end_is_the_end(self, pair: Pair) -> None:
        pair.open()
        await eventually(lambda: pair.listener.opened)
        await pair.theirs.stop()
        await eventually(lambda: pair.listener.ended)
        assert pair.listener.closed == pair.listener.opened

    async def test_our_end_is_told_once(self, pair: Pair) -> None:
        await pair.ours.close()
        await pair.ours.close()
        assert pair.listener.ended == 1
        await eventually(lambda: pair.theirs.state == "closed")


class TestLimits:
    @pytest.fixture
    async def pair(self) -> AsyncIterator[Pair]:
        made = Pair(DtlsRole.SERVER)
        await made.connect()
        yield made
        await made.close()

    async def test_more_channels_are_closed(self, pair: Pair) -> None:
        theirs = [pair.open(str(number)) for number in range(4)]
        await eventually(lambda: theirs[3].readyState == "closed")
        assert [channel.label for channel in pair.listener.opened] == ["0", "1", "2"]
        with pytest.raises(ValueError, match="3 data channels"):
            pair.ours.open(RTCDataChannelParameters())

    async def test_a_long_label_is_refused(self, pair: Pair) -> None:
        theirs = pair.open("l" * 300)
        await eventually(lambda: theirs.readyState == "closed")
        assert pair.listener.opened == []

    async def test_a_message_over_the_limit_closes_its_channel(self, pair: Pair) -> None:
        theirs = pair.open()
        await eventually(lambda: theirs.readyState == "open")
        theirs.send(b"x" * (LIMITS.message_size + 1))
        await eventually(lambda: pair.listener.closed)
        assert pair.listener.messages == []
        assert pair.ours.is_connected

    async def test_a_message_beyond_the_window_ends_the_association(self, pair: Pair) -> None:
        theirs = pair.open()
        await eventually(lambda: theirs.readyState == "open")
        theirs.send(b"x" * 250_000)
        await eventually(lambda: pair.listener.ended)

    async def test_what_waits_to_be_sent_is_bounded(self, pair: Pair) -> None:
        pair.open()
        await eventually(lambda: pair.listener.opened)
        channel = pair.listener.opened[0]
        pair.dtls.transport._data_receiver = None
        taken = [channel.send(b"x" * 60_000) for _ in range(6)]
        assert taken == [True] * 3 + [False] * 3

    async def test_a_message_the_peer_would_not_take_is_not_sent(self, pair: Pair) -> None:
        pair.open()
        await eventually(lambda: pair.listener.opened)
        assert not pair.listener.opened[0].send(b"x" * 65_537)

    async def test_small_fragments_without_end(self, pair: Pair) -> None:
        tag = pair.ours._sctp._local_verification_tag
        for number in range(MAX_WAITING_CHUNKS + 2):
            chunk = DataChunk(flags=0)
            chunk.tsn = (pair.theirs._local_tsn + number) & 0xFFFFFFFF
            chunk.stream_id, chunk.stream_seq, chunk.protocol, chunk.user_data = 1, 0, 51, b"x"
            pair.ours.receive(serialize_packet(5000, 5000, tag, chunk))
            if number % 50 == 0:
                await eventually(lambda: pair.ours._waiting.empty())
        await eventually(lambda: pair.listener.ended)

    async def test_channels_without_end(self, pair: Pair) -> None:
        tag = pair.ours._sctp._local_verification_tag
        request = b"\x03\0\0\0" + bytes(8)
        for number in range(LIMITS.channels + MAX_CLOSING_CHANNELS + 2):
            chunk = DataChunk(flags=3)
            chunk.tsn = (pair.theirs._local_tsn + number) & 0xFFFFFFFF
            chunk.stream_id, chunk.stream_seq, chunk.protocol, chunk.user_data = 2 * number, 0, 50, request
            pair.ours.receive(serialize_packet(5000, 5000, tag, chunk))
        await eventually(lambda: pair.listener.ended)

    @pytest.mark.parametrize("size", [0, 4, 12, 16, 28, 1200, 2048])
    async def test_any_bytes_after_a_good_header_end_nothing(self, pair: Pair, size: int) -> None:
        header = serialize_packet(5000, 5000, pair.ours._sctp._local_verification_tag, DataChunk())[:8]
        for kind in range(32):
            body = bytes((kind, 3, 0, max(4, size - 12) & 0xFF)) + bytes(
                index * 7 & 0xFF for index in range(size)
            )
            checked = bytearray(header + bytes(4) + body)
            checked[8:12] = crc32c(bytes(checked)).to_bytes(4, "little")
            pair.ours.receive(bytes(checked))
        # one of the sizes makes a proper ABORT
        await eventually(lambda: pair.ours._waiting.empty() or pair.listener.ended)
        worker = pair.ours._worker
        assert worker is not None and (not worker.done() or pair.listener.ended)
        await pair.ours.close()
        assert worker.cancelled() or not worker.done() or worker.exception() is None

    async def test_a_flood_is_dropped(self, pair: Pair) -> None:
        for _ in range(MAX_WAITING_DATAGRAMS + 5):
            pair.ours.receive(b"")
        assert pair.ours.dropped == 5

    async def test_what_aiortc_stumbles_over_ends_nothing(self, pair: Pair) -> None:
        theirs = pair.open()
        await eventually(lambda: theirs.readyState == "open")
        tag = pair.ours._sctp._local_verification_tag
        chunk = DataChunk(flags=3)
        chunk.tsn = pair.theirs._local_tsn
        chunk.stream_id, chunk.stream_seq, chunk.protocol = theirs.id or 0, 1, 51
        chunk.user_data = b"\xff\xfe not UTF-8"
        pair.theirs._local_tsn += 1
        pair.theirs._outbound_stream_seq[theirs.id or 0] = 2
        pair.ours.receive(serialize_packet(5000, 5000, tag, chunk))
        pair.ours.receive(b"junk")
        await eventually(lambda: pair.ours.malformed == 1)
        theirs.send("after")
        await eventually(lambda: pair.listener.messages == ["after"])


async def test_two_of_ours() -> None:
    link = Link()
    link.start()
    await eventually(lambda: link.states == (DtlsState.CONNECTED, DtlsState.CONNECTED))
    one, other = Listener(), Listener()
    server, client = SctpAssociation(link.server, one), SctpAssociation(link.client, other)
    link.on_server.forward, link.on_client.forward = server.receive, client.receive
    server.start()
    client.start()
    channel = client.open(RTCDataChannelParameters(label="early"))
    await eventually(lambda: other.opened == [channel])
    channel.send("hello")
    await eventually(lambda: one.messages == ["hello"])
    await server.close()
    await eventually(lambda: other.ended)
    await client.close()


async def test_the_end_of_dtls_leaves_no_exception_behind() -> None:
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    pair = Pair(DtlsRole.SERVER)
    await pair.connect()
    pair.open()
    await eventually(lambda: pair.listener.opened)
    pair.dtls.ours.close()
    pair.listener.opened[0].send("into the void")
    await pair.ours.close()
    await pair.theirs.stop()
    await pair.dtls.transport.stop()
    assert problems == []
