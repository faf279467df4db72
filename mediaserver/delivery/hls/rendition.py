"""One rendition: samples of one track cut into parts and segments, and the window of those that are kept.

Rules:

* A part is closed when the sample after it has arrived, so its duration is the true distance between two
  decode times; it never exceeds PART-TARGET, and it is as long as whole samples allow.
* Segments begin where the packager says, at the same media time in every rendition.
* The part that is being filled always has a sample already. So the part that a playlist hints at will exist.
* A segment stays fetchable after it left the playlist for as long as a playlist lasts (RFC 8216bis, 6.2.2).
"""

import asyncio
from collections import deque
from typing import Final

from mediaserver.containers.fmp4 import fragment, init_segment, nominal_duration
from mediaserver.delivery.hls.options import HlsOptions
from mediaserver.delivery.hls.segments import Part, Segment
from mediaserver.media.packet import MediaPacket, Track

TRACK_NUMBER: Final = 1
MINIMUM_SEGMENTS: Final = 3
"""Fewer would break the hold-back of three target durations."""
JITTER: Final = 0.002
"""Seconds by which rounding to milliseconds makes frames seem longer than they are."""
SEGMENTS_WITH_PARTS: Final = 6
"""Newest segments whose parts can be fetched; they are listed for three target durations only."""


