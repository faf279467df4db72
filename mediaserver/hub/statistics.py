"""Counters of one stream, cheap enough to keep for every packet.

Rates are computed when somebody asks, from a window that the packets themselves move on: no timer.
"""

from dataclasses import dataclass

from mediaserver.media.packet import MediaPacket, TrackKind

WINDOW_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """A snapshot. Bitrate in bit/s, intervals and skew in seconds; 0 where nothing was measured yet."""

    packets: int
    bytes: int
    bitrate: int
    frame_rate: float
    keyframe_interval: float
    audio_video_skew: float


class StreamStatistics:
    """Fed with every packet of a stream."""

    __slots__ = (
        "_bitrate",
        "_frame_rate",
        "_last_audio",
        "_last_keyframe",
        "_last_video",
        "_window_bytes",
        "_window_first",
        "_window_frames",
        "_window_last",
        "_window_start",
        "bytes",
        "keyframe_interval",
        "packets",
    )

    def __init__(self) -> None:
        self.packets = 0
        self.bytes = 0
        self.keyframe_interval = 0.0
        self._bitrate = 0.0
        self._frame_rate = 0.0
        self._window_start = 0.0
        self._window_bytes = 0
        self._window_frames = 0
        self._window_first: MediaPacket | None = None
        self._window_last: MediaPacket | None = None
        self._last_audio: MediaPacket | None = None
        self._last_video: MediaPacket | None = None
        self._last_keyframe: MediaPacket | None = None

    def add(self, packet: MediaPacket) -> None:
        size = len(packet.payload)
        self.packets += 1
        self.bytes += size
        self._window_bytes += size
        if packet.track.kind is TrackKind.VIDEO:
            self._count_frame(packet)
            if packet.is_keyframe:
                self._note_keyframe(packet)
        else:
            self._last_audio = packet
        if packet.received_at - self._window_start >= WINDOW_SECONDS:
            self._roll(packet.received_at)

    def figures(self) -> StreamFigures:
        return StreamFigures(
            packets=self.packets,
            bytes=self.bytes,
            bitrate=round(self._bitrate),
            frame_rate=round(self._frame_rate, 2),
            keyframe_interval=round(self.keyframe_interval, 3),
            audio_video_skew=round(self._skew(), 3),
        )

    @property
    def bytes_per_second(self) -> float:
        return self._bitrate / 8

    @property
    def last_received_at(self) -> float | None:
        """Loop time of the newest packet, None before the first."""
        newest = self.newest
        return newest.received_at if newest is not None else None

    @property
    def newest(self) -> MediaPacket | None:
        """The packet that came last, None before the first."""
        last = [packet for packet in (self._last_audio, self._last_video) if packet is not None]
        return max(last, key=lambda packet: packet.received_at, default=None)

    def _count_frame(self, packet: MediaPacket) -> None:
        """Frames of one track only, over their own time: arrival comes in bursts."""
        first = self._window_first
        if first is None or first.track.id > packet.track.id:
            self._window_first = packet
            self._window_frames = 0
        elif first.track.id == packet.track.id:
            self._window_frames += 1
            self._window_last = packet
        self._last_video = packet

    def _note_keyframe(self, packet: MediaPacket) -> None:
        last = self._last_keyframe
        if last is not None and last.track.id == packet.track.id:
            self.keyframe_interval = (packet.dts - last.dts) / packet.track.clock_rate
        if last is None or last.track.id >= packet.track.id:
            self._last_keyframe = packet

    def _roll(self, now: float) -> None:
        if self._window_start:
            elapsed = now - self._window_start
            self._bitrate = self._window_bytes * 8 / elapsed
            self._frame_rate = self._measured_frame_rate()
        self._window_start = now
        self._window_bytes = 0
        self._window_frames = 0
        self._window_first = None

    def _measured_frame_rate(self) -> float:
        first, last = self._window_first, self._window_last
        if first is None or last is None or last.dts <= first.dts:
            return 0.0
        return self._window_frames * first.track.clock_rate / (last.dts - first.dts)

    def _skew(self) -> float:
        audio, video = self._last_audio, self._last_video
        if audio is None or video is None:
            return 0.0
        return audio.dts / audio.track.clock_rate - video.dts / video.track.clock_rate
