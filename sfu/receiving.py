"""The receiving side of one transport: its producers, and the RTCP that tells the peer how they arrive."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from sfu.errors import TooManyStreams
from sfu.media_plane import MediaPlane
from sfu.observers import AudioObserver
from sfu.producer_stream import Places
from sfu.protocol import rtcp, rtp
from sfu.protocol.codecs import AUDIO_LEVEL, TRANSPORT_SEQUENCE
from sfu.protocol.congestion.feedback import FeedbackGenerator
from sfu.protocol.rates import RateMeter
from sfu.protocol.reception import ReceptionReport, round_trip
from sfu.received_producer import ReceivedProducer
from sfu.rtp_listener import RtpListener

REPORT_SECONDS: Final = 1.0
MAX_REPORT_BLOCKS: Final = 31
MICROSECONDS: Final = 1_000_000


class Receiving:
    """What a transport's peer sends; `tick` as often as `deadline` says."""

    def __init__(
        self,
        plane: MediaPlane,
        send_rtcp: Callable[[bytes], None],
        audio: AudioObserver,
        max_producers: int,
    ) -> None:
        self.rate = RateMeter()
        self.round_trip = 0.0
        self._plane = plane
        self._send_rtcp = send_rtcp
        self._audio = audio
        self._max_producers = max_producers
        self._listener = RtpListener()
        self._ssrc = secrets.randbits(31) | 1
        self._sequence_id = 0
        self._level_id = 0
        self._feedback: FeedbackGenerator | None = None
        self._report_at = 0.0
        self._media_ssrc = 0
        self._max_bitrate = 0

    @property
    def producers(self) -> tuple[ReceivedProducer, ...]:
        """Those of this transport."""
        return tuple(self._listener.producers)

    def add(self, producer: ReceivedProducer) -> None:
        """Receive for `producer`; raises DuplicateStream and TooManyStreams."""
        if len(self._listener.producers) >= self._max_producers:
            raise TooManyStreams(f"a transport has at most {self._max_producers} producers")
        self._listener.add(producer)
        self._note_extensions()

    def remove(self, producer: ReceivedProducer) -> None:
        """Receive no more for `producer`."""
        self._listener.remove(producer)
        self._audio.remove(producer.id)
        self._note_extensions()

    def _note_extensions(self) -> None:
        self._sequence_id = self._listener.extension_id(TRANSPORT_SEQUENCE)
        self._level_id = self._listener.extension_id(AUDIO_LEVEL)
        if self._sequence_id and self._feedback is None:
            self._feedback = FeedbackGenerator(int(self._plane.clock() * MICROSECONDS))

    def close(self) -> None:
        """Close every producer."""
        for producer in self.producers:
            producer.close()

    def receive(self, packet: bytes, size: int, now: float) -> bool:
        """Take a decrypted packet of `size` bytes on the wire; False if nobody knows it.

        Raises MalformedPacket.
        """
        header = rtp.parse(packet)
        places = rtp.extensions(packet, header)
        self.rate.add(size, now)
        feedback = self._feedback
        if feedback is not None:
            place = places.get(self._sequence_id)
            if place is not None:
                number = rtp.read_transport_sequence(packet, *place)
                feedback.received(number, int(now * MICROSECONDS))
                self._media_ssrc = header.ssrc
        found = self._listener.find(packet, header, places)
        if found is None:
            return False
        producer, received = found
        return producer.receive(received, packet, header, places, size, now)

    def hear(self, producer: ReceivedProducer, packet: bytes, places: Places, now: float) -> None:
        """Note the level of a packet of audio."""
        place = places.get(self._level_id)
        if place is not None:
            self._audio.hear(producer.id, rtp.read_audio_level(packet, *place)[0], now)

    def sender_report(self, report: rtcp.SenderReport, now: float) -> None:
        """Take where a stream is on its sender's clock."""
        found = self._listener.by_ssrc.get(report.ssrc)
        if found is None or found[1].ssrc != report.ssrc:
            return
        producer, received = found
        received.reception.sender_report(report.ntp_time, report.rtp_timestamp, now)
        if report.ntp_time:
            producer.note_report(received.stream, report.ntp_time, report.rtp_timestamp, now)

    def extended_report(self, report: rtcp.ExtendedReport, now: float) -> None:
        """Take the answers to our reference times: the round trip spaces the NACKs."""
        for ssrc, last_report, delay in report.delays:
            measured = round_trip(self._plane.ntp(now), last_report, delay)
            if ssrc == self._ssrc and measured is not None:
                self.round_trip = measured
                for producer in self._listener.producers:
                    for received in producer.received:
                        received.nacks.set_round_trip(measured)

    def send_pli(self, ssrc: int) -> None:
        """Ask the peer for a keyframe."""
        self._send_rtcp(self._compound(rtcp.pli(self._ssrc, ssrc)))

    def set_max_bitrate(self, bitrate: int) -> None:
        """Tell the peer, by REMB, to send no more than `bitrate`; 0 takes the limit away."""
        self._max_bitrate = bitrate
        self._report_at = 0.0

    def tick(self, now: float) -> None:
        """Ask for what is missing, and report when it is time."""
        if not self._listener.producers:
            return
        for producer in self.producers:
            self._ask(producer, now)
        self._give_feedback(now)
        if now >= self._report_at:
            self._report_at = now + REPORT_SECONDS
            self._report(now)

    def _ask(self, producer: ReceivedProducer, now: float) -> None:
        if producer.keyframe_requests.deadline <= now:
            producer.ask_due_keyframes(now)
        for received in producer.received:
            if received.uses_nack and now >= received.nacks.deadline:
                lost = received.nacks.due(now)
                if lost:
                    self._plane.counters.nacks_sent += 1
                    self._send_rtcp(self._compound(rtcp.nack(self._ssrc, received.ssrc, lost)))

    def _give_feedback(self, now: float) -> None:
        feedback = self._feedback
        at = int(now * MICROSECONDS)
        if feedback is None or not feedback.due(at):
            return
        feedback.set_rate(self.rate.bitrate(now))
        for counter, packets in feedback.take(at):
            report = rtcp.TransportFeedback(self._ssrc, self._media_ssrc, counter, packets)
            self._send_rtcp(self._compound(report.serialize()))

    def _report(self, now: float) -> None:
        """Send a receiver report of all streams, the reference time for round trips, and the limit."""
        blocks = [
            _block(report)
            for producer in self._listener.producers
            for received in producer.received
            if received.ssrc and (report := received.reception.report(now)) is not None
        ]
        for start in range(0, len(blocks), MAX_REPORT_BLOCKS):
            part = tuple(blocks[start : start + MAX_REPORT_BLOCKS])
            self._send_rtcp(rtcp.ReceiverReport(self._ssrc, part).serialize())
        extra = rtcp.ExtendedReport(self._ssrc, self._plane.ntp(now)).serialize()
        if self._max_bitrate:
            sources = tuple(ssrc for ssrc, found in self._listener.by_ssrc.items() if found[1].ssrc == ssrc)
            extra += rtcp.ReceiverEstimatedMaximumBitrate(
                self._ssrc, self._max_bitrate, sources[:255]
            ).serialize()
        self._send_rtcp(self._compound(extra))

    def _compound(self, packet: bytes) -> bytes:
        """Return a compound as RFC 3550 6.1 wants it: it begins with a report."""
        return rtcp.ReceiverReport(self._ssrc).serialize() + packet


def _block(report: ReceptionReport) -> rtcp.ReportBlock:
    return rtcp.ReportBlock(
        report.ssrc,
        report.fraction_lost,
        report.total_lost,
        report.highest,
        report.jitter,
        report.last_sender_report,
        report.delay,
    )
