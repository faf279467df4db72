"""Holds media playlists against RFC 8216bis: each by itself, each against the one before it, and all of it
against the media that it lists."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from struct import unpack_from
from typing import Final

ROUNDING: Final = 1.1e-6
"""Seconds that six decimals may be off."""
SHORTEST_PART: Final = 0.85
_ATTRIBUTE: Final = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')


@dataclass
class ListedPart:
    uri: str
    duration: float
    is_independent: bool = False
    is_gap: bool = False


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

    @property
    def listed_duration(self) -> float:
        return self.duration if self.uri else sum(part.duration for part in self.parts)


@dataclass
class MediaPlaylist:
    """A parsed media playlist. A segment without a ``uri`` is the one that still grows."""

    text: str
    version: int = 1
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

    @property
    def complete(self) -> list[ListedSegment]:
        return [segment for segment in self.segments if segment.uri]

    @property
    def duration(self) -> float:
        return sum(segment.listed_duration for segment in self.segments)

    @property
    def last_part(self) -> tuple[int, int]:
        return self.segments[-1].sequence, len(self.segments[-1].parts) - 1

    @property
    def parts(self) -> list[ListedPart]:
        return [part for segment in self.segments for part in segment.parts]


def attributes(line: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(line.split(":", 1)[1])}


# Parsing.


def parse(text: str) -> MediaPlaylist:
    """Parse one media playlist; asserts what no playlist may lack."""
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U", "EXTM3U comes first"
    playlist = MediaPlaylist(text)
    growing: ListedSegment | None = None
    map_uri = ""
    for line in lines[1:]:
        tag, _, value = line.partition(":")
        if tag in _PLAYLIST_TAGS:
            _PLAYLIST_TAGS[tag](playlist, value, line)
        elif tag == "#EXT-X-MAP":
            map_uri = attributes(line)["URI"]
        else:
            if growing is None:
                growing = ListedSegment(playlist.media_sequence + playlist.skipped + len(playlist.segments))
            if _take_segment_line(growing, tag, value, line):
                growing.map_uri = map_uri
                playlist.segments.append(growing)
                growing = None
    if growing is not None:
        growing.map_uri = map_uri
        playlist.segments.append(growing)
    return playlist


def _take_segment_line(segment: ListedSegment, tag: str, value: str, line: str) -> bool:
    """True when ``line`` is the segment's URI, which ends it."""
    if tag == "#EXTINF":
        segment.duration = float(value.rstrip(","))
    elif tag == "#EXT-X-PROGRAM-DATE-TIME":
        assert not segment.parts, "tags of a segment come before its first part (4.4.4.9)"
        segment.date = value
    elif tag == "#EXT-X-DISCONTINUITY":
        assert not segment.parts
        segment.is_discontinuous = True
    elif tag == "#EXT-X-GAP":
        segment.is_gap = True
    elif tag == "#EXT-X-PART":
        found = attributes(line)
        flags = found.get("INDEPENDENT") == "YES", found.get("GAP") == "YES"
        segment.parts.append(ListedPart(found["URI"], float(found["DURATION"]), *flags))
    else:
        assert line and not line.startswith("#"), f"unknown tag: {line}"
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
    assert not playlist.hint, "one hint at most (6.2.6)"
    playlist.hint = attributes(line)["URI"]


def _report(playlist: MediaPlaylist, _: str, line: str) -> None:
    found = attributes(line)
    playlist.reports[found["URI"]] = (int(found["LAST-MSN"]), int(found["LAST-PART"]))


_PLAYLIST_TAGS: Final[dict[str, Callable[[MediaPlaylist, str, str], None]]] = {
    "#EXT-X-VERSION": lambda p, v, _: setattr(p, "version", int(v)),
    "#EXT-X-TARGETDURATION": lambda p, v, _: setattr(p, "target_duration", int(v)),
    "#EXT-X-MEDIA-SEQUENCE": lambda p, v, _: setattr(p, "media_sequence", int(v)),
    "#EXT-X-DISCONTINUITY-SEQUENCE": lambda p, v, _: setattr(p, "discontinuity_sequence", int(v)),
    "#EXT-X-INDEPENDENT-SEGMENTS": lambda p, _v, _l: setattr(p, "is_independent", True),
    "#EXT-X-ENDLIST": lambda p, _v, _l: setattr(p, "is_ended", True),
    "#EXT-X-PART-INF": lambda p, _, line: setattr(p, "part_target", float(attributes(line)["PART-TARGET"])),
    "#EXT-X-SKIP": lambda p, _, line: setattr(p, "skipped", int(attributes(line)["SKIPPED-SEGMENTS"])),
    "#EXT-X-SERVER-CONTROL": _server_control,
    "#EXT-X-PRELOAD-HINT": _preload_hint,
    "#EXT-X-RENDITION-REPORT": _report,
}


