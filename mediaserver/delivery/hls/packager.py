"""The LL-HLS packager: an Output that keeps one Rendition per track and tells all of them where to cut.

Rules:

* The primary track (first video, else first audio) decides: a segment ends at its first keyframe after the
  segment target. The other renditions cut at the same media time, so that sequence numbers agree.
* TARGETDURATION is set once, by the first segment, before anything is listed. A group of pictures that would
  break it later is cut without a keyframe; such a segment is not independent, and its playlist says so.
* A gap or a changed configuration is a discontinuity at the same sequence number in every rendition.
"""

import asyncio
import itertools
import math
import secrets
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from mediaserver.containers.fmp4 import nominal_duration
from mediaserver.containers.fmp4_boxes import CARRIED
from mediaserver.delivery.hls.audience import Audience
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.rendition import JITTER, Rendition
from mediaserver.hub.ports import Metadata
from mediaserver.media.codecs import primary
from mediaserver.media.errors import MediaError
from mediaserver.media.packet import MediaPacket, Track, TrackKind

LONGEST_FIRST_SEGMENT: Final = 12.0
"""Seconds without a second keyframe after which the first segment ends all the same."""
EARLY: Final = 0.9
"""A keyframe this fraction of the segment target after the last cut is late enough to cut at."""
ROUNDING: Final = 0.45
"""Seconds by which a segment may pass TARGETDURATION and still be rounded down to it."""
KEYFRAME_PATIENCE: Final = 1.0
"""Seconds that a further video track may take to come to its own keyframe."""
COARSE_FRAME: Final = 0.15
"""Frames longer than this fraction of the part target make PART-TARGET a whole number of frames."""
WAKE_SECONDS: Final = 1.0
MEASURED_FRAMES: Final = 4
UNEVEN_FRAMES: Final = 3
"""How many usual frames the next one may last: a cut that must not come late is made so much earlier."""
MAX_MEASURED: Final = 256
MAX_CUTS_AHEAD: Final = 1024
"""Cuts that a silent rendition may fall behind before the oldest are forgotten."""

logger = structlog.get_logger("mediaserver.hls")


@dataclass(frozen=True, slots=True)
class _Cut:
    """A segment begins at media time ``at`` in every rendition."""

    at: float
    sequence: int
    is_discontinuous: bool


