"""The packets a newcomer needs to start decoding at once.

Rules:

* With video, the cache begins at the last keyframe of the primary video track, or is empty.
* Without video it holds the last second of audio.
* It is bounded in packets and bytes. A group of pictures that outgrows the bounds is dropped whole and the
  cache stays empty until the next keyframe: half a group would only give decode errors.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mediaserver.media.packet import MediaPacket, Track, TrackKind

AUDIO_ONLY_SECONDS = 1


@dataclass(frozen=True, slots=True)
class GopCacheLimits:
    """``max_packets`` and ``max_bytes`` of payload bound one stream's cache; ``enabled`` False keeps none."""

    enabled: bool = True
    max_packets: int = 4096
    max_bytes: int = 32 * 1024 * 1024


class GopCache:
    """Packets since the last keyframe, in the order of publishing."""

    def __init__(self, limits: GopCacheLimits) -> None:
        self._limits = limits
        self._packets: deque[MediaPacket] = deque()
        self._bytes = 0
        self._primary_video: int | None = None
        self._is_waiting_for_keyframe = True

    def __len__(self) -> int:
        return len(self._packets)

    def __iter__(self) -> Iterator[MediaPacket]:
        return iter(self._packets)

    @property
    def payload_bytes(self) -> int:
        return self._bytes

    def set_tracks(self, tracks: Sequence[Track], stale_track_ids: frozenset[int]) -> None:
        """Take over the tracks; drop everything if a cached packet's track is gone or changed."""
        primary = next((track.id for track in tracks if track.kind is TrackKind.VIDEO), None)
        if primary != self._primary_video or any(p.track.id in stale_track_ids for p in self._packets):
            self.clear()
        self._primary_video = primary

    def clear(self) -> None:
        self._packets.clear()
        self._bytes = 0
        self._is_waiting_for_keyframe = True

    def add(self, packet: MediaPacket) -> None:
        if not self._limits.enabled:
            return
        if self._primary_video is None:
            self._append(packet)
            self._trim_audio(packet)
            return
        if packet.is_keyframe and packet.track.id == self._primary_video:
            self.clear()
            self._is_waiting_for_keyframe = False
        if not self._is_waiting_for_keyframe:
            self._append(packet)
            if len(self._packets) > self._limits.max_packets or self._bytes > self._limits.max_bytes:
                self.clear()

    def _append(self, packet: MediaPacket) -> None:
        self._packets.append(packet)
        self._bytes += len(packet.payload)

    def _trim_audio(self, newest: MediaPacket) -> None:
        oldest_kept = newest.dts - AUDIO_ONLY_SECONDS * newest.track.clock_rate
        packets = self._packets
        while packets[0].track.id == newest.track.id and packets[0].dts < oldest_kept:
            self._bytes -= len(packets.popleft().payload)
        while len(packets) > self._limits.max_packets or self._bytes > self._limits.max_bytes:
            self._bytes -= len(packets.popleft().payload)
