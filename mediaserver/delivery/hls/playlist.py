"""Media playlists as text (RFC 8216bis, section 4.4). Pure functions of what a rendition lists."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from itertools import accumulate
from math import floor
from typing import Final

from mediaserver.delivery.hls.opening import Timing
from mediaserver.delivery.hls.segments import Part, Segment

SKIP_TARGET_DURATIONS: Final = 6
"""CAN-SKIP-UNTIL (4.4.3.8)."""
PART_HOLD_BACKS: Final = 3
"""PART-HOLD-BACK in part targets (4.4.3.8)."""
PARTS_TARGET_DURATIONS: Final = 3
"""Parts further than this from the end of the playlist are not listed (6.2.2)."""

FLOAT_ERROR: Final = 1e-3
"""Microseconds by which sums may be off."""


class Skip(Enum):
    """What a delta update was asked for with (6.2.5.1)."""

    NOTHING = None
    SEGMENTS = "YES"
    SEGMENTS_AND_DATE_RANGES = "v2"


# The version each kind of playlist needs (section 8): EXT-X-MAP, EXT-X-SKIP, RECENTLY-REMOVED-DATERANGES.
_VERSIONS: Final = {Skip.NOTHING: 6, Skip.SEGMENTS: 9, Skip.SEGMENTS_AND_DATE_RANGES: 10}


@dataclass(frozen=True, slots=True)
class RenditionReport:
    """The newest part of another rendition."""

    uri: str
    last_sequence: int
    last_part: int


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """What one rendition lists.

    ``segments`` are complete; ``growing`` is the one behind them, if it has a part already. ``hint`` is the
    URI of the next part, None at the end of the stream. ``wall_clock`` is the time of day, in seconds of the
    epoch, at media time 0.
    """

    timing: Timing
    media_sequence: int
    discontinuity_sequence: int
    is_independent: bool
    segments: Sequence[Segment]
    growing: Segment | None
    hint: str | None
    reports: Sequence[RenditionReport]
    wall_clock: float

    def render(self, skip: Skip = Skip.NOTHING) -> bytes:
        """The whole playlist, or a delta update if there is anything to skip."""
        distances = self._distances()
        skipped = self._skipped(distances) if skip is not Skip.NOTHING else 0
        lines = [*self._head(skip if skipped else Skip.NOTHING)]
        if skipped:
            lines.append(_skip_line(skipped, skip))
        lines += self._segment_lines(skipped, distances)
        if self.growing is not None:
            lines += self._head_of(self.growing, self.segments[-1].map_name if self.segments else "")
            lines.append(segment_text(self.growing, self.wall_clock))
        lines += self._tail()
        return ("\n".join(lines) + "\n").encode()

    def _head(self, skip: Skip) -> Iterator[str]:
        target, part = self.timing.target_duration, self.timing.part_target
        yield "#EXTM3U"
        yield f"#EXT-X-VERSION:{_VERSIONS[skip]}"
        if self.is_independent:
            yield "#EXT-X-INDEPENDENT-SEGMENTS"
        yield f"#EXT-X-TARGETDURATION:{target}"
        yield (
            f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={target * SKIP_TARGET_DURATIONS}.0,"
            f"PART-HOLD-BACK={part * PART_HOLD_BACKS:.3f}"
        )
        yield f"#EXT-X-PART-INF:PART-TARGET={part:.3f}"
        yield f"#EXT-X-MEDIA-SEQUENCE:{self.media_sequence}"
        yield f"#EXT-X-DISCONTINUITY-SEQUENCE:{self.discontinuity_sequence}"

    def _distances(self) -> list[float]:
        """How far the start of each segment is from the end of the playlist, in seconds."""
        growing = self.growing.duration if self.growing is not None else 0.0
        durations = (segment.duration for segment in reversed(self.segments))
        return [*accumulate(durations, initial=growing)][:0:-1]

    def _skipped(self, distances: Sequence[float]) -> int:
        """Segments that end before the skip boundary."""
        boundary = self.timing.target_duration * SKIP_TARGET_DURATIONS
        pairs = zip(self.segments, distances, strict=True)
        return sum(distance - segment.duration > boundary for segment, distance in pairs)

    def _segment_lines(self, skipped: int, distances: Sequence[float]) -> Iterator[str]:
        limit = self.timing.target_duration * PARTS_TARGET_DURATIONS
        map_name = self.segments[skipped - 1].map_name if skipped else ""
        for index in range(skipped, len(self.segments)):
            segment = self.segments[index]
            yield from self._head_of(segment, map_name)
            yield segment.text if distances[index] <= limit else segment.text_without_parts
            map_name = segment.map_name

    def _head_of(self, segment: Segment, map_name: str) -> Iterator[str]:
        """The tags that depend on the segment before, which had the initialization segment ``map_name``."""
        if segment.is_discontinuous:
            yield "#EXT-X-DISCONTINUITY"
        if segment.map_name != map_name:
            yield f'#EXT-X-MAP:URI="{segment.map_name}"'

    def _tail(self) -> Iterator[str]:
        if self.hint is None:
            yield "#EXT-X-ENDLIST"
            return
        yield f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{self.hint}"'
        for report in self.reports:
            yield (
                f'#EXT-X-RENDITION-REPORT:URI="{report.uri}",LAST-MSN={report.last_sequence},'
                f"LAST-PART={report.last_part}"
            )


def segment_text(segment: Segment, wall_clock: float, has_parts: bool = True) -> str:
    """The lines of a segment that do not depend on its neighbours."""
    lines = [f"#EXT-X-PROGRAM-DATE-TIME:{_date(wall_clock + segment.start)}"]
    if segment.is_complete and segment.is_gap:
        lines.append("#EXT-X-GAP")
    if has_parts:
        lines += map(part_line, segment.parts)
    if segment.is_complete:
        lines += (f"#EXTINF:{duration(segment.duration)},", segment.name)
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Rounded down, so that no part ends later than the media in it: a player that compares the two with what
    it has buffered (hls.js) would fetch the part again and again."""
    return f"{floor(seconds * 1e6 + FLOAT_ERROR) / 1e6:.6f}"


def part_line(part: Part) -> str:
    flag = ",GAP=YES" if part.is_gap else ",INDEPENDENT=YES" if part.is_independent else ""
    return f'#EXT-X-PART:DURATION={duration(part.duration)},URI="{part.name}"{flag}'


def _skip_line(skipped: int, skip: Skip) -> str:
    removed = ',RECENTLY-REMOVED-DATERANGES=""' if skip is Skip.SEGMENTS_AND_DATE_RANGES else ""
    return f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}{removed}"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def with_token(playlist: bytes, token: str) -> bytes:
    """``playlist`` with ``token``, quoted for a URL, in every URI: all are names of ours."""
    query = f"?token={token}".encode()
    return _URI_ENDINGS.sub(lambda ending: ending[0] + query, playlist)


_URI_ENDINGS: Final = re.compile(rb"\.(?:m3u8|m4s|mp4|ts)\b")