class HlsPackager:
    """Packages one stream. ``session`` is random, so that no cache can mix two streams of one room."""

    def __init__(self, options: HlsOptions) -> None:
        self.session: Final = secrets.token_hex(6)
        self.renditions: dict[int, Rendition] = {}
        self.target_duration = 0
        self.part_target = options.part_target
        self.is_ended = False
        self.audience: Final = Audience()
        self.wall_clock_base: float | None = None
        self._options = options
        self._primary: int | None = None
        self._cuts: dict[int, deque[_Cut]] = {}
        self._last_cut: _Cut | None = None
        self._is_gap_ahead = False
        self._tracks: tuple[Track, ...] = ()
        self._unevenness = 0.0
        self._measured: list[MediaPacket] | None = []
        self._rendition_numbers = itertools.count()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waker: asyncio.TimerHandle | None = None

    @property
    def viewer_count(self) -> int:
        return self.audience.present

    @property
    def is_ready(self) -> bool:
        """Whether there is something to list: TARGETDURATION is known and every rendition has a segment."""
        return self.target_duration > 0

    async def wait_ready(self, seconds: float) -> bool:
        """Wait until there is something to list, ``seconds`` at most."""
        if not self._ready.done():
            await asyncio.wait((self._ready,), timeout=seconds)
        return self.is_ready

    # Output

    def on_tracks(self, tracks: Sequence[Track], metadata: Metadata) -> None:
        self._tracks = tuple(track for track in tracks if track.codec in CARRIED)
        leader = primary(self._tracks, TrackKind.VIDEO) or primary(self._tracks, TrackKind.AUDIO)
        self._primary = leader.id if leader is not None else None
        if self._measured is None:
            self._take_tracks()

    def on_packet(self, packet: MediaPacket) -> None:
        if self._measured is None:
            self._package(packet)
            return
        self._measured.append(packet)
        leading = [p.dts for p in self._measured if p.track.id == self._primary]
        if len(leading) > MEASURED_FRAMES or len(self._measured) >= MAX_MEASURED:
            self._end_measuring(leading)

    def _package(self, packet: MediaPacket) -> None:
        track_id = packet.track.id
        rendition = self.renditions.get(track_id)
        if rendition is None:
            return
        at = packet.dts / packet.track.clock_rate
        if self.wall_clock_base is None:
            self.wall_clock_base = time.time() - at
        if track_id == self._primary:
            self._lead(packet, at)
        cut = self._due_cut(packet, at)
        if cut is not None:
            rendition.begin_segment(packet, cut.sequence, cut.is_discontinuous)
            self._note_progress()
        elif not rendition.is_empty and not self._is_gap_ahead and not rendition.add(packet):
            self._jump(rendition, packet, at)

    def on_interrupted(self) -> None:
        for rendition in self.renditions.values():
            rendition.finish_segment()
        self._is_gap_ahead = True

    def on_end(self) -> None:
        if self._measured is not None:
            self._end_measuring([])
        self.is_ended = True
        for rendition in self.renditions.values():
            rendition.end()
        if not self.is_ready and any(rendition.segments for rendition in self.renditions.values()):
            self._set_target_duration()
        if not self._ready.done():
            self._ready.set_result(None)
        if self._waker is not None:
            self._waker.cancel()

    # Tracks

    def _end_measuring(self, leading: Sequence[int]) -> None:
        """The first frames told how long frames are: fix PART-TARGET and package what was held back."""
        held, self._measured = self._measured or [], None
        leader = next((track for track in self._tracks if track.id == self._primary), None)
        distances = sorted(after - before for before, after in itertools.pairwise(leading))
        if leader is not None and distances:
            frame = distances[len(distances) // 2] / leader.clock_rate
            self.part_target = _part_target(frame, self._options.part_target)
            self._unevenness = UNEVEN_FRAMES * frame
        self._take_tracks()
        for packet in held:
            self._package(packet)

    def _take_tracks(self) -> None:
        for gone in self.renditions.keys() - {track.id for track in self._tracks}:
            self._drop_rendition(gone)
        for track in self._tracks:
            try:
                self._take_track(track)
            except MediaError as error:
                logger.warning("track_not_packaged", codec=track.codec.value, reason=str(error))
                self._drop_rendition(track.id)

    def _take_track(self, track: Track) -> None:
        rendition = self.renditions.get(track.id)
        if rendition is None:
            kind = "v" if track.kind is TrackKind.VIDEO else "a"
            name = f"{self.session}-{kind}{next(self._rendition_numbers)}"
            self.renditions[track.id] = Rendition(name, track, self._options, self.part_target)
            self._cuts[track.id] = deque(maxlen=MAX_CUTS_AHEAD)
        elif rendition.track != track:
            rendition.finish_segment()
            rendition.set_track(track)
            self._is_gap_ahead = True

    def _drop_rendition(self, track_id: int) -> None:
        rendition = self.renditions.pop(track_id, None)
        self._cuts.pop(track_id, None)
        if rendition is not None:
            rendition.end()
            self._is_gap_ahead = True

    # Cutting

    def _lead(self, packet: MediaPacket, at: float) -> None:
        """Schedule a cut at this packet of the primary track if it is time for one."""
        if self._last_cut is None:
            if packet.is_keyframe:
                self._schedule(at, is_discontinuous=False)
            return
        elapsed = at - self._last_cut.at
        if self._is_gap_ahead:
            if packet.is_keyframe:
                self._is_gap_ahead = False
                self._schedule(at, is_discontinuous=True)
            return
        is_late_enough = packet.is_keyframe and elapsed >= self._options.segment_target * EARLY
        if is_late_enough or elapsed + self._unevenness >= self._longest_segment:
            self._schedule(at, is_discontinuous=False)

    @property
    def _longest_segment(self) -> float:
        return self.target_duration + ROUNDING if self.target_duration else LONGEST_FIRST_SEGMENT

    def _schedule(self, at: float, is_discontinuous: bool) -> None:
        sequence = self._last_cut.sequence + 1 if self._last_cut is not None else 0
        self._last_cut = _Cut(at, sequence, is_discontinuous)
        for cuts in self._cuts.values():
            cuts.append(self._last_cut)

    def _due_cut(self, packet: MediaPacket, at: float) -> _Cut | None:
        """The cut that ``packet`` begins a segment for, if any."""
        cuts = self._cuts[packet.track.id]
        due = None
        while cuts and self._is_due(cuts[0], packet, at):
            if due is not None and not self.renditions[packet.track.id].is_empty:
                # Not one sample between two cuts: sequence numbers must not skip, so a gap is listed.
                rendition = self.renditions[packet.track.id]
                rendition.add_gap(due.sequence, due.at, cuts[0].at - due.at, due.is_discontinuous)
            due = cuts.popleft()
        return due

    def _is_due(self, cut: _Cut, packet: MediaPacket, at: float) -> bool:
        if packet.track.id == self._primary:
            return True
        half_frame = 0.5 * nominal_duration(packet.track) / packet.track.clock_rate
        is_there = at >= cut.at - half_frame
        if packet.track.kind is TrackKind.AUDIO:
            return is_there
        return is_there and (packet.is_keyframe or at > cut.at + KEYFRAME_PATIENCE)

    def _jump(self, rendition: Rendition, packet: MediaPacket, at: float) -> None:
        """The rendition cannot span the gap in front of ``packet``."""
        rendition.flush()
        if packet.track.id == self._primary:
            self._schedule(at, is_discontinuous=True)
            cut = self._due_cut(packet, at)
            if cut is not None:
                rendition.begin_segment(packet, cut.sequence, cut.is_discontinuous)
        else:
            rendition.add(packet)

    # Readiness

    def _note_progress(self) -> None:
        if self.is_ready:
            return
        renditions = self.renditions.values()
        if all(r.segments and r.segments[0].is_complete for r in renditions if r.track.id == self._primary):
            self._set_target_duration()
            self._ready.set_result(None)
            self._wake_regularly()

    def _set_target_duration(self) -> None:
        segments = (segment for r in self.renditions.values() for segment in r.segments)
        longest = max((segment.duration for segment in segments if segment.is_complete), default=0.0)
        self.target_duration = max(math.ceil(self._options.segment_target), math.ceil(longest - ROUNDING))

    def _wake_regularly(self) -> None:
        """One timer for all blocked requests, so that they notice when nothing comes."""
        for rendition in self.renditions.values():
            rendition.wake()
        self._waker = asyncio.get_running_loop().call_later(WAKE_SECONDS, self._wake_regularly)


def _part_target(frame: float, wanted: float) -> float:
    """``wanted``, or the next whole number of frames of ``frame`` seconds where those are long against it."""
    if frame <= wanted * COARSE_FRAME:
        return wanted
    return math.ceil((math.ceil(wanted / frame) * frame + JITTER) * 1000) / 1000
