"""A viewer: counts every packet by its header, may decrypt and time them, and reports as browsers do."""

import contextlib
import secrets
import struct
import time
from array import array
from typing import Final

from bench.webrtc_load.connection import PeerConnection
from bench.webrtc_load.figures import StreamTally, SubscriberFigures
from bench.webrtc_load.packets import read_stamp
from sfu.protocol import rtcp
from sfu.protocol.congestion.feedback import FeedbackGenerator
from sfu.protocol.errors import MalformedPacket
from sfu.srtp import SrtpError

REPORT_SECONDS: Final = 1.0

_HEADER: Final = struct.Struct("!HHLLHH")
"""Two bytes, number, timestamp, SSRC, and the head of an extension block without contributing sources."""
_NUMBER: Final = struct.Struct("!H")
_HAS_EXTENSION: Final = 0x1000
_ONE_BYTE_PROFILE: Final = 0xBEDE
_BLOCK: Final = 16


class Subscriber:
    """Behind one connection; ``has_clock`` decrypts and takes latencies."""

    def __init__(self, *, has_clock: bool) -> None:
        self.figures = SubscriberFigures()
        self.transport_id = 0
        self.repairing: frozenset[int] = frozenset()
        self.connection: PeerConnection | None = None
        self._has_clock = has_clock
        self._ssrc = secrets.randbits(31) | 1
        self._streams: dict[int, StreamTally] = {}
        self._repairs: set[int] = set()
        self._place = 0
        """Where the transport-wide number was last; streams of one kind have it at the same place."""
        self._feedback = FeedbackGenerator(time.time_ns() // 1000)
        self._sender_reports: dict[int, tuple[int, float]] = {}

    # Media

    def on_rtp(self, packet: memoryview, at: int) -> None:
        if len(packet) < 20:
            return
        first, number, _, ssrc, profile, _ = _HEADER.unpack_from(packet)
        figures = self.figures
        figures.bytes += len(packet)
        if first & _HAS_EXTENSION and self.transport_id and profile == _ONE_BYTE_PROFILE:
            self._note_arrival(packet, at)
        stream = self._streams.get(ssrc)
        if stream is not None:
            stream.take(number)
            figures.packets += 1
        elif ssrc in self._repairs or first & 0x7F in self.repairing:
            self._repairs.add(ssrc)
            figures.retransmissions += 1
            return
        else:
            self._begin_stream(ssrc, number)
        if self._has_clock:
            self._take_latency(bytes(packet), at)

    def on_rtcp(self, compound: bytes) -> None:
        with contextlib.suppress(MalformedPacket):
            for event in rtcp.parse(compound):
                if isinstance(event, rtcp.SenderReport):
                    self._sender_reports[event.ssrc] = event.ntp_time >> 16 & 0xFFFFFFFF, time.monotonic()

    def _begin_stream(self, ssrc: int, number: int) -> None:
        self._streams[ssrc] = stream = StreamTally(number)
        stream.take(number)
        self.figures.packets += 1
        if self.figures.media_at is None:
            self.figures.media_at = time.monotonic()

    def _note_arrival(self, packet: memoryview, at: int) -> None:
        head = self.transport_id << 4 | 1
        place = self._place
        if not place or packet[place] != head:
            place = self._place = _find(packet, head)
            if not place:
                return
        self._feedback.received(_NUMBER.unpack_from(packet, place + 1)[0], at // 1000)

    def _take_latency(self, packet: bytes, at: int) -> None:
        if self.connection is None or self.connection.srtp is None:
            return
        try:
            sent_at = read_stamp(self.connection.srtp.unprotect(packet))
        except SrtpError:
            self.figures.unreadable += 1
            return
        if sent_at is not None:
            self.figures.latencies.append((at - sent_at) / 1e9)

    # Reports

    def send_feedback(self) -> None:
        """Tell when packets arrived, where that is due (transport-wide congestion control)."""
        now = time.time_ns() // 1000
        if self.connection is None or not self._feedback.due(now):
            return
        for feedback in self._feedback.take(now):
            event = rtcp.TransportFeedback(self._ssrc, 0, feedback.counter, feedback.packets)
            with contextlib.suppress(ValueError):
                self.connection.send_rtcp(event.serialize())
                self.figures.feedbacks += 1

    def send_report(self) -> None:
        """Tell what came of each stream."""
        blocks = tuple(self._block(ssrc, stream) for ssrc, stream in list(self._streams.items())[:31])
        if blocks and self.connection is not None:
            self.connection.send_rtcp(rtcp.ReceiverReport(self._ssrc, blocks).serialize())

    def _block(self, ssrc: int, stream: StreamTally) -> rtcp.ReportBlock:
        last, came_at = self._sender_reports.get(ssrc, (0, 0.0))
        delay = int((time.monotonic() - came_at) * 65536) if last else 0
        return rtcp.ReportBlock(ssrc, 0, stream.lost, stream.highest, 0, last, min(delay, 0xFFFFFFFF))

    # Measuring

    def restart(self) -> None:
        """Begin the steady interval."""
        figures = self.figures
        figures.packets = figures.bytes = figures.retransmissions = 0
        figures.feedbacks = figures.unreadable = 0
        figures.latencies = array("d")
        for stream in self._streams.values():
            stream.restart()

    def finish(self) -> SubscriberFigures:
        """End the steady interval and return what was seen in it."""
        figures, streams = self.figures, self._streams.values()
        figures.lost = sum(stream.lost for stream in streams)
        figures.reordered = sum(stream.reordered for stream in streams)
        figures.duplicates = sum(stream.duplicates for stream in streams)
        if figures.error is None and self.connection is not None and self.connection.is_lost:
            figures.error = "ended by the server"
        return figures


def _find(packet: memoryview, head: int) -> int:
    """Return where the element is that begins with the byte ``head`` in a one-byte extension block, or 0."""
    place = _BLOCK
    end = min(_BLOCK + 4 * _NUMBER.unpack_from(packet, _BLOCK - 2)[0], len(packet) - 2)
    while place < end:
        first = packet[place]
        if first == head:
            return place
        place += 1 if first == 0 else (first & 0x0F) + 2
    return 0
