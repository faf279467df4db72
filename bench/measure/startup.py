"""Waiting for viewers to get their first media."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Protocol

POLL_SECONDS: Final = 0.05


class Starting(Protocol):
    """The figures of a viewer; times are of the monotonic clock."""

    media_at: float | None
    error: str | None


async def first_media(viewers: Sequence[Starting], seconds: float) -> None:
    """Return when each has media or failed; whoever has neither after ``seconds`` has failed, too."""
    deadline = time.monotonic() + seconds
    while any(map(_is_pending, viewers)) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)
    for viewer in filter(_is_pending, viewers):
        viewer.error = f"no media within {seconds:g} s"


def _is_pending(viewer: Starting) -> bool:
    return viewer.media_at is None and viewer.error is None
