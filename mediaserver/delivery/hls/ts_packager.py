"""HLS in MPEG-TS for players that know nothing newer: whole segments, audio and video in one.

Rules:

* Started when somebody asks, from the packets since the last keyframe; stopped when nobody has for a while.
* The first segment decides TARGETDURATION, which never changes: later ones are cut before they pass it.
* Segments begin with the leading track, which is the first video, else the first audio.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Final

from mediaserver.containers.mpegts import MpegTsMuxer
from mediaserver.delivery.hls.audience import Audience
from mediaserver.delivery.hls.opening import EARLY, SLACK, rounded
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.playlist import duration
from mediaserver.delivery.hls.rendition import BYTES_SHARE, ROUNDING
from mediaserver.delivery.hls.segments import Data, MediaStore, Segment
from mediaserver.delivery.hls.waiting import Waiters
from mediaserver.delivery.hls.window import SegmentWindow
from mediaserver.hub.ports import Metadata
from mediaserver.media.codecs import CODECS, primary
from mediaserver.media.packet import MediaPacket, Track, TrackKind

VERSION: Final = 3


class TsPackager:
    """An Output. ``touch`` is called by every request and keeps it going; ``clock`` is the event loop's."""

    def __init__(self, options: HlsOptions, clock: Callable[[], float]) -> None:
        self.session_name: Final = secrets.token_hex(8)
        self.audience: Final = Audience(options.viewer_window)
        self.waiters: Final = Waiters()
        """Those who wait for the first segment."""
        self.target_duration = 0
        self.is_ended = False
        self._options = options
        self._clock = clock
        self._touched = clock()
        self._muxer = MpegTsMuxer()
        self._store = MediaStore()
        self._window: SegmentWindow | None = None
        self._tracks: tuple[Track, ...] = ()
        self._leader: int | None = None
        self._packets: list[MediaPacket] = []
        self._size = 0
        self._start = self._last = 0
        self._usual = 1
        """Ticks from one leading packet to the next, as seen last."""
        self._sequence = 0
        self._is_broken = False

    @property
    def viewer_count(self) -> int:
        return self.audience.present(self._clock())

    @property
    def is_ready(self) -> bool:
        """Whether there is something to list."""
        return self._window is not None

    def touch(self) -> None:
        self._touched = self._clock()

    def sweep(self, now: float) -> bool:
        """Turn away who waits too long; True when nobody has asked for a while."""
        self.waiters.sweep(now)
        return now - self._touched > self._options.ts_idle

    def data(self, name: str) -> Data | None:
        """The bytes of a segment."""
        return self._store.get(name)

    def playlist(self) -> bytes:
        """A media playlist; there is one as soon as ``is_ready``."""
        window = self._window
        listed = [*window.listed] if window is not None else []
        lines = [
            "#EXTM3U",
            f"#EXT-X-VERSION:{VERSION}",
            f"#EXT-X-TARGETDURATION:{self.target_duration}",
            f"#EXT-X-MEDIA-SEQUENCE:{listed[0].sequence if listed else self._sequence}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{window.removed_discontinuities if window is not None else 0}",
        ]
        for segment in listed:
            lines += ["#EXT-X-DISCONTINUITY"] * segment.is_discontinuous
            lines += (f"#EXTINF:{duration(segment.duration)},", segment.name)
        lines += ["#EXT-X-ENDLIST"] * self.is_ended
        return ("\n".join(lines) + "\n").encode()

    # Output

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None:
        carried = tuple(track for track in tracks if CODECS[track.codec].transport_stream_type is not None)
        if carried != self._tracks:
            self._break()
        self._tracks = carried
        self._muxer.configure(carried, metadata)
        leader = primary(carried, TrackKind.VIDEO) or primary(carried, TrackKind.AUDIO)
        self._leader = leader.id if leader is not None else None

    def on_packet(self, packet: MediaPacket) -> None:
        if packet.track.id != self._leader:
            if self._size > self._options.max_bytes // BYTES_SHARE:
                self._break()
            if self._packets:
                self._add(packet)
            return
        if self._packets and self._ends_segment(packet):
            self._close_segment(packet.dts)
        if self._packets:
            self._usual = packet.dts - self._last
        elif self._may_begin_with(packet):
            self._start = packet.dts
        else:
            return
        self._last = packet.dts
        self._add(packet)

    def _add(self, packet: MediaPacket) -> None:
        self._packets.append(packet)
        self._size += len(packet.payload)

    def on_interrupted(self) -> None:
        self._break()

    def on_end(self) -> None:
        self._break()
        self.is_ended = True
        self.waiters.wake()

    # Cutting

    def _ends_segment(self, packet: MediaPacket) -> bool:
        elapsed = (packet.dts - self._start) / packet.track.clock_rate
        if packet.is_keyframe and elapsed >= self._options.segment_target - EARLY:
            return True
        longest = self.target_duration + ROUNDING if self.target_duration else self._options.longest_segment
        until = elapsed + self._usual / packet.track.clock_rate
        return until > longest or self._size > self._options.max_bytes // BYTES_SHARE

    def _may_begin_with(self, packet: MediaPacket) -> bool:
        """At first and after a break, only a keyframe will do."""
        return packet.is_keyframe or not (self._is_broken or self._window is None)

    def _break(self) -> None:
        """What follows does not continue what was."""
        if self._packets:
            self._close_segment(self._last + self._usual)
        self._is_broken = self._window is not None

    def _close_segment(self, until: int) -> None:
        packets, self._packets, self._size = self._packets, [], 0
        seconds = (until - self._start) / packets[0].track.clock_rate
        window = self._window or self._open(seconds)
        name = f"{self.session_name}-{self._sequence}.ts"
        segment = Segment(self._sequence, name, "", 0.0, self._is_broken)
        segment.duration, segment.samples = seconds, len(packets)
        self._is_broken = False
        data = self._muxer.render(packets)
        segment.size = len(data)
        self._store.put(name, data)
        self._sequence += 1
        window.append(segment)
        while self._store.total > self._options.max_bytes and window.shrink():
            pass
        self.waiters.wake()

    def _open(self, first_segment: float) -> SegmentWindow:
        longest = rounded(max(first_segment + SLACK, self._options.segment_target))
        self.target_duration = longest
        self._window = SegmentWindow(self._store, self._options.playlist_segments, longest)
        return self._window