# One playlist by itself.


def check(playlist: MediaPlaylist) -> None:
    """The rules that one full playlist keeps by itself (4.4, 6.2.1)."""
    assert playlist.part_hold_back >= 3 * playlist.part_target - ROUNDING
    assert playlist.can_skip_until >= 6 * playlist.target_duration
    assert playlist.version == 6, "no more than its tags need (section 8)"
    assert bool(playlist.hint) != playlist.is_ended, "a hint always, until the end"
    assert not playlist.skipped
    for segment in playlist.segments:
        assert segment.map_uri, "every segment has a map"
        assert int(segment.listed_duration + 0.5) <= playlist.target_duration, f"{segment.sequence}: too long"
        assert segment.date.endswith("Z")
        _check_parts(segment, playlist)
    _check_parts_at_live_edge(playlist)
    _check_dates(playlist)


def _check_parts(segment: ListedSegment, playlist: MediaPlaylist) -> None:
    """4.4.4.9."""
    for index, part in enumerate(segment.parts):
        assert part.duration <= playlist.part_target, f"{part.uri}: {part.duration} is over PART-TARGET"
        is_final = bool(segment.uri) and index == len(segment.parts) - 1
        follows = segment.parts[index + 1 : index + 2]
        is_exempt = part.is_independent or part.is_gap or is_final or any(p.is_gap for p in follows)
        # Of the part that came last nobody knows yet whether it is the final one.
        if not is_exempt and (follows or segment.uri):
            assert part.duration >= SHORTEST_PART * playlist.part_target - ROUNDING, (
                f"{part.uri}: {part.duration} is too short"
            )
    if segment.uri and segment.parts:
        total = sum(part.duration for part in segment.parts)
        assert abs(total - segment.duration) <= ROUNDING * (len(segment.parts) + 1)
        assert segment.is_gap == all(part.is_gap for part in segment.parts)


def _check_parts_at_live_edge(playlist: MediaPlaylist) -> None:
    """Parts are listed within three target durations of the end, and without holes (6.2.2)."""
    distance = 0.0
    for segment in reversed(playlist.segments):
        distance += segment.listed_duration
        if distance > 3 * playlist.target_duration + 1e-4:
            assert not segment.parts, f"{segment.sequence}: parts far from the live edge"
        elif distance < 3 * playlist.target_duration - 1e-4:
            assert segment.parts, f"{segment.sequence}: no parts near the live edge"


def _check_dates(playlist: MediaPlaylist) -> None:
    """Dates go on by the durations. At a discontinuity they may jump ahead, or overlap by less than a second:
    how long the last frame lasted was a guess (6.2.1)."""
    for before, after in pairwise(playlist.segments):
        passed = _epoch(after.date) - _epoch(before.date) - before.duration
        if after.is_discontinuous:
            assert passed > -1, f"{after.sequence}: dates go back by {-passed}"
        else:
            assert abs(passed) <= 0.1, f"{after.sequence}: dates jump by {passed}"


def _epoch(date: str) -> float:
    return datetime.fromisoformat(date.replace("Z", "+00:00")).timestamp()


# Each playlist against the one before it.


def check_succession(before: MediaPlaylist, after: MediaPlaylist) -> None:
    """The rules that a playlist keeps towards an older one (6.2.1, 6.2.2)."""
    assert after.target_duration == before.target_duration
    assert after.part_target == before.part_target
    assert after.part_hold_back == before.part_hold_back
    assert after.can_skip_until == before.can_skip_until
    assert before.is_independent or not after.is_independent, "promised once it was too late"
    assert after.media_sequence >= before.media_sequence
    _check_segments_stay(before, after)
    removed = [s for s in before.segments if s.sequence < after.media_sequence]
    if removed:
        assert after.is_ended or after.duration >= 3 * after.target_duration - 1e-4
    if len(removed) < len(before.segments):
        passed = sum(segment.is_discontinuous for segment in removed)
        assert after.discontinuity_sequence == before.discontinuity_sequence + passed
    if before.is_ended:
        assert after.text == before.text


def _check_segments_stay(before: MediaPlaylist, after: MediaPlaylist) -> None:
    """What was listed is not changed, only added to."""
    old = {segment.sequence: segment for segment in before.segments}
    for segment in after.segments:
        known = old.get(segment.sequence)
        if known is None:
            continue
        assert (segment.date, segment.map_uri) == (known.date, known.map_uri)
        assert segment.is_discontinuous == known.is_discontinuous
        if known.uri:
            assert (segment.uri, segment.duration) == (known.uri, known.duration)
        if segment.parts:
            assert segment.parts[: len(known.parts)] == known.parts


