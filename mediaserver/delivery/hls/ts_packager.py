"""HLS in MPEG-TS for players that know nothing newer: whole segments, audio and video in one.

Started when somebody asks, from the packets since the last keyframe, and stopped when nobody has for a while.
"""

import asyncio
import math
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mediaserver.containers.mpegts import MpegTsMuxer
from mediaserver.delivery.hls.audience import Audience
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.hub.ports import Metadata
from mediaserver.hub.stream import Stream
from mediaserver.media.codecs import primary
from mediaserver.media.packet import MediaPacket, Track, TrackKind

IDLE_SECONDS: Final = 30.0
LONGEST_SEGMENT: Final = 12.0
EARLY: Final = 0.9
KEPT_UNLISTED: Final = 3


@dataclass(frozen=True, slots=True)
class TsSegment:
    """``duration`` in seconds."""

    sequence: int
    name: str
    duration: float
    is_discontinuous: bool
    data: bytes


class TsPackager:
    """An Output. ``touch`` is called by every request and keeps it going."""

    def __init__(self, stream: Stream, options: HlsOptions) -> None:
        self.session: Final = secrets.token_hex(6)
        self.audience: Final = Audience()
        self.segments: deque[TsSegment] = deque()
        self.target_duration = 0
        self.is_ended = False
        self.removed_discontinuities = 0
        self._stream = stream
        self._options = options
        self._muxer = MpegTsMuxer()
        self._tracks: tuple[Track, ...] = ()
        self._primary: int | None = None
        self._packets: list[MediaPacket] = []
        self._start = 0.0
        self._sequence = 0
        self._is_gap_ahead = False
        self._is_discontinuous = False
        self._resources: dict[str, bytes] = {}
        self._loop = asyncio.get_running_loop()
        self._touched = self._loop.time()
        self._ready: asyncio.Future[None] = self._loop.create_future()

    @property
    def viewer_count(self) -> int:
        return self.audience.present

    def touch(self) -> None:
        self._touched = self._loop.time()

    async def wait_ready(self, seconds: float) -> bool:
        """Wait for the first segment, ``seconds`` at most."""
        if not self._ready.done():
            await asyncio.wait((self._ready,), timeout=seconds)
        return bool(self.segments)

    def resource(self, name: str) -> bytes | None:
        return self._resources.get(name)

    # Output

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None:
        new = tuple(tracks)
        if self._tracks and new != self._tracks:
            self._close_segment(None)
            self._is_gap_ahead = True
        self._tracks = new
        self._muxer.configure(new, metadata)
        leader = primary(new, TrackKind.VIDEO) or primary(new, TrackKind.AUDIO)
        self._primary = leader.id if leader is not None else None

    def on_packet(self, packet: MediaPacket) -> None:
        if packet.track.id == self._primary:
            self._lead(packet, packet.dts / packet.track.clock_rate)
        elif self._packets:
            self._packets.append(packet)

    def on_interrupted(self) -> None:
        self._close_segment(None)
        self._is_gap_ahead = True

    def on_end(self) -> None:
        self._close_segment(None)
        self.is_ended = True
        if not self._ready.done():
            self._ready.set_result(None)

    # Inside

    def _lead(self, packet: MediaPacket, at: float) -> None:
        if self._packets:
            elapsed = at - self._start
            is_late_enough = packet.is_keyframe and elapsed >= self._options.segment_target * EARLY
            if not is_late_enough and elapsed < self._longest_segment:
                self._packets.append(packet)
                return
            self._close_segment(at)
            if self._loop.time() - self._touched > IDLE_SECONDS:
                self._stream.detach(self)
                return
        if packet.is_keyframe or (self.segments and not self._is_gap_ahead):
            self._start = at
            self._is_discontinuous, self._is_gap_ahead = self._is_gap_ahead, False
            self._packets = [packet]

    @property
    def _longest_segment(self) -> float:
        return self.target_duration or LONGEST_SEGMENT

    def _close_segment(self, until: float | None) -> None:
        packets, self._packets = self._packets, []
        if not packets:
            return
        last = packets[-1]
        end = last.dts / last.track.clock_rate if until is None else until
        name = f"{self.session}-{self._sequence}.ts"
        segment = TsSegment(
            self._sequence,
            name,
            max(end - self._start, 0.001),
            self._is_discontinuous,
            self._muxer.render(packets),
        )
        self._sequence += 1
        self.segments.append(segment)
        self._resources[name] = segment.data
        if not self.target_duration:
            self.target_duration = max(math.ceil(self._options.segment_target), math.ceil(segment.duration))
        self._trim()
        if not self._ready.done():
            self._ready.set_result(None)

    def _trim(self) -> None:
        while len(self.segments) > self._options.playlist_segments:
            self.removed_discontinuities += self.segments.popleft().is_discontinuous
        while len(self._resources) > self._options.playlist_segments + KEPT_UNLISTED:
            del self._resources[next(iter(self._resources))]
