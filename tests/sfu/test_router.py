"""Producers, consumers and their repair between linked peers, on a clock that the test moves."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sfu.consumer import Consumer
from sfu.errors import (
    AlreadyConnected,
    CannotConsume,
    DuplicateStream,
    NoSuchProducer,
    TooManyStreams,
    TooManyTransports,
    TransportClosed,
)
from sfu.producer import Producer
from sfu.protocol import ortc, rtcp, rtp
from sfu.protocol.codecs import AUDIO_LEVEL
from sfu.protocol.nack import NackGenerator
from sfu.protocol.parameters import RtcpParameters, RtpCapabilities
from sfu.router import KEPT_SHARE
from sfu.transport import TransportLimits, TransportState
from sfu.webrtc_server import WebRtcOptions
from tests.sfu.linked_world import (
    LEVEL_ID,
    SEQUENCE_ID,
    Peer,
    World,
    audio,
    encoding,
    packet,
    video,
    vp8,
)


class Call:
    """One who sends video and audio, and one who gets both."""

    def __init__(self, world: World, sender: Peer, viewer: Peer) -> None:
        self.world = world
        self.sender = sender
        self.viewer = viewer
        self.video: Producer = sender.transport.produce("video", video())
        self.audio: Producer = sender.transport.produce("audio", audio())
        capabilities = world.router.rtp_capabilities
        self.video_consumer: Consumer = viewer.transport.consume(self.video.id, capabilities, paused=False)
        self.audio_consumer: Consumer = viewer.transport.consume(self.audio.id, capabilities, paused=False)

    def send_video(self, *numbers: int, keyframe_at: int = 0) -> None:
        for number in numbers:
            self.sender.send_rtp(packet(number, payload=vp8(number == keyframe_at, number)))

    @property
    def got(self) -> list[int]:
        """The video's pictures as the viewer got them: by PictureID, which needs no renumbering here."""
        return [
            (found[rtp.parse(found).payload_offset + 2] & 0x7F) << 8
            | found[rtp.parse(found).payload_offset + 3]
            for found in self.viewer.of_ssrc(self.video_consumer.ssrc)
        ]


async def _call(options: WebRtcOptions | None = None) -> Call:
    world = World(options)
    return Call(world, await world.connected(), await world.connected("2001:db8::7"))


async def test_packets_are_forwarded_under_the_consumers_numbers() -> None:
    call = await _call()
    call.send_video(0, 1, 2)
    call.sender.send_rtp(*(packet(n, ssrc=5000, payload_type=111, payload=b"opus") for n in range(7, 10)))

    seen = [rtp.parse(found) for found in call.viewer.of_ssrc(call.video_consumer.ssrc)]
    assert [header.payload_type for header in seen] == [102] * 3
    first = seen[0].sequence_number
    assert first < 0x8000
    assert [header.sequence_number for header in seen] == [first, first + 1, first + 2]
    assert [header.timestamp for header in seen] == [0, 3000, 6000]
    heard = call.viewer.of_ssrc(call.audio_consumer.ssrc)
    assert [found[rtp.parse(found).payload_offset :] for found in heard] == [b"opus"] * 3
    assert rtp.parse(heard[0]).payload_type == 100


async def test_a_viewer_is_told_its_mid_in_each_packet() -> None:
    call = await _call()
    call.send_video(0)
    (found,) = call.viewer.of_ssrc(call.video_consumer.ssrc)
    offset, length = rtp.extensions(found, rtp.parse(found))[1]
    assert found[offset : offset + length].decode() == call.video_consumer.rtp_parameters.mid == "0"
    assert call.audio_consumer.rtp_parameters.mid == "1"


async def test_video_begins_with_a_keyframe_that_is_asked_for_once() -> None:
    call = await _call()
    call.send_video(5, 6)
    assert call.got == []
    call.world.run(0.5)
    asked = [event for event in call.sender.events if isinstance(event, rtcp.PictureLossIndication)]
    assert [event.media for event in asked] == [1000]
    call.send_video(7, 8, keyframe_at=7)
    assert call.got == [7, 8]
    call.world.run(3)
    assert len([e for e in call.sender.events if isinstance(e, rtcp.PictureLossIndication)]) == 1


