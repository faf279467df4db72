"""Holds playlists against RFC 8216bis: each by itself, and each against the one before it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

ROUNDING: Final = 1e-4
"""Seconds that five decimals and sums of them may be off."""
MINIMUM_FILLING: Final = 0.85
_ATTRIBUTE: Final = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')


@dataclass
class ListedPart:
    uri: str
    duration: float
    is_independent: bool


@dataclass
class ListedSegment:
    sequence: int
    uri: str = ""
    duration: float = 0.0
    map_uri: str = ""
    date: str = ""
    is_discontinuous: bool = False
    is_gap: bool = False
    parts: list[ListedPart] = field(default_factory=list)


@dataclass
class MediaPlaylist:
    """A parsed media playlist. A segment without a ``uri`` is the one that still grows."""

    text: str
    target_duration: int = 0
    part_target: float = 0.0
    part_hold_back: float = 0.0
    can_skip_until: float = 0.0
    media_sequence: int = 0
    discontinuity_sequence: int = 0
    skipped: int = 0
    is_independent: bool = False
    is_ended: bool = False
    hint: str = ""
    reports: dict[str, tuple[int, int]] = field(default_factory=dict)
    segments: list[ListedSegment] = field(default_factory=list)


def attributes(line: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(line.split(":", 1)[1])}


def parse(text: str) -> MediaPlaylist:
    """Parse one media playlist; asserts what no playlist may lack."""
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U", "EXTM3U comes first"
    playlist = MediaPlaylist(text)
    open_segment: ListedSegment | None = None
    map_uri = ""
    for line in lines[1:]:
        tag, _, value = line.partition(":")
        if tag in _HEAD:
            _HEAD[tag](playlist, value, line)
            continue
        if tag == "#EXT-X-SKIP":
            playlist.skipped = int(attributes(line)["SKIPPED-SEGMENTS"])
            continue
        if tag == "#EXT-X-MAP":
            map_uri = attributes(line)["URI"]
            continue
        if open_segment is None:
            sequence = playlist.media_sequence + playlist.skipped + len(playlist.segments)
            open_segment = ListedSegment(sequence)
        if _take_segment_line(open_segment, tag, value, line):
            open_segment.map_uri = map_uri
            playlist.segments.append(open_segment)
            open_segment = None
    if open_segment is not None and open_segment.parts:
        open_segment.map_uri = map_uri
        playlist.segments.append(open_segment)
    return playlist


def _take_segment_line(segment: ListedSegment, tag: str, value: str, line: str) -> bool:
    """True when ``line`` is the segment's URI, which ends it."""
    if tag == "#EXTINF":
        segment.duration = float(value.rstrip(","))
    elif tag == "#EXT-X-PROGRAM-DATE-TIME":
        segment.date = value
    elif tag == "#EXT-X-DISCONTINUITY":
        segment.is_discontinuous = True
    elif tag == "#EXT-X-GAP":
        segment.is_gap = True
    elif tag == "#EXT-X-PART":
        found = attributes(line)
        part = ListedPart(found["URI"], float(found["DURATION"]), found.get("INDEPENDENT") == "YES")
        segment.parts.append(part)
    elif line and not line.startswith("#"):
        segment.uri = line
        return True
    return False


def _server_control(playlist: MediaPlaylist, _: str, line: str) -> None:
    found = attributes(line)
    assert found["CAN-BLOCK-RELOAD"] == "YES"
    playlist.part_hold_back = float(found["PART-HOLD-BACK"])
    playlist.can_skip_until = float(found["CAN-SKIP-UNTIL"])


def _preload_hint(playlist: MediaPlaylist, _: str, line: str) -> None:
    assert attributes(line)["TYPE"] == "PART"
    playlist.hint = attributes(line)["URI"]


def _report(playlist: MediaPlaylist, _: str, line: str) -> None:
    found = attributes(line)
    playlist.reports[found["URI"]] = (int(found["LAST-MSN"]), int(found["LAST-PART"]))


