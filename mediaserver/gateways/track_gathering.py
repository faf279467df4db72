"""Holding a publisher's first packets back until its tracks are known.

RTMP has no list of tracks: a track exists once its sequence header came. An output that starts with video
alone because the audio header was a packet later would have to start twice, so the first packets wait: until
every announced kind of track is there, or at most a second of media, since an encoder may announce audio it
never sends.
"""

from collections.abc import Mapping
from typing import Final

from mediaserver.media.packet import MediaPacket, Track, TrackKind

MAX_SECONDS: Final = 1
MAX_PACKETS: Final = 512
MAX_BYTES: Final = 8 * 1024 * 1024


class TrackGathering:
    """Collects tracks and packets; ``is_complete`` tells when to go live with them."""

    def __init__(self) -> None:
        self.tracks: dict[int, Track] = {}
        self.packets: list[MediaPacket] = []
        self._expected = frozenset(TrackKind)
        self._bytes = 0

    def expect(self, metadata: Mapping[str, object]) -> None:
        """Learn from onMetaData which kinds of track will come; without any word, both may."""
        announced = {
            kind for kind, name in _CODEC_FIELDS.items() if metadata.get(name) not in (None, "", 0.0)
        }
        # Codec id 0 is no codec in use today, so 0 and nothing both mean that there is no such track.
        self._expected = frozenset(announced or TrackKind)

    def add_track(self, track: Track) -> None:
        self.tracks[track.id] = track

    def add_packet(self, packet: MediaPacket) -> None:
        self.packets.append(packet)
        self._bytes += len(packet.payload)

    @property
    def is_complete(self) -> bool:
        """Whether the tracks are all there, or waiting longer is no use. Never without a packet."""
        if not self.packets:
            return False
        known = {track.kind for track in self.tracks.values()}
        return self._expected <= known or self._is_full()

    def _is_full(self) -> bool:
        if len(self.packets) >= MAX_PACKETS or self._bytes >= MAX_BYTES:
            return True
        first, last = self.packets[0], self.packets[-1]
        return last.dts / last.track.clock_rate - first.dts / first.track.clock_rate >= MAX_SECONDS


_CODEC_FIELDS: Final = {TrackKind.VIDEO: "videocodecid", TrackKind.AUDIO: "audiocodecid"}
