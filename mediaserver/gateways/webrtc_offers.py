"""One track of the hub as a producer of a room's router: pictures and sound.

Rules:

* A producer without consumers costs nothing: no packet is made, no sound transcoded.
* With the first consumer, the group of pictures that the hub keeps goes to the router, mostly before anybody
  is connected. From there the router itself lets whoever joins, or lost its picture, begin
  (``sfu.quick_start``): what goes to one alone is none of the source's.
* What the hub kept gets new times, close together: the player shows it at once and is live, instead of
  playing as many seconds late as the group was old.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mediaserver.gateways.rtp_opus import opus_payloads
from mediaserver.gateways.rtp_writing import RtpWriter
from mediaserver.gateways.webrtc_codecs import Packetize
from mediaserver.gateways.webrtc_ports import LocalProducing
from mediaserver.hub.ports import Metadata
from mediaserver.hub.stream import Stream
from mediaserver.media.errors import MediaError
from mediaserver.media.packet import Codec, MediaPacket, Track
from mediaserver.transcode.audio_sharing import TranscodedAudio, transcoded_audio

MAX_GROUP_BYTES: Final = 2_000_000
"""More packets than these make are not kept by the router."""
REPLAY_STEP: Final = 90
"""Ticks between two frames that are sent again: a millisecond."""
REPORT_SECONDS: Final = 2.0

_NTP_UNITS: Final = 1 << 32
_NTP_EPOCH: Final = 2_208_988_800
"""Seconds from 1900 to 1970."""


@dataclass(slots=True)
class WebRtcPlayCounters:
    """Totals over all rooms."""

    frames: int = 0
    packets: int = 0
    bytes: int = 0
    replays: int = 0
    oversized_sounds: int = 0
    refused_streams: int = 0


class ReportClock:
    """The wall clock that picture and sound of one stream share, so that players keep them together."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._ntp_at_zero: int | None = None

    def ntp(self, ticks: int, clock_rate: int) -> int:
        """When ``ticks`` are (64 bit, RFC 3550); the first one asked for is now."""
        media = ticks * _NTP_UNITS // clock_rate
        if self._ntp_at_zero is None:
            self._ntp_at_zero = int((self._wall_clock() + _NTP_EPOCH) * _NTP_UNITS) - media
        return self._ntp_at_zero + media


class _Sender:
    """Writes one producer's packets and reports."""

    def __init__(
        self, producer: LocalProducing, clock_rate: int, clock: ReportClock, counters: WebRtcPlayCounters
    ) -> None:
        self.producer: Final = producer
        self._writer = RtpWriter(producer.payload_type, producer.ssrc)
        self._clock_rate = clock_rate
        self._clock = clock
        self._counters = counters
        self._reported_at: float | None = None

    def send(self, payloads: Sequence[bytes], ticks: int, received_at: float, *, is_frame: bool) -> None:
        packets = self._writer.write(payloads, ticks, is_frame=is_frame)
        self._counters.frames += 1
        self._counters.packets += len(packets)
        self._counters.bytes += sum(map(len, payloads))
        if self._reported_at is None or received_at - self._reported_at >= REPORT_SECONDS:
            self._reported_at = received_at
            ntp = self._clock.ntp(ticks, self._clock_rate)
            self.producer.sender_report(ntp, self._writer.timestamp(ticks))
        self.producer.send(packets, received_at=received_at)


