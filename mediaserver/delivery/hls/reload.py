"""Blocking playlist reload (RFC 8216bis, 6.2.5.2): which playlist a request waits for.

All who wait for a rendition share one future that the next part resolves; a regular wake-up lets them notice
that they have waited too long. A waiting request has no timer and no task of its own.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from mediaserver.delivery.hls.packager import HlsPackager
from mediaserver.delivery.hls.rendition import Rendition

MAX_SEQUENCES_AHEAD: Final = 2
BLOCKED_TARGET_DURATIONS: Final = 3
MAX_DIGITS: Final = 10
SKIP_REQUESTS: Final = frozenset(("YES", "v2"))


class BadDirective(Exception):
    """A delivery directive that makes no sense; the text names it."""


class WaitedTooLong(Exception):
    """Nothing came within three target durations."""


@dataclass(frozen=True, slots=True)
class Directives:
    """The delivery directives of a playlist request (6.2.5)."""

    sequence: int | None = None
    part: int | None = None
    is_delta: bool = False

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Raises BadDirective."""
        sequence, part = _number(query, "_HLS_msn"), _number(query, "_HLS_part")
        if part is not None and sequence is None:
            raise BadDirective("_HLS_part: needs _HLS_msn")
        skip = query.get("_HLS_skip")
        if skip is not None and skip not in SKIP_REQUESTS:
            raise BadDirective("_HLS_skip: is neither YES nor v2")
        return cls(sequence, part, skip is not None)

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


async def wait_for_update(packager: HlsPackager, rendition: Rendition, directives: Directives) -> None:
    """Return when the playlist holds what ``directives`` ask for.

    Raises BadDirective for a sequence number too far ahead and WaitedTooLong.
    """
    await _wait_until_begun(packager, rendition)
    if directives.sequence is None or rendition.is_ended:
        return
    last_sequence, _ = rendition.last_part
    if directives.sequence > last_sequence + MAX_SEQUENCES_AHEAD:
        raise BadDirective(f"_HLS_msn: {directives.sequence} is more than 2 ahead of {last_sequence}")
    await _wait_until(packager, rendition, directives.sequence, directives.part or 0)


async def wait_for_part(packager: HlsPackager, rendition: Rendition, name: str) -> bytes | None:
    """The bytes of ``name``, waiting while it is the hinted part; None if it is not there."""
    deadline = _deadline(packager)
    while rendition.resource(name) is None and not rendition.is_empty and name == rendition.hinted_part:
        if rendition.is_ended:
            return None
        await _next_change(rendition, deadline)
    return rendition.resource(name)


async def _wait_until_begun(packager: HlsPackager, rendition: Rendition) -> None:
    """A rendition that appeared a moment ago has nothing to list until the next segment."""
    deadline = _deadline(packager)
    while rendition.is_empty and not rendition.is_ended:
        await _next_change(rendition, deadline)


async def _wait_until(packager: HlsPackager, rendition: Rendition, sequence: int, part: int) -> None:
    deadline = _deadline(packager)
    while not rendition.is_ended and not _has(rendition, sequence, part):
        await _next_change(rendition, deadline)


def _has(rendition: Rendition, sequence: int, part: int) -> bool:
    """A part index past the end of a segment means the first part of the next one."""
    last_sequence, last_part = rendition.last_part
    if sequence < last_sequence:
        return True
    return sequence == last_sequence and part <= last_part


def _deadline(packager: HlsPackager) -> float:
    seconds = max(packager.target_duration, 1) * BLOCKED_TARGET_DURATIONS
    return asyncio.get_running_loop().time() + seconds


async def _next_change(rendition: Rendition, deadline: float) -> None:
    if asyncio.get_running_loop().time() > deadline:
        raise WaitedTooLong
    await asyncio.shield(rendition.changed())