async def test_an_unanswered_keyframe_request_is_repeated() -> None:
    call = await _call()
    call.send_video(5)
    call.world.run(2.5)
    assert len([e for e in call.sender.events if isinstance(e, rtcp.PictureLossIndication)]) == 3


async def test_what_the_sender_lost_is_asked_for_and_its_rtx_undone() -> None:
    call = await _call()
    call.send_video(0, 1, 4)
    call.world.run(0.05)
    (nack,) = [event for event in call.sender.events if isinstance(event, rtcp.Nack)]
    assert (nack.media, nack.lost) == (1000, (2, 3))
    for number in (2, 3, 3):
        payload = number.to_bytes(2, "big") + vp8(False, number)
        again = packet(100 + number, ssrc=1001, payload_type=97, timestamp=3000 * number, payload=payload)
        if number != 3 or call.got.count(3) == 0:
            call.sender.send_rtp(again)
    call.sender.send_rtp(
        packet(200, ssrc=1001, payload_type=97, timestamp=9000, payload=b"\0\3" + vp8(False, 3))
    )
    assert call.got == [0, 1, 4, 2, 3]
    call.world.run(3)
    assert len([event for event in call.sender.events if isinstance(event, rtcp.Nack)]) == 1


async def test_what_the_viewer_lost_is_repeated_by_rtx_and_only_once_per_round_trip() -> None:
    call = await _call()
    call.send_video(0, 1, 2)
    lost = rtp.parse(call.viewer.of_ssrc(call.video_consumer.ssrc)[1])
    original = call.viewer.of_ssrc(call.video_consumer.ssrc)[1]
    for _ in range(3):
        call.viewer.send_rtcp(rtcp.Nack(1, call.video_consumer.ssrc, (lost.sequence_number,)))
    rtx = call.video_consumer.rtp_parameters.encodings[0].rtx
    assert rtx is not None
    (again,) = call.viewer.of_ssrc(rtx.ssrc)
    header = rtp.parse(again)
    assert header.payload_type == 103
    assert header.timestamp == lost.timestamp
    assert int.from_bytes(again[header.payload_offset :][:2], "big") == lost.sequence_number
    assert again[header.payload_offset + 2 :] == original[lost.payload_offset :]


async def test_a_nack_for_audio_or_for_somebody_elses_stream_repeats_nothing() -> None:
    call = await _call()
    call.send_video(0)
    before = len(call.viewer.packets)
    for ssrc in (call.audio_consumer.ssrc, 1000, 77):
        call.viewer.send_rtcp(rtcp.Nack(1, ssrc, tuple(range(100))))
    assert len(call.viewer.packets) == before


async def test_a_paused_consumer_gets_nothing_and_goes_on_without_a_gap() -> None:
    call = await _call()
    call.send_video(0, 1)
    call.video_consumer.pause()
    call.audio_consumer.pause()
    call.send_video(2, 3)
    call.sender.send_rtp(packet(1, ssrc=5000, payload_type=111))
    assert call.got == [0, 1]
    assert call.viewer.of_ssrc(call.audio_consumer.ssrc) == []
    call.world.run(1.1)
    call.video_consumer.resume()
    call.audio_consumer.resume()
    call.send_video(4)
    call.send_video(5, 6, keyframe_at=5)
    numbers = [rtp.parse(found).sequence_number for found in call.viewer.of_ssrc(call.video_consumer.ssrc)]
    assert numbers == list(range(numbers[0], numbers[0] + 4))
    assert len([e for e in call.sender.events if isinstance(e, rtcp.PictureLossIndication)]) == 2


async def test_a_paused_producer_is_told_to_consumers_and_forwards_nothing() -> None:
    call = await _call()
    call.send_video(0)
    call.video.pause()
    assert call.viewer.listener.paused == [(call.video_consumer, True)]
    call.send_video(1)
    call.video.resume()
    call.send_video(2, 3, keyframe_at=2)
    assert len(call.got) == 3
    assert call.viewer.listener.paused[-1] == (call.video_consumer, False)


