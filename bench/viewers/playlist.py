"""Reading HLS playlists (RFC 8216bis), as much of them as a viewer needs to fetch what comes next."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from bench.viewers.http1 import ResponseError

ATTRIBUTE: Final = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')
CACHED_PLAYLISTS: Final = 64


@dataclass(frozen=True, slots=True)
class Part:
    """A partial segment (4.4.4.9)."""

    uri: str
    duration: float
    is_independent: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """``uri`` is empty for the segment under way, of which only parts exist."""

    sequence: int
    uri: str
    duration: float
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """Durations in seconds; ``part_target`` is None and ``can_block`` false without low latency.

    ``hold_back`` is for players of whole segments, ``part_hold_back`` for those of parts.
    """

    target_duration: float
    part_target: float | None
    hold_back: float
    part_hold_back: float
    can_block: bool
    can_skip: bool
    initialization: str | None
    segments: tuple[Segment, ...]
    is_ended: bool


def parse_variants(text: str) -> tuple[str, ...]:
    """URIs of a multivariant playlist, in order; empty when ``text`` is a media playlist."""
    lines = _lines(text)
    return tuple(following for line, following in pairwise(lines) if line.startswith("#EXT-X-STREAM-INF:"))


@lru_cache(maxsize=CACHED_PLAYLISTS)
def parse_media_playlist(text: str) -> MediaPlaylist:
    """Parse once what many viewers get. Raises ResponseError for what is no media playlist."""
    parser = _Parser()
    try:
        for line in _lines(text):
            parser.take(line)
        return parser.finish()
    except (ValueError, KeyError) as error:
        raise ResponseError(f"media playlist: {type(error).__name__}: {error}") from None


class _Parser:
    def __init__(self) -> None:
        self._target_duration: float | None = None
        self._part_target: float | None = None
        self._control: Mapping[str, str] = {}
        self._sequence = 0
        self._initialization: str | None = None
        self._segments: list[Segment] = []
        self._parts: list[Part] = []
        self._duration = 0.0
        self._is_ended = False

    def take(self, line: str) -> None:
        tag, _, value = line.partition(":")
        match tag:
            case "#EXT-X-TARGETDURATION":
                self._target_duration = float(value)
            case "#EXT-X-PART-INF":
                self._part_target = float(_attributes(value)["PART-TARGET"])
            case "#EXT-X-SERVER-CONTROL":
                self._control = _attributes(value)
            case "#EXT-X-MEDIA-SEQUENCE":
                self._sequence = int(value)
            case "#EXT-X-SKIP":
                self._sequence += int(_attributes(value)["SKIPPED-SEGMENTS"])
            case "#EXT-X-MAP":
                self._initialization = _attributes(value)["URI"]
            case "#EXT-X-PART":
                self._parts.append(_part(_attributes(value)))
            case "#EXTINF":
                self._duration = float(value.partition(",")[0])
            case "#EXT-X-ENDLIST":
                self._is_ended = True
            case _ if not line.startswith("#"):
                self._end_segment(line)

    def finish(self) -> MediaPlaylist:
        if self._target_duration is None:
            raise ResponseError("media playlist without EXT-X-TARGETDURATION")
        if self._parts:
            self._end_segment("")
        return MediaPlaylist(
            target_duration=self._target_duration,
            part_target=self._part_target,
            hold_back=self._seconds("HOLD-BACK", 3 * self._target_duration),
            part_hold_back=self._seconds("PART-HOLD-BACK", 3 * (self._part_target or 0.0)),
            can_block=self._control.get("CAN-BLOCK-RELOAD") == "YES",
            can_skip="CAN-SKIP-UNTIL" in self._control,
            initialization=self._initialization,
            segments=tuple(self._segments),
            is_ended=self._is_ended,
        )

    def _seconds(self, name: str, default: float) -> float:
        return float(self._control.get(name, default))

    def _end_segment(self, uri: str) -> None:
        self._segments.append(Segment(self._sequence, uri, self._duration, tuple(self._parts)))
        self._parts.clear()
        self._sequence += 1


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != "#EXTM3U":
        raise ResponseError("playlist does not begin with #EXTM3U")
    return lines


def _attributes(text: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in ATTRIBUTE.findall(text)}


def _part(attributes: Mapping[str, str]) -> Part:
    is_independent = attributes.get("INDEPENDENT") == "YES"
    return Part(attributes["URI"], float(attributes["DURATION"]), is_independent)
