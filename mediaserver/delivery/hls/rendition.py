"""One rendition: the samples of one track as parts and segments, under names nobody can guess.

Rules:

* Everything is stored before it is listed.
* Parts are numbered through, whatever segment they fall into: so the next one can be hinted at by its name.
* A segment ends where the packager says, at the first fitting sample, or on its own where TARGETDURATION
  leaves no choice; then the packager hears of it and the other renditions follow.
* Sound that would make too short a part at the end of a segment goes into the next one.
* A rendition two segments behind has nothing to say: what is missing is listed as a gap.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mediaserver.containers.fmp4 import fragment, init_segment
from mediaserver.delivery.hls.cutter import SHORTEST_PART, PartCutter, Run
from mediaserver.delivery.hls.opening import SHORTEST_TAIL, Timing
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.playlist import MediaPlaylist, RenditionReport, Skip, segment_text
from mediaserver.delivery.hls.segments import MediaStore, Part, Segment
from mediaserver.delivery.hls.waiting import Waiters
from mediaserver.delivery.hls.window import SegmentWindow
from mediaserver.media.packet import MediaPacket, Track, TrackKind

TRACK_NUMBER: Final = 1
ROUNDING: Final = 0.45
"""Seconds by which a segment may pass TARGETDURATION and still be rounded down to it (6.2.1)."""
BYTES_SHARE: Final = 4
"""A segment ends when it has this part of all bytes allowed (one in so many), however short it is."""


@dataclass(frozen=True, slots=True)
class Session:
    """What all renditions of one publishing session share.

    ``clock`` is the event loop's; ``wall_clock`` the time of day, in seconds of the epoch, at media time 0.
    """

    options: HlsOptions
    timing: Timing
    store: MediaStore
    clock: Callable[[], float]
    wall_clock: float


class Rendition:
    """``name`` begins the names of everything it makes. ``on_segment`` is told the media time at which a
    segment ended. ``join`` comes before the first packet. Raises UnsupportedError and CodecConfigError.
    """

    def __init__(
        self,
        name: str,
        track: Track,
        session: Session,
        on_segment: Callable[["Rendition", float], None],
    ) -> None:
        self.name: Final = name
        self.track = track
        self.sequence = 0
        """Number of the segment that is growing or comes next."""
        self.growing: Segment | None = None
        self.is_ended = False
        self.is_independent = True
        """Whether every segment so far can be decoded by itself."""
        self.part_latency = 0.0
        """Seconds from the arrival of the newest part's first sample to its listing."""
        self.waiters: Final = Waiters()
        """Those who wait for a newer playlist."""
        self.part_waiters: Final = Waiters()
        """Those who wait for the part that is hinted at."""
        self.rendered: Final[dict[tuple[Skip, bool], bytes]] = {}
        """The playlist as it stands, by what is skipped and whether it is compressed."""
        self.window: Final = SegmentWindow(
            session.store, session.options.playlist_segments, session.timing.target_duration
        )
        self._session = session
        self._longest = session.timing.target_duration + ROUNDING
        self._largest = session.options.max_bytes // BYTES_SHARE
        self._on_segment = on_segment
        self._due: deque[float] = deque()
        self._parts = 0
        self._end = 0
        self._offset = 0
        self._is_discontinuous = False
        self._maps: deque[str] = deque()
        self._maps_made = 0
        self._begin(track)

    def _begin(self, track: Track) -> None:
        """Go on with ``track`` as if nothing was before. Raises UnsupportedError and CodecConfigError."""
        if not self._maps or track != self.track:
            data = init_segment([(TRACK_NUMBER, track)])
            self._maps.append(f"{self.name}.i{self._maps_made}.mp4")
            self._maps_made += 1
            self._session.store.put(self._maps[-1], data)
        self.track = track
        self._cutter = PartCutter(track, self._session.timing.part_target)
        shortest = min(SHORTEST_TAIL, SHORTEST_PART * self._session.timing.part_target)
        self._shortest_tail = int(shortest * track.clock_rate) if track.kind is TrackKind.AUDIO else 0
        self._awaits_keyframe = track.kind is TrackKind.VIDEO
        self._waiting_since: float | None = None

    # Times

    @property
    def discontinuities(self) -> int:
        """How many there were up to the segment that is growing or comes next."""
        segments = (*self.window.listed, self.growing) if self.growing is not None else self.window.listed
        known = sum(segment.is_discontinuous for segment in segments)
        return self.window.removed_discontinuities + known + self._is_discontinuous

    def join(self, sequence: int, discontinuities: int) -> None:
        """Begin with segment ``sequence``, as if that many discontinuities had been listed before."""
        self.sequence = sequence
        self.window.removed_discontinuities = discontinuities

    def begin_at(self, origin: float) -> None:
        """Listing begins at this media time, at first and after each discontinuity."""
        self._end = self._ticks(origin)

    def elapsed_until(self, packet: MediaPacket) -> float:
        """Seconds from the beginning of the segment, listed or not, to ``packet``."""
        listed = self.growing.duration if self.growing is not None else 0.0
        start = self._cutter.start
        return listed if start is None else listed + (packet.dts - start) / self.track.clock_rate

    def ends_part(self, packet: MediaPacket) -> bool:
        """Whether a part ends in front of ``packet`` in any case."""
        return self._cutter.is_full(packet)

    def _seconds(self, dts: int) -> float:
        """Media time, in seconds, of what is decoded at ``dts``."""
        return (dts + self._offset) / self.track.clock_rate

    def _ticks(self, seconds: float) -> int:
        return round(seconds * self.track.clock_rate) - self._offset

    # Filling

    def accepts(self, packet: MediaPacket, patience: float) -> bool:
        """Whether to take ``packet``: after a break, video waits ``patience`` seconds for a keyframe."""
        if not self._awaits_keyframe:
            return True
        at = packet.dts / packet.track.clock_rate
        if self._waiting_since is None:
            self._waiting_since = at
        if not packet.is_keyframe and at - self._waiting_since < patience:
            return False
        self._awaits_keyframe = False
        return True

    def add(self, packet: MediaPacket, begins_segment: bool = False) -> None:
        """Take a packet. A segment ends in front of it if ``begins_segment`` or if it cannot be in it."""
        if packet.is_keyframe:
            self._offset = packet.pts - packet.dts
        if self._cutter.position is None and self._is_late(packet):
            self._list_gap(packet.dts)
        if self._has_skipped_a_cut(packet):
            self.catch_up()
        if self._is_due(packet):
            begins_segment = not self._ends_without_tail(packet.dts)
        begins_segment = begins_segment or self._is_over(packet)
        for run in self._cutter.add(packet, begins_segment):
            self._publish(run)
        if begins_segment and self.growing is not None:
            self._complete()

    def cut_at(self, at: float) -> None:
        """Another rendition began a segment at media time ``at``."""
        self._due.append(at)
        self._catch_up(1)
        # Catching up may have ended more segments than were due: TARGETDURATION left no choice.
        if self._due and self.track.kind is TrackKind.AUDIO:
            self._split()

    def catch_up(self) -> None:
        """End all segments at the times that are due, whatever is missing."""
        self._catch_up(0)

    def _catch_up(self, allowed: int) -> None:
        """Be no more than ``allowed`` segments behind."""
        while len(self._due) > allowed:
            self.flush()
            if len(self._due) <= allowed:
                return  # what was pending did not fit, and so has ended a segment
            self._list_gap(self._ticks(self._due[0]))
            if self.growing is None:  # nothing is missing, and yet there has to be a segment
                self._list_gap(self._end + self.track.clock_rate // 1000)
            self._complete()

    def flush(self) -> None:
        """End the part that is growing, with what there is."""
        run = self._cutter.finish()
        if run is not None:
            self._publish(run)

    def finish_segment(self) -> None:
        """End the segment that is growing, if there is one; ``flush`` comes first."""
        if self.growing is not None:
            self._complete()

    def add_gap(self, seconds: float) -> None:
        """List a segment of that length without media, behind a ``finish_segment``."""
        self._list_gap(self._end + round(seconds * self.track.clock_rate))
        self.finish_segment()

    def sweep(self, now: float) -> None:
        """Turn away those who have waited too long."""
        self.waiters.sweep(now)
        self.part_waiters.sweep(now)

    def restart(self, track: Track) -> None:
        """What follows continues nothing: the next segment is discontinuous. ``finish_segment`` comes first.

        Raises UnsupportedError and CodecConfigError.
        """
        self._is_discontinuous = True
        self._begin(track)

    def end(self) -> None:
        """Nothing follows."""
        self.flush()
        self.finish_segment()
        self.is_ended = True
        self._changed()

    def forget(self) -> None:
        """Give up everything that can be fetched."""
        while self.window.shrink():
            pass
        while self._maps:
            self._session.store.discard(self._maps.popleft())

    # Listing

    @property
    def hint(self) -> str:
        """The name of the part that comes next."""
        return f"{self.name}.p{self._parts}.m4s"

    @property
    def uri(self) -> str:
        return f"{self.name}.m3u8"

    @property
    def kept_bytes(self) -> int:
        """Bytes of everything that can be fetched."""
        return self.window.size + (self.growing.size if self.growing is not None else 0)

    @property
    def is_listed(self) -> bool:
        """Whether there is a segment to begin with."""
        return bool(self.window.listed)

    @property
    def last_part(self) -> tuple[int, int]:
        """Sequence number and part index of the newest part; there is one once it is listed."""
        if self.growing is not None:
            return self.growing.sequence, len(self.growing.parts) - 1
        listed = self.window.listed
        return self.sequence - 1, len(listed[-1].parts) - 1 if listed else 0

    def report(self) -> RenditionReport:
        return RenditionReport(self.uri, *self.last_part)

    def playlist(self, reports: Sequence[RenditionReport]) -> MediaPlaylist:
        listed = self.window.listed
        return MediaPlaylist(
            self._session.timing,
            listed[0].sequence if listed else self.sequence,
            self.window.removed_discontinuities,
            self.is_independent,
            tuple(listed),
            self.growing,
            None if self.is_ended else self.hint,
            reports,
            self._session.wall_clock,
        )

    # Inside

    def _is_due(self, packet: MediaPacket) -> bool:
        """Whether this is the packet at which to follow the others."""
        if not self._due:
            return False
        tolerance = self._cutter.usual_duration / 2 / self.track.clock_rate
        is_there = self._seconds(packet.dts) >= self._due[0] - tolerance
        return is_there and (packet.is_keyframe or self.track.kind is TrackKind.AUDIO)

    def _has_skipped_a_cut(self, packet: MediaPacket) -> bool:
        """Whether sound is missing around the time at which a segment is due to end."""
        if not self._due or self.track.kind is not TrackKind.AUDIO:
            return False
        allowed = self._session.timing.part_target if self._cutter.start is not None else 0.0
        return self._seconds(packet.dts) - self._due[0] > allowed

    def _is_late(self, packet: MediaPacket) -> bool:
        """Whether the first packet comes so late that what is in front of it has to be listed as missing."""
        return packet.dts - self._end > self._session.timing.part_target * self.track.clock_rate

    def _is_over(self, packet: MediaPacket) -> bool:
        """Whether the segment would get too long or too large with ``packet``."""
        if self._cutter.start is None:
            return False
        until = self.elapsed_until(packet) + self._cutter.usual_duration / self.track.clock_rate
        return until > self._longest or (self.growing is not None and self.growing.size > self._largest)

    def _ends_without_tail(self, until: int) -> bool:
        """End the segment of sound with the last part, if what follows it up to ``until`` is too short."""
        start = self._cutter.start
        if self.growing is None or start is None or until - start >= self._shortest_tail:
            return False
        self._complete()
        return True

    def _split(self) -> None:
        """End the segment within the part that is growing, if samples of the next one are in it already."""
        ticks = self._ticks(self._due[0]) - self._cutter.usual_duration // 2
        pending = self._cutter.pending
        if not pending or pending[-1].pts < ticks:
            return
        run = self._cutter.split(ticks, self._shortest_tail if self.growing is not None else 1)
        if run is not None:
            self._publish(run)
        if self.growing is not None:
            self._complete()

    def _list_gap(self, until: int) -> None:
        for run in self._cutter.gap(self._end, until):
            self._publish(run)

    def _publish(self, run: Run) -> None:
        seconds = run.duration / self.track.clock_rate
        if self.growing is not None and self.growing.duration + seconds > self._longest:
            self._complete()
        segment = self.growing or self._begin_segment(run.start)
        if run.packets:
            self._store(segment, run)
        segment.parts.append(Part(self.hint, seconds, run.is_independent, not run.packets))
        segment.duration += seconds
        self._parts += 1
        self._end = run.start + run.duration
        self._changed()

    def _store(self, segment: Segment, run: Run) -> None:
        data = fragment(self._parts + 1, [(TRACK_NUMBER, run.packets, run.last_duration)])
        self._session.store.put(self.hint, data)
        if not segment.samples and not run.packets[0].is_keyframe:
            self.is_independent = False
        segment.size += len(data)
        segment.samples += len(run.packets)
        self.part_latency = self._session.clock() - run.packets[0].received_at

    def _begin_segment(self, start: int) -> Segment:
        name = f"{self.name}.s{self.sequence}.m4s"
        self.growing = Segment(
            self.sequence, name, self._maps[-1], self._seconds(start), self._is_discontinuous
        )
        self._is_discontinuous = False
        return self.growing

    def _complete(self) -> None:
        segment, self.growing = self.growing, None
        if segment is None:
            return
        segment.is_complete = True
        segment.text = segment_text(segment, self._session.wall_clock)
        segment.text_without_parts = segment_text(segment, self._session.wall_clock, has_parts=False)
        self._session.store.complete(segment)
        self.sequence += 1
        self.window.append(segment)
        self._discard_maps()
        if self._due:
            self._due.popleft()
        self._changed()
        self._on_segment(self, self._seconds(self._end))

    def _changed(self) -> None:
        self.rendered.clear()
        self.waiters.wake()
        self.part_waiters.wake()

    def _discard_maps(self) -> None:
        """Forget the initialization segments that no segment refers to any more."""
        if len(self._maps) > 1:
            used = {segment.map_name for segment in self.window}
            while len(self._maps) > 1 and self._maps[0] not in used:
                self._session.store.discard(self._maps.popleft())