async def test_a_closed_producer_closes_its_consumers() -> None:
    call = await _call()
    call.video.close()
    call.video.close()
    assert call.viewer.listener.closed_consumers == [call.video_consumer]
    assert call.viewer.transport.consumers == (call.audio_consumer,)
    assert list(call.world.router.producers) == [call.audio.id]
    call.send_video(0)
    with pytest.raises(NoSuchProducer):
        call.viewer.transport.consume(call.video.id, call.world.router.rtp_capabilities)


async def test_a_closed_transport_takes_its_producers_with_it_and_is_told_once() -> None:
    call = await _call()
    call.sender.transport.close()
    call.sender.transport.close()
    assert call.sender.listener.closed == 1
    assert call.sender.listener.states[-1] is TransportState.CLOSED
    assert call.viewer.listener.closed_consumers == [call.video_consumer, call.audio_consumer]
    assert not call.world.router.is_empty
    with pytest.raises(TransportClosed):
        call.sender.transport.produce("audio", audio())
    call.world.router.close()
    assert call.viewer.listener.closed == 1
    assert call.world.server.routers == {}
    assert len(call.world.server._mux) == 0


async def test_sender_reports_reach_consumers_on_the_producers_clock() -> None:
    call = await _call()
    call.send_video(0, 1)
    assert call.video_consumer.sender_report(call.world.clock.now) is None
    ntp = 3_900_000_000 << 32
    call.sender.send_rtcp(rtcp.SenderReport(1000, ntp, 3000, 2, 200))
    call.world.run(1.2)
    reports = [event for event in call.viewer.events if isinstance(event, rtcp.SenderReport)]
    report = next(event for event in reports if event.ssrc == call.video_consumer.ssrc)
    elapsed = (report.ntp_time - ntp) / (1 << 32)
    assert 0 <= elapsed <= 1.2
    assert report.rtp_timestamp == pytest.approx(3000 + 90_000 * elapsed, abs=2)
    assert report.packet_count == 2
    names = [event for event in call.viewer.events if isinstance(event, rtcp.SourceDescription)]
    assert names[-1].names == ((call.video_consumer.ssrc, "someone"),)


async def test_a_producer_with_a_long_name_is_reported_under_its_beginning() -> None:
    call = await _call()
    parameters = replace(audio(6000, "b"), rtcp=RtcpParameters(cname=512 * "ä"))
    producer = call.sender.transport.produce("audio", parameters)
    consumer = call.viewer.transport.consume(producer.id, call.world.router.rtp_capabilities, paused=False)
    call.sender.send_rtp(packet(1, ssrc=6000, payload_type=111))
    call.sender.send_rtcp(rtcp.SenderReport(6000, 3_900_000_000 << 32, 3000, 1, 7))
    call.world.run(2.5)
    names = [event for event in call.viewer.events if isinstance(event, rtcp.SourceDescription)]
    assert names[-1].names == ((consumer.ssrc, 127 * "ä"),)


async def test_round_trips_are_measured_both_ways() -> None:
    call = await _call()
    call.send_video(0)
    call.sender.send_rtcp(rtcp.SenderReport(1000, 3_900_000_000 << 32, 0, 1, 100))
    call.world.run(1.2)
    report = [e for e in call.viewer.events if isinstance(e, rtcp.SenderReport)][-1]
    middle = report.ntp_time >> 16 & 0xFFFF_FFFF
    call.world.run(0.25)
    sent_at = call.video_consumer._reports[middle]
    delay = int((call.world.clock.now - sent_at - 0.04) * 65536)
    block = rtcp.ReportBlock(call.video_consumer.ssrc, 64, 3, 9, 900, middle, delay)
    call.viewer.send_rtcp(rtcp.ReceiverReport(1, (block,)))
    assert call.video_consumer.remote.round_trip == pytest.approx(0.04, abs=0.001)
    assert call.video_consumer.remote.fraction_lost == 0.25

    reference = [e for e in call.sender.events if isinstance(e, rtcp.ExtendedReport)][-1]
    assert reference.receiver_time is not None
    last = reference.receiver_time >> 16 & 0xFFFF_FFFF
    call.sender.send_rtcp(rtcp.ExtendedReport(1, delays=((reference.ssrc, last, 0),)))
    figures = call.sender.transport.statistics()[0]
    assert 0 < figures["roundTripTime"] < 1.3  # type: ignore[operator]


