"""The LL-HLS packager: an Output that keeps one Rendition per track and makes them cut together.

Rules:

* Nothing is listed before the first segment is over: it decides TARGETDURATION and PART-TARGET, which never
  change. Until then packets are only collected.
* The leading track (first video, else first audio) decides where segments end: at its first keyframe after
  the segment target. All renditions cut at the same media time, so their sequence numbers agree.
* Any rendition that has to end a segment on its own, to keep within TARGETDURATION, takes the others along.
  A segment that then begins without a keyframe is not independent, so EXT-X-INDEPENDENT-SEGMENTS is withdrawn
  for good: a missing promise breaks no player, a false one does (4.4.2.1).
* A changed configuration or another publisher is a discontinuity at the same sequence number everywhere.
  While a lost publisher may come back, the time without media is listed as gaps (6.2.1).
* A track that appears late joins at the next segment; a track that goes ends its own playlist.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Final

import structlog

from mediaserver.containers.fmp4_boxes import CARRIED
from mediaserver.delivery.hls.audience import Audience
from mediaserver.delivery.hls.multivariant import Listing, multivariant_playlist
from mediaserver.delivery.hls.opening import EARLY, Opening, Timing
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.playlist import MediaPlaylist
from mediaserver.delivery.hls.rendition import Rendition, Session
from mediaserver.delivery.hls.segments import Data, MediaStore
from mediaserver.delivery.hls.waiting import Waiters
from mediaserver.hub.ports import Metadata
from mediaserver.media.codecs import primary
from mediaserver.media.errors import MediaError
from mediaserver.media.packet import MediaPacket, Track, TrackKind

logger = structlog.get_logger("mediaserver.hls")

MAX_FORMER: Final = 8
"""Renditions whose track is gone, kept for those who still play them."""
LONG_GOP_SECONDS: Final = 4.0
"""A streamer with longer groups of pictures is told that 2 s would serve viewers better."""


class PackagerState(Enum):
    OPENING = "opening"
    """Nothing is listed yet."""
    LIVE = "live"
    INTERRUPTED = "interrupted"
    """The publisher is gone and may come back."""
    ENDED = "ended"


class HlsPackager:
    """Packages one stream. ``session`` is random, so that no cache can mix two streams of one room.

    ``clock`` is the event loop's, ``wall_clock`` the time of day; both in seconds.
    """

    def __init__(
        self,
        room_id: str,
        options: HlsOptions,
        clock: Callable[[], float],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.session_name: Final = secrets.token_hex(8)
        self.state = PackagerState.OPENING
        self.is_ready = False
        """Whether there is something to list of every track."""
        self.renditions: Final[dict[int, Rendition]] = {}
        self.audience: Final = Audience(options.viewer_window)
        self.waiters: Final = Waiters()
        """Those who wait for the first playlist."""
        self.store: Final = MediaStore()
        self._room_id = room_id
        self._options = options
        self._clock = clock
        self._wall_clock = wall_clock
        self._tracks: dict[int, Track] = {}
        self._opening = Opening(options)
        self._session: Session | None = None
        self._leader: Rendition | None = None
        self._joining: dict[int, Rendition] = {}
        self._former: list[Rendition] = []
        self._made = 0
        self._sequence = 0
        self._origin: float | None = None
        """Media time at which the newest segment begins; None before the first packet, and again after each
        discontinuity."""
        self._waiting_since: float | None = None
        self._interrupted_at = 0.0

    @property
    def viewer_count(self) -> int:
        return self.audience.present(self._clock())

    @property
    def timing(self) -> Timing:
        """What holds for the life of the session, or what it may be while nobody knows."""
        if self._session is None:
            return Timing(self._options.longest_segment, self._options.part_target)
        return self._session.timing

    @property
    def target_duration(self) -> int:
        return self.timing.target_duration

    @property
    def is_ended(self) -> bool:
        return self.state is PackagerState.ENDED

    # Output

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None:
        self._tracks = {track.id: track for track in tracks if track.codec in CARRIED}
        if self._session is None:
            if any(self._tracks.get(packet.track.id) != packet.track for packet in self._opening.packets):
                self._opening = Opening(self._options)
            return
        for track_id, rendition in [*self._joining.items()]:
            if self._tracks.get(track_id) != rendition.track:
                self._joining.pop(track_id).forget()
        for track_id in self.renditions.keys() - self._tracks.keys():
            self._retire(track_id)
        is_changed = any(r.track != self._tracks[track_id] for track_id, r in self.renditions.items())
        if is_changed or self.state is PackagerState.INTERRUPTED:
            self._finish_segments()
            self._restart()
        self.state = PackagerState.LIVE

    def on_packet(self, packet: MediaPacket) -> None:
        if self._session is None:
            self._collect(packet)
            return
        rendition = self.renditions.get(packet.track.id) or self._join(packet, self._session)
        if rendition is None or not rendition.accepts(packet, self._options.longest_segment):
            return
        if self._origin is None and not self._begins(rendition, packet):
            return
        rendition.add(packet, rendition is self._leader and self._begins_segment(rendition, packet))
        if self.store.total > self._options.max_bytes:
            self._shrink()

    def on_interrupted(self) -> None:
        if self._session is None:
            self._opening = Opening(self._options)
            return
        self._finish_segments()
        self.state = PackagerState.INTERRUPTED
        self._interrupted_at = self._clock()

    def on_end(self) -> None:
        leader = self._leading_track
        if self._session is None and self._opening.packets and leader is not None:
            self._open(leader)
        self._finish_segments()
        self.state = PackagerState.ENDED
        for rendition in self._all():
            rendition.end()
        self.waiters.wake()

    def forget(self) -> None:
        """Give up all bytes of an ended stream: packager and renditions know each other, so without this they
        would stay until the garbage collector looks at everything, which it seldom does."""
        self.store.clear()

    def sweep(self, now: float) -> None:
        """Called about once a second: turn away who waits too long, and list time without a publisher."""
        self.audience.note_waiting(max((len(r.waiters) for r in self._all()), default=0), now)
        self.waiters.sweep(now)
        for rendition in self._all():
            rendition.sweep(now)
        if self.state is PackagerState.INTERRUPTED and now - self._interrupted_at >= self.target_duration:
            self._interrupted_at += self.target_duration
            for rendition in self.renditions.values():
                rendition.add_gap(self.target_duration)

    # Asking

    def find(self, rendition_name: str) -> Rendition | None:
        """The rendition whose names begin with ``rendition_name``, also one whose track is gone."""
        return next((r for r in self._all() if r.name == rendition_name), None)

    def data(self, name: str) -> Data | None:
        """The bytes of an initialization segment, a segment or a part."""
        return self.store.get(name)

    def multivariant(self) -> bytes:
        """The multivariant playlist as things stand."""
        return multivariant_playlist([_listing(r) for r in self.renditions.values() if r.is_listed])

    def playlist(self, rendition: Rendition) -> MediaPlaylist:
        others = (r for r in self.renditions.values() if r is not rendition and r.is_listed)
        return rendition.playlist([other.report() for other in others])

    # Beginning

    @property
    def _leading_track(self) -> Track | None:
        tracks = [*self._tracks.values()]
        return primary(tracks, TrackKind.VIDEO) or primary(tracks, TrackKind.AUDIO)

    def _collect(self, packet: MediaPacket) -> None:
        leader = self._leading_track
        if leader is not None and self._opening.add(packet, leader):
            self._open(leader)

    def _open(self, leader: Track) -> None:
        """Fix what never changes, and package what was collected."""
        opening, self._opening = self._opening, Opening(self._options)
        timing = opening.timing(leader)
        interval = opening.keyframe_interval
        if leader.kind is TrackKind.VIDEO and (interval is None or interval > LONG_GOP_SECONDS):
            logger.warning("hls_long_gop", room_id=self._room_id, seconds=interval, better_seconds=2)
        newest = max((p.dts / p.track.clock_rate for p in opening.packets), default=0.0)
        self._session = Session(self._options, timing, self.store, self._clock, self._wall_clock() - newest)
        self.state = PackagerState.LIVE
        for packet in opening.packets:
            self.on_packet(packet)

    def _join(self, packet: MediaPacket, session: Session) -> Rendition | None:
        """The rendition of a track not heard of yet; None while it has to wait for the next segment."""
        track, leader = packet.track, self._leader
        if track.id in self._joining or self._tracks.get(track.id) != track:
            return None
        leads = leader is None or (track.kind is TrackKind.VIDEO and leader.track.kind is TrackKind.AUDIO)
        if leads and leader is not None and not packet.is_keyframe:
            return None  # video that takes the lead over does so with a keyframe
        rendition = self._make(track, session)
        if rendition is None:
            return None
        if leads:
            self._begin_with(rendition, packet.pts / track.clock_rate)
        elif self.is_ready:
            self._joining[track.id] = rendition
            return None
        self._admit(rendition)
        return rendition

    def _make(self, track: Track, session: Session) -> Rendition | None:
        kind = "v" if track.kind is TrackKind.VIDEO else "a"
        name = f"{self.session_name}-{kind}{self._made}"
        self._made += 1
        try:
            return Rendition(name, track, session, self._segment_ended)
        except MediaError as error:
            logger.warning("hls_track_left_out", room_id=self._room_id, reason=str(error))
            del self._tracks[track.id]
            return None

    def _begin_with(self, rendition: Rendition, at: float) -> None:
        """Let ``rendition`` decide where segments end from media time ``at`` on, where one begins."""
        if self._leader is not None:
            self._sequence += 1
            for other in self.renditions.values():
                other.cut_at(at)
            self._origin = at
        self._leader = rendition

    def _admit(self, rendition: Rendition) -> None:
        """Let a rendition begin with the segment that everyone is at."""
        discontinuities = max((other.discontinuities for other in self.renditions.values()), default=0)
        rendition.join(self._sequence, discontinuities)
        self.renditions[rendition.track.id] = rendition
        if self._origin is not None:
            rendition.begin_at(self._origin)

    def _begins(self, rendition: Rendition, packet: MediaPacket) -> bool:
        """Whether to go on with ``packet`` after a discontinuity: the others wait a while for the leader."""
        at = packet.pts / packet.track.clock_rate
        if self._waiting_since is None:
            self._waiting_since = at
        if rendition is not self._leader and at - self._waiting_since < self.target_duration:
            return False
        self._origin, self._waiting_since = at, None
        for other in self.renditions.values():
            other.begin_at(at)
        return True

    # Cutting

    def _begins_segment(self, leader: Rendition, packet: MediaPacket) -> bool:
        if not packet.is_keyframe or leader.elapsed_until(packet) < self._options.segment_target - EARLY:
            return False
        return leader.track.kind is TrackKind.VIDEO or leader.ends_part(packet)

    def _segment_ended(self, rendition: Rendition, at: float) -> None:
        """A rendition is one segment further: if it is the first one, the others follow."""
        if self.renditions.get(rendition.track.id) is not rendition:
            return
        if rendition.sequence > self._sequence:
            self._sequence = rendition.sequence
            for other in self.renditions.values():
                if other is not rendition:
                    other.cut_at(at)
            self._origin = at
            joining, self._joining = self._joining, {}
            for newcomer in joining.values():
                self._admit(newcomer)
        if not self.is_ready and all(r.is_listed for r in self.renditions.values()):
            self.is_ready = True
            self.waiters.wake()

    def _finish_segments(self) -> None:
        """End the segments of all renditions at the same number, with what there is."""
        renditions = [*self.renditions.values()]
        for rendition in renditions:
            rendition.flush()
        for rendition in renditions:
            rendition.finish_segment()
        for rendition in renditions:
            rendition.catch_up()

    def _restart(self) -> None:
        """What follows is discontinuous."""
        self._origin = None
        for track_id, rendition in [*self.renditions.items()]:
            try:
                rendition.restart(self._tracks[track_id])
            except MediaError as error:
                logger.warning("hls_track_left_out", room_id=self._room_id, reason=str(error))
                self._retire(track_id)

    def _retire(self, track_id: int) -> None:
        rendition = self.renditions.pop(track_id)
        rendition.end()
        self._former.append(rendition)
        if len(self._former) > MAX_FORMER:
            self._former.pop(0).forget()
        if rendition is self._leader:
            remaining = sorted(self.renditions.values(), key=_precedence)
            self._leader = remaining[0] if remaining else None

    def _shrink(self) -> None:
        while self.store.total > self._options.max_bytes:
            largest = max(self._all(), key=lambda rendition: rendition.kept_bytes)
            if not largest.window.shrink():
                return

    def _all(self) -> Iterator[Rendition]:
        yield from self.renditions.values()
        yield from self._joining.values()
        yield from self._former


def _precedence(rendition: Rendition) -> tuple[bool, int]:
    return rendition.track.kind is TrackKind.AUDIO, rendition.track.id


def _listing(rendition: Rendition) -> Listing:
    window = rendition.window
    return Listing(
        rendition.uri, rendition.track, window.peak_bitrate, window.average_bitrate, window.frame_rate
    )