class VideoOffer:
    """Pictures of one track. Implements ``sfu.producer.LocalProducerListener``."""

    def __init__(
        self, stream: Stream, track: Track, packetize: Packetize, counters: WebRtcPlayCounters
    ) -> None:
        self.consumers = 0
        self.track = track
        self._stream = stream
        self._packetize = packetize
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._sender: _Sender | None = None
        self._is_waiting = True
        self._is_replay_due = False
        self._last_ticks = -1

    @property
    def is_begun(self) -> bool:
        """Whether there is a producer."""
        return self._sender is not None

    def begin(self, producer: LocalProducing, clock: ReportClock) -> None:
        """``producer`` is what the packets go to."""
        self._sender = _Sender(producer, self.track.clock_rate, clock, self._counters)

    def reconfigure(self, track: Track, packetize: Packetize) -> None:
        """The track has other parameter sets; its next frame is a keyframe."""
        self.track, self._packetize = track, packetize
        self._is_waiting = True

    def add(self, packet: MediaPacket) -> None:
        """Send a frame on, if somebody wants it and can begin with it."""
        if not self.consumers or (self._is_waiting and not packet.is_keyframe):
            return
        self._is_waiting = False
        self._send(packet, packet.pts, packet.received_at)

    def close(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.producer.close()

    # LocalProducerListener

    def on_keyframe_requested(self) -> None:
        self._replay_soon()

    def on_consumers(self, count: int) -> None:
        was_wanted, self.consumers = self.consumers > 0, count
        if was_wanted != (count > 0):
            self._is_waiting = True
        if count and not was_wanted:
            self._replay_soon()

    # Replaying

    def _replay_soon(self) -> None:
        if not self._is_replay_due:
            # Not from within the sending of a frame, which may have led to this.
            self._is_replay_due = True
            self._loop.call_soon(self._replay)

    def _replay(self) -> None:
        self._is_replay_due = False
        now = self._loop.time()
        if self._sender is None or not self.consumers or not self._is_waiting:
            return
        frames = [packet for packet in recent_packets(self._stream) if packet.track == self.track]
        size = sum(len(frame.payload) for frame in frames)
        if not frames or not frames[0].is_keyframe or size > MAX_GROUP_BYTES:
            return
        self._counters.replays += 1
        self._is_waiting = False
        for frame, ticks in zip(frames, replay_times(frames, self._last_ticks), strict=True):
            self._send(frame, ticks, now)

    def _send(self, packet: MediaPacket, ticks: int, received_at: float) -> None:
        if self._sender is None:
            return
        try:
            payloads = self._packetize(packet.payload, packet.is_keyframe)
        except MediaError:
            self._is_waiting = True
            return
        self._last_ticks = ticks
        if payloads:
            self._sender.send(payloads, ticks, received_at, is_frame=True)


def replay_times(frames: Sequence[MediaPacket], last_ticks: int) -> list[int]:
    """Times for ``frames`` that rise, follow ``last_ticks`` and leave the next frame its own."""
    newest = frames[-1].pts
    shortest = min((later.pts - earlier.pts for earlier, later in pairwise(frames)), default=0)
    step = max(1, min(REPLAY_STEP, shortest // (len(frames) + 1)))
    first = max(newest - step * (len(frames) - 1), last_ticks + 1)
    return [first + index * step for index in range(len(frames))]


class AudioOffer:
    """Sound of one stream as Opus.

    Implements ``sfu.producer.LocalProducerListener`` and ``transcode.audio_sharing.TranscodedAudioUser``.
    """

    def __init__(
        self,
        stream: Stream,
        executor: Executor,
        counters: WebRtcPlayCounters,
        on_failure: Callable[[str], None],
    ) -> None:
        self.consumers = 0
        self._stream = stream
        self._executor = executor
        self._counters = counters
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._sender: _Sender | None = None
        self._source: TranscodedAudio | None = None
        self._since = 0.0

    def begin(self, producer: LocalProducing, clock: ReportClock) -> None:
        """``producer`` is what the packets go to."""
        self._sender = _Sender(producer, 48_000, clock, self._counters)

    def close(self) -> None:
        self._stop()
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.producer.close()

    # LocalProducerListener

    def on_keyframe_requested(self) -> None:
        """Every packet is one."""

    def on_consumers(self, count: int) -> None:
        was_wanted, self.consumers = self.consumers > 0, count
        if count and not was_wanted:
            self._since = self._loop.time()
            self._source = transcoded_audio(self._stream, Codec.OPUS, self._executor)
            self._source.add(self)
        elif not count:
            self._stop()

    # TranscodedAudioUser

    def on_audio_track(self, track: Track) -> None:
        """Opus needs no more than its packets."""

    def on_audio_packet(self, packet: MediaPacket) -> None:
        # What the transcoder begins with may be as old as the last keyframe.
        if self._sender is None or packet.received_at < self._since:
            return
        payloads = opus_payloads(packet.payload)
        if not payloads:
            self._counters.oversized_sounds += 1
            return
        self._sender.send(payloads, packet.dts, packet.received_at, is_frame=False)

    def on_audio_end(self, reason: str) -> None:
        self._source = None
        self._on_failure(reason)

    def _stop(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.remove(self)


class _Recent:
    """What a newcomer would get. Implements ``hub.ports.Output``, for a moment only."""

    viewer_count = 0

    def __init__(self) -> None:
        self.packets: list[MediaPacket] = []

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None: ...

    def on_packet(self, packet: MediaPacket) -> None:
        self.packets.append(packet)

    def on_interrupted(self) -> None: ...

    def on_end(self) -> None: ...


def recent_packets(stream: Stream) -> list[MediaPacket]:
    """The packets since the last keyframe, as far as the stream keeps them."""
    recent = _Recent()
    stream.attach(recent)
    stream.detach(recent)
    return recent.packets