async def test_the_sender_is_told_how_its_streams_arrive() -> None:
    call = await _call()
    call.send_video(0, 1, 3)
    call.world.run(1.5)
    reports = [e for e in call.sender.events if isinstance(e, rtcp.ReceiverReport) and e.blocks]
    (block,) = reports[0].blocks
    assert (block.ssrc, block.packets_lost, block.highest_sequence & 0xFFFF) == (1000, 1, 3)


async def test_the_sender_is_told_when_each_packet_arrived() -> None:
    call = await _call()
    for number in (0, 1, 3):
        extensions = [(SEQUENCE_ID, (65_534 + number & 0xFFFF).to_bytes(2, "big"))]
        call.sender.send_rtp(packet(number, payload=vp8(number == 0, number), extensions=extensions))
        call.world.run(0.01)
    call.world.run(0.3)
    reports = [event for event in call.sender.events if isinstance(event, rtcp.TransportFeedback)]
    statuses = [status for report in reports for status in report.arrivals]
    assert [number for number, _ in statuses] == [65_534, 65_535, 0, 1]
    times = [time for _, time in statuses]
    assert times[2] is None
    assert times[1] is not None and times[0] is not None
    assert times[1] - times[0] == pytest.approx(10_000, abs=500)


async def test_the_sender_is_told_what_it_may_send() -> None:
    call = await _call()
    call.sender.transport.set_max_incoming_bitrate(1_000_000)
    call.world.run(1.1)
    limits = [e for e in call.sender.events if isinstance(e, rtcp.ReceiverEstimatedMaximumBitrate)]
    assert limits[0].bitrate == pytest.approx(1_000_000, rel=0.01)
    assert 1000 in limits[0].sources


async def test_extensions_are_told_under_the_viewers_ids() -> None:
    call = await _call()
    consumer = call.audio_consumer
    call.sender.send_rtp(packet(1, ssrc=5000, payload_type=111, extensions=[(LEVEL_ID, b"\x85"), (14, b"x")]))
    (found,) = call.viewer.of_ssrc(consumer.ssrc)
    places = rtp.extensions(found, rtp.parse(found))
    level = next(e.id for e in consumer.rtp_parameters.header_extensions if e.uri == AUDIO_LEVEL)
    assert rtp.read_audio_level(found, *places[level]) == (5, True)
    assert 14 not in places


class BadPath:
    """Both sides of a call lose packets, ask for them again, and answer."""

    def __init__(self, call: Call, loss: float, frames: int) -> None:
        call.sender.up.loss = call.viewer.down.loss = loss
        call.sender.up.delay = call.viewer.down.delay = call.viewer.up.delay = 0.02
        call.viewer.on_packet = self._take
        self.pictures: set[int] = set()
        self.sent: list[bytes] = []
        self._call = call
        self._frames = frames
        self._getter = NackGenerator()
        self._repeats = 5000

    def _take(self, data: bytes, header: rtp.RtpHeader) -> None:
        offset, number = header.payload_offset, header.sequence_number
        if header.ssrc != self._call.video_consumer.ssrc:
            number = int.from_bytes(data[offset : offset + 2], "big")
            offset += 2
        self._getter.receive(number, self._call.world.clock.now)
        self.pictures.add((data[offset + 2] & 0x7F) << 8 | data[offset + 3])

    def each(self, now: float) -> None:
        """Send the next picture, repeat what the server lacks, ask for what the viewer lacks."""
        sender, viewer = self._call.sender, self._call.viewer
        if len(self.sent) < self._frames:
            number = len(self.sent)
            self.sent.append(packet(number, payload=vp8(number % 100 == 0, number), timestamp=450 * number))
            sender.send(sender.srtp.protect(self.sent[-1]))
        events, sender.events = sender.events, []
        for event in events:
            for lost in event.lost if isinstance(event, rtcp.Nack) else ():
                self._repeat(lost)
        missing = self._getter.due(now)
        if missing:
            viewer.send_rtcp(rtcp.Nack(1, self._call.video_consumer.ssrc, tuple(missing)))

    def _repeat(self, lost: int) -> None:
        sender = self._call.sender
        self._repeats += 1
        payload = lost.to_bytes(2, "big") + self.sent[lost][12:]
        again = packet(self._repeats, ssrc=1001, payload_type=97, timestamp=450 * lost, payload=payload)
        sender.send(sender.srtp.protect(again))


