"""Which playlist or part a request waits for (RFC 8216bis, 6.2.5 and 6.2.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final, Self

from mediaserver.delivery.hls.opening import Timing
from mediaserver.delivery.hls.playlist import Skip
from mediaserver.delivery.hls.rendition import Rendition
from mediaserver.delivery.hls.segments import Data, MediaStore

MAX_SEQUENCES_AHEAD: Final = 2
ADVANCE_SECONDS: Final = 3
"""The Advance Part Limit: this many seconds of parts, and as many parts where they last a second or more."""
BLOCKED_TARGET_DURATIONS: Final = 3
MAX_DIGITS: Final = 10
_SKIPS: Final = {skip.value: skip for skip in Skip}


class BadDirective(Exception):
    """A delivery directive that makes no sense; the text names it."""


class WaitedTooLong(Exception):
    """Nothing came within three target durations."""


@dataclass(frozen=True, slots=True)
class Directives:
    """The delivery directives of a playlist request."""

    sequence: int | None = None
    part: int | None = None
    skip: Skip = Skip.NOTHING

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Raises BadDirective."""
        sequence, part = _number(query, "_HLS_msn"), _number(query, "_HLS_part")
        if part is not None and sequence is None:
            raise BadDirective("_HLS_part: needs _HLS_msn")
        skip = _SKIPS.get(query.get("_HLS_skip"))
        if skip is None:
            raise BadDirective("_HLS_skip: is neither YES nor v2")
        return cls(sequence, part, skip)

    @property
    def is_blocking(self) -> bool:
        return self.sequence is not None


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise BadDirective(f"{name}: is not a whole number")
    return int(text)


def blocking_seconds(target_duration: int) -> float:
    """How long a request may be held."""
    return float(BLOCKED_TARGET_DURATIONS * target_duration)


async def wait_for_playlist(
    rendition: Rendition, timing: Timing, directives: Directives, deadline: float
) -> None:
    """Return when the playlist holds what ``directives`` ask for, or has ended.

    Raises BadDirective for what is too far ahead, and WaitedTooLong past ``deadline`` (loop time).
    """
    sequence, part = directives.sequence, directives.part or 0
    if sequence is None or rendition.is_ended:
        return
    _check_distance(rendition, timing, sequence, part)
    while not (rendition.is_ended or _has_part(rendition, sequence, part)):
        if not await rendition.waiters.wait(deadline):
            raise WaitedTooLong


async def wait_for_data(rendition: Rendition, store: MediaStore, name: str, deadline: float) -> Data | None:
    """The bytes of ``name``, waiting while it is the hinted part; None if there is no such thing.

    Raises WaitedTooLong past ``deadline`` (loop time).
    """
    while (data := store.get(name)) is None and name == rendition.hint and not rendition.is_ended:
        if not await rendition.part_waiters.wait(deadline):
            raise WaitedTooLong
    return data


def _check_distance(rendition: Rendition, timing: Timing, sequence: int, part: int) -> None:
    """Refuse what the next parts will not bring. ``rendition.sequence`` is the one after the last complete
    segment, so it is one of the two numbers that may be ahead."""
    if sequence > rendition.sequence - 1 + MAX_SEQUENCES_AHEAD:
        raise BadDirective(f"_HLS_msn: {sequence} is too far ahead of {rendition.sequence - 1}")
    limit = ceil(ADVANCE_SECONDS / min(timing.part_target, 1.0))
    last_sequence, last_part = rendition.last_part
    listed = last_part + 1 if sequence == last_sequence else 0
    if sequence >= last_sequence and part - listed >= limit:
        raise BadDirective(f"_HLS_part: {part} is too far ahead of {listed - 1}")


def _has_part(rendition: Rendition, sequence: int, part: int) -> bool:
    """Whether part ``part`` of segment ``sequence`` is listed; an index past the end of a segment means the
    first part of the next one."""
    last_sequence, last_part = rendition.last_part
    return sequence < last_sequence or (sequence == last_sequence and part <= last_part)