class Rendition:
    """``name`` begins the names of everything it makes and is random per publishing session."""

    def __init__(self, name: str, track: Track, options: HlsOptions, part_target: float) -> None:
        self.name: Final = name
        self.part_target: Final = part_target
        self.segments: deque[Segment] = deque()
        """Listed segments, the last one perhaps growing."""
        self.is_ended = False
        self.peak_bitrate = 0.0
        self.part_latency = 0.0
        """Seconds from the arrival of the newest part's first sample to its listing."""
        self._options = options
        self._unlisted: deque[Segment] = deque()
        self._resources: dict[str, Segment | Part | bytes] = {}
        self._maps: deque[str] = deque()
        self._samples: list[MediaPacket] = []
        self._fragments = 0
        self._changed: asyncio.Future[None] | None = None
        self.version = 0
        """Counts the changes of what a playlist would say."""
        self.playlists: dict[bool, tuple[int, bytes]] = {}
        """Rendered playlists, full and delta, each with the version it was rendered at."""
        self.removed_discontinuities = 0
        self.set_track(track)

    # Filling

    def set_track(self, track: Track) -> None:
        """The initialization segment that the next segments refer to."""
        self.track = track
        self._nominal = nominal_duration(track)
        self._target_ticks = int(self.part_target * track.clock_rate)
        self._jitter_ticks = int(JITTER * track.clock_rate)
        name = f"{self.name}-init{len(self._maps)}-{self._fragments}.mp4"
        self._resources[name] = init_segment([(TRACK_NUMBER, track)])
        self._maps.append(name)

    def begin_segment(self, packet: MediaPacket, sequence: int, is_discontinuous: bool) -> None:
        """Close what is open, if anything, and begin segment ``sequence`` with ``packet``."""
        if self._samples:
            self._close_part(packet.dts if not is_discontinuous else None)
        self._complete_segment()
        name = f"{self.name}-{sequence}.m4s"
        start = packet.dts / packet.track.clock_rate
        segment = Segment(sequence, name, self._maps[-1], start, is_discontinuous, packet.is_keyframe)
        self.segments.append(segment)
        self._resources[name] = segment
        self._samples = [packet]

    def add(self, packet: MediaPacket) -> bool:
        """Add a sample to the open segment. False when a part cannot span the gap in front of it."""
        samples = self._samples
        if not samples:
            self._samples = [packet]
            return True
        elapsed = packet.dts - samples[0].dts
        if elapsed > self._target_ticks:
            if len(samples) == 1:
                return False
            last = samples.pop()
            self._close_part(last.dts)
            self._samples = [last]
            return self.add(packet)
        if elapsed + (packet.dts - samples[-1].dts) > self._target_ticks + self._jitter_ticks:
            self._close_part(packet.dts)
            self._samples = [packet]
        else:
            samples.append(packet)
        return True

    def add_gap(self, sequence: int, start: float, duration: float, is_discontinuous: bool) -> None:
        """List a segment without media, in place of one that no sample came for."""
        self.finish_segment()
        name = f"{self.name}-{sequence}.m4s"
        gap = Segment(sequence, name, self._maps[-1], start, is_discontinuous, is_independent=True)
        gap.is_gap, gap.is_complete, gap.duration = True, True, duration
        self.segments.append(gap)

    def flush(self) -> None:
        """Close the open part: nothing follows it closely."""
        if self._samples:
            self._close_part(None)

    def finish_segment(self) -> None:
        """Close what is open: what follows begins a new segment."""
        self.flush()
        self._complete_segment()

    def end(self) -> None:
        self.finish_segment()
        self.is_ended = True
        self._notify()

    @property
    def is_empty(self) -> bool:
        return not self.segments

    @property
    def open_segment(self) -> Segment | None:
        return self.segments[-1] if self.segments and not self.segments[-1].is_complete else None

    # Asking

    def resource(self, name: str) -> bytes | None:
        """The bytes of an initialization segment, a segment or a part."""
        found = self._resources.get(name)
        if isinstance(found, Segment):
            return found.data if found.is_complete else None
        return found.data if isinstance(found, Part) else found

    @property
    def hinted_part(self) -> str:
        """The name of the part that is being filled."""
        segment = self.segments[-1]
        if segment.is_complete:
            return self._part_name(segment.sequence + 1, 0)
        return self._part_name(segment.sequence, len(segment.parts))

    @property
    def last_part(self) -> tuple[int, int]:
        """Sequence number and part index of the newest part."""
        for segment in reversed(self.segments):
            if segment.parts:
                return segment.sequence, len(segment.parts) - 1
        return -1, -1

    def changed(self) -> "asyncio.Future[None]":
        """Done at the next change. One future for all who wait: shield it."""
        if self._changed is None or self._changed.done():
            self._changed = asyncio.get_running_loop().create_future()
        return self._changed

    def wake(self) -> None:
        """Let all who wait look at their clocks."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    @property
    def measured_frame_rate(self) -> float:
        """Samples per second over the complete segments that are listed."""
        complete = [segment for segment in self.segments if segment.is_complete]
        seconds = sum(segment.duration for segment in complete)
        return sum(segment.samples for segment in complete) / seconds if seconds else 0.0

    @property
    def kept_bytes(self) -> int:
        return sum(segment.size for segment in (*self.segments, *self._unlisted))

    @property
    def average_bitrate(self) -> float:
        complete = [segment for segment in self.segments if segment.is_complete]
        seconds = sum(segment.duration for segment in complete)
        return sum(segment.size for segment in complete) * 8 / seconds if seconds else 0.0

    # Inside

    def _close_part(self, until: int | None) -> None:
        """Make a part of the open samples. It lasts ``until`` the next dts, or as frames usually do."""
        samples, self._samples = self._samples, []
        end = samples[-1].dts + self._usual_duration(samples) if until is None else until
        end = min(end, samples[0].dts + self._target_ticks)
        last_duration = max(end - samples[-1].dts, 1)
        self._fragments += 1
        data = fragment(self._fragments, [(TRACK_NUMBER, samples, last_duration)])
        duration = (samples[-1].dts + last_duration - samples[0].dts) / self.track.clock_rate
        segment = self.segments[-1]
        name = self._part_name(segment.sequence, len(segment.parts))
        part = Part(name, duration, samples[0].is_keyframe, data)
        segment.append(part, len(samples))
        self.part_latency = asyncio.get_running_loop().time() - samples[0].received_at
        self._resources[name] = part
        self._notify()

    def _usual_duration(self, samples: list[MediaPacket]) -> int:
        return samples[-1].dts - samples[-2].dts if len(samples) > 1 else self._nominal

    def _complete_segment(self) -> None:
        segment = self.open_segment
        if segment is None:
            return
        segment.is_complete = True
        if duration := segment.duration:
            self.peak_bitrate = max(self.peak_bitrate, segment.size * 8 / duration)
        self._trim()
        self._notify()

    def _trim(self) -> None:
        """Unlist what is over the window, and forget what has been unlisted long enough."""
        kept = self.kept_bytes
        while len(self.segments) > self._options.playlist_segments or (
            kept > self._options.max_bytes and len(self.segments) > MINIMUM_SEGMENTS
        ):
            unlisted = self.segments.popleft()
            self.removed_discontinuities += unlisted.is_discontinuous
            self._unlisted.append(unlisted)
            if kept > self._options.max_bytes or len(self._unlisted) > self._options.playlist_segments + 1:
                kept -= self._forget(self._unlisted.popleft())
        if len(self.segments) > SEGMENTS_WITH_PARTS:
            for part in self.segments[-SEGMENTS_WITH_PARTS - 1].compact():
                self._resources.pop(part.name, None)

    def _forget(self, segment: Segment) -> int:
        self._resources.pop(segment.name, None)
        for part in segment.parts:
            self._resources.pop(part.name, None)
        used = {other.map_name for other in (*self._unlisted, *self.segments)} | {self._maps[-1]}
        while self._maps[0] not in used:
            self._resources.pop(self._maps.popleft(), None)
        return segment.size

    def _part_name(self, sequence: int, index: int) -> str:
        return f"{self.name}-{sequence}.{index}.m4s"

    def _notify(self) -> None:
        self.version += 1
        self.wake()