@pytest.mark.parametrize("loss", [0.05, 0.3])
async def test_a_bad_path_is_repaired_without_using_a_number_twice(loss: float) -> None:
    call = await _call()
    path = BadPath(call, loss, frames=800)
    call.world.run(6, path.each)
    first = min(path.pictures)
    assert first < 200
    missing = [number for number in range(first, len(path.sent)) if number not in path.pictures]
    assert len(missing) <= 0.01 * len(path.sent)
    numbers = [(rtp.parse(data).ssrc, rtp.parse(data).sequence_number) for data in call.viewer.packets]
    assert len(set(numbers)) == len(numbers)


async def test_duplicate_mids_and_ssrcs_are_refused() -> None:
    call = await _call()
    with pytest.raises(DuplicateStream):
        call.sender.transport.produce("video", video(encoding(3000)))
    with pytest.raises(DuplicateStream):
        call.sender.transport.produce("video", video(encoding(999), mid="w"))
    with pytest.raises(ortc.InvalidParameters):
        call.sender.transport.produce("audio", video(encoding(3000), mid="w"))
    assert len(call.world.router.producers) == 2
    call.sender.transport.produce("video", video(encoding(3000), mid="w"))


async def test_what_cannot_be_decoded_cannot_be_consumed() -> None:
    call = await _call()
    nothing = RtpCapabilities()
    assert not call.world.router.can_consume(call.video.id, nothing)
    assert call.world.router.can_consume(call.video.id, call.world.router.rtp_capabilities)
    with pytest.raises(CannotConsume):
        call.viewer.transport.consume(call.video.id, nothing)


async def test_limits_hold() -> None:
    options = WebRtcOptions(
        max_transports_per_router=2, transport_limits=TransportLimits(producers=2, consumers=2)
    )
    call = await _call(options)
    with pytest.raises(TooManyTransports):
        call.world.peer()
    with pytest.raises(TooManyStreams):
        call.sender.transport.produce("audio", audio(9000, "b"))
    with pytest.raises(TooManyStreams):
        call.viewer.transport.consume(call.audio.id, call.world.router.rtp_capabilities)
    with pytest.raises(AlreadyConnected):
        call.sender.transport.connect(call.sender.dtls_parameters())


async def test_what_one_viewer_raises_keeps_nothing_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug elsewhere")

    call = await _call()
    other = await call.world.connected("192.0.2.77")
    consumer = other.transport.consume(call.video.id, call.world.router.rtp_capabilities, paused=False)
    monkeypatch.setattr(call.video_consumer, "after_switch", fail)
    call.send_video(0, 1)
    monkeypatch.setattr(call.video_consumer.state, "rewrite", fail)
    call.send_video(2, 3)
    assert len(other.of_ssrc(consumer.ssrc)) == 4
    assert call.got == [0, 1]
    assert call.world.server.counters.media.flush_errors == 3


async def test_spectators_leave_places_to_those_who_send() -> None:
    world = World(WebRtcOptions(max_transports_per_router=2 * KEPT_SHARE))
    listener = world.peer().transport._listener
    for _ in range(2 * KEPT_SHARE - 3):
        world.router.create_transport(listener, is_spectator=True)
    with pytest.raises(TooManyTransports):
        world.router.create_transport(listener, is_spectator=True)
    for _ in range(2):
        world.router.create_transport(listener)
    with pytest.raises(TooManyTransports):
        world.router.create_transport(listener)