_HEAD: Final[dict[str, Callable[[MediaPlaylist, str, str], None]]] = {
    "#EXT-X-VERSION": lambda p, v, _: None,
    "#EXT-X-TARGETDURATION": lambda p, v, _: setattr(p, "target_duration", int(v)),
    "#EXT-X-MEDIA-SEQUENCE": lambda p, v, _: setattr(p, "media_sequence", int(v)),
    "#EXT-X-DISCONTINUITY-SEQUENCE": lambda p, v, _: setattr(p, "discontinuity_sequence", int(v)),
    "#EXT-X-INDEPENDENT-SEGMENTS": lambda p, v, _: setattr(p, "is_independent", True),
    "#EXT-X-ENDLIST": lambda p, v, _: setattr(p, "is_ended", True),
    "#EXT-X-PART-INF": lambda p, _, line: setattr(p, "part_target", float(attributes(line)["PART-TARGET"])),
    "#EXT-X-SERVER-CONTROL": _server_control,
    "#EXT-X-PRELOAD-HINT": _preload_hint,
    "#EXT-X-RENDITION-REPORT": _report,
}


def check(playlist: MediaPlaylist) -> None:
    """The rules that one full playlist keeps by itself."""
    assert playlist.part_hold_back >= 3 * playlist.part_target - ROUNDING
    assert playlist.can_skip_until >= 6 * playlist.target_duration
    assert bool(playlist.hint) != playlist.is_ended, "a hint always, until the end"
    for segment in playlist.segments:
        assert segment.map_uri, "every segment has a map"
        assert round(segment.duration) <= playlist.target_duration, f"{segment.sequence}: too long"
        _check_parts(segment, playlist)


def _check_parts(segment: ListedSegment, playlist: MediaPlaylist) -> None:
    for index, part in enumerate(segment.parts):
        assert part.duration <= playlist.part_target + ROUNDING, f"{part.uri}: over PART-TARGET"
        is_final = bool(segment.uri) and index == len(segment.parts) - 1
        if not part.is_independent and not is_final:
            assert part.duration >= MINIMUM_FILLING * playlist.part_target - ROUNDING, (
                f"{part.uri}: too short"
            )
    if segment.uri and segment.parts:
        total = sum(part.duration for part in segment.parts)
        assert abs(total - segment.duration) < ROUNDING * len(segment.parts), f"{segment.sequence}: parts"
        assert not segment.is_gap


def check_succession(before: MediaPlaylist, after: MediaPlaylist) -> None:
    """The rules that a playlist keeps towards the one before it (6.2.1)."""
    assert after.target_duration == before.target_duration
    assert after.part_target == before.part_target
    assert after.media_sequence >= before.media_sequence
    old = {segment.sequence: segment for segment in before.segments}
    for segment in after.segments:
        known = old.get(segment.sequence)
        if known is None or not known.uri:
            continue
        assert (segment.uri, segment.duration, segment.date) == (known.uri, known.duration, known.date)
        assert segment.is_discontinuous == known.is_discontinuous
    removed = [s for s in before.segments if s.sequence < after.media_sequence]
    passed = sum(segment.is_discontinuous for segment in removed)
    if after.media_sequence <= before.media_sequence + len(before.segments):
        assert after.discontinuity_sequence == before.discontinuity_sequence + passed
    if before.hint and not after.is_ended and _grew(before, after):
        listed = {part.uri for segment in after.segments for part in segment.parts}
        assert before.hint in listed or before.hint == after.hint, "the hinted part came"


def _grew(before: MediaPlaylist, after: MediaPlaylist) -> bool:
    """Whether ``after`` is close enough behind that the hinted part must still be listed."""
    if not after.segments or any(s.is_discontinuous for s in after.segments[-2:]):
        return False
    return after.segments[-1].sequence <= before.media_sequence + len(before.segments)


def apply_delta(full: MediaPlaylist, delta: MediaPlaylist) -> list[ListedSegment]:
    """The segments of the playlist that ``delta`` stands for, given an older full one (6.2.5.1)."""
    known = {segment.sequence: segment for segment in full.segments}
    first = delta.media_sequence
    skipped = [known[sequence] for sequence in range(first, first + delta.skipped)]
    segments = [*skipped, *delta.segments]
    for index, segment in enumerate(segments):
        if not segment.map_uri and index:
            segment.map_uri = segments[index - 1].map_uri
    return segments
