"""Many viewers in this process: connect at a bounded rate, watch, measure one interval, leave."""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from bench.measure.startup import first_media
from bench.viewers.figures import ViewerFigures


class Viewer(Protocol):
    """``run`` watches until cancelled; it never raises, what went wrong is in ``figures.error``."""

    figures: ViewerFigures

    async def run(self) -> None: ...

    def restart(self, now: float) -> None: ...

    def finish(self, now: float) -> None: ...


class Fleet:
    """Owns its viewers and their tasks, from ``connect`` to ``close``."""

    def __init__(self, viewers: Sequence[Viewer], connects_per_second: float) -> None:
        self._viewers = viewers
        self._interval = 1 / connects_per_second
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def watching(self) -> int:
        """Viewers that got media and are still there."""
        return sum(v.figures.media_at is not None and v.figures.error is None for v in self._viewers)

    async def connect(self, startup_seconds: float) -> None:
        """Start every viewer; return when each has media or failed, or ``startup_seconds`` after the last."""
        begun = time.monotonic()
        for number, viewer in enumerate(self._viewers):
            await asyncio.sleep(max(0.0, begun + number * self._interval - time.monotonic()))
            self._tasks.add(asyncio.create_task(viewer.run()))
        await first_media([viewer.figures for viewer in self._viewers], startup_seconds)

    async def begin(self) -> None:
        """Begin the steady interval."""
        now = time.monotonic()
        for viewer in self._viewers:
            viewer.restart(now)

    async def finish(self) -> list[ViewerFigures]:
        """End the steady interval and return what each viewer saw in it."""
        now = time.monotonic()
        for viewer in self._viewers:
            viewer.finish(now)
        return [viewer.figures for viewer in self._viewers]

    async def close(self) -> None:
        """Disconnect everyone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