def check_next(before: MediaPlaylist, after: MediaPlaylist) -> None:
    """As ``check_succession``, for two playlists without one between them: the hinted part came next."""
    check_succession(before, after)
    known = {part.uri for part in before.parts}
    new = [part.uri for part in after.parts if part.uri not in known]
    # After a long hole so much may be listed at once that the part is not at the live edge any more.
    is_at_live_edge = any(s.parts for s in after.segments if s.sequence == before.segments[-1].sequence)
    if before.hint and new and is_at_live_edge:
        assert new[0] == before.hint, "the hinted part came next"


def rebuilt(known: MediaPlaylist, delta: MediaPlaylist) -> list[ListedSegment]:
    """The segments of the playlist that ``delta`` stands for, given an older full one (6.2.5.1)."""
    by_sequence = {segment.sequence: segment for segment in known.segments}
    first = delta.media_sequence
    skipped = [by_sequence[sequence] for sequence in range(first, first + delta.skipped)]
    segments = [*skipped, *delta.segments]
    for before, segment in pairwise(segments):
        segment.map_uri = segment.map_uri or before.map_uri
    return segments


def check_delta(known: MediaPlaylist, delta: MediaPlaylist, full: MediaPlaylist) -> None:
    """``delta`` and an older playlist say what the full one says (6.2.5.1)."""
    assert (delta.media_sequence, delta.hint, delta.reports) == (full.media_sequence, full.hint, full.reports)
    if not delta.skipped:
        assert delta.text == full.text
        return
    assert delta.version >= 9, "EXT-X-SKIP needs version 9"
    beyond = sum(segment.listed_duration for segment in delta.segments)
    assert beyond >= delta.can_skip_until - 1e-4, "nothing within the skip boundary is skipped"
    for mine, theirs in zip(rebuilt(known, delta), full.segments, strict=True):
        assert (mine.sequence, mine.uri, mine.map_uri) == (theirs.sequence, theirs.uri, theirs.map_uri)
        assert mine.is_discontinuous == theirs.is_discontinuous


# The media itself.


@dataclass(frozen=True, slots=True)
class FragmentTimes:
    """What one moof says, in ticks: its decode time, and of each sample duration, offset and whether sync."""

    decode_time: int
    durations: tuple[int, ...]
    offsets: tuple[int, ...]
    syncs: tuple[bool, ...]

    @property
    def end(self) -> int:
        return self.decode_time + sum(self.durations)


def fragment_times(data: bytes) -> FragmentTimes:
    """Read a fragment with one traf as ours are: every sample with duration, size, flags and offset."""
    traf = _child(_child(data, b"moof"), b"traf")
    decode_time = unpack_from(">Q", _child(traf, b"tfdt"), 4)[0]
    run = _child(traf, b"trun")
    flags, count = unpack_from(">II", run)
    assert flags == 1 << 24 | 0xF01
    samples = [unpack_from(">IIIi", run, 12 + 16 * index) for index in range(count)]
    assert sum(size for _, size, _, _ in samples) == len(_child(data, b"mdat"))
    return FragmentTimes(
        decode_time,
        tuple(duration for duration, _, _, _ in samples),
        tuple(offset for _, _, _, offset in samples),
        tuple(not sample_flags & 0x10000 for _, _, sample_flags, _ in samples),
    )


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(data):
        size, kind = unpack_from(">I4s", data, position)
        yield kind, data[position + 8 : position + size]
        position += size


def _child(data: bytes, kind: bytes) -> bytes:
    return next(payload for found, payload in _boxes(data) if found == kind)


def check_media(playlist: MediaPlaylist, store: Mapping[str, bytes], clock_rate: int) -> None:
    """Everything listed is there, lasts as long as listed, and goes on where the one before ended."""
    position: int | None = None
    for segment in playlist.segments:
        assert segment.map_uri in store
        assert not segment.uri or segment.is_gap or segment.uri in store
        if segment.is_discontinuous:
            position = None
        if playlist.is_independent and segment.parts and not segment.parts[0].is_gap:
            assert segment.parts[0].is_independent
        for part in segment.parts:
            position = _check_part(part, store, clock_rate, position)


def _check_part(part: ListedPart, store: Mapping[str, bytes], rate: int, position: int | None) -> int | None:
    if part.is_gap:
        assert part.uri not in store
        return None if position is None else position + round(part.duration * rate)
    times = fragment_times(store[part.uri])
    assert abs(sum(times.durations) / rate - part.duration) <= ROUNDING
    assert min(times.durations) > 0
    assert part.is_independent == any(times.syncs)
    if position is not None:
        assert abs(times.decode_time - position) <= 1, f"{part.uri}: decode time jumps"
    return times.end
