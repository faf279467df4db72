"""Many publishers in this process."""

import asyncio
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from bench.media.clip import Clip
from bench.publishers.publisher import ANSWER_SECONDS, Publisher, PublisherFigures
from bench.publishers.replay import Replay, cut_clip
from bench.targets import Target

POLL_SECONDS: Final = 0.02
GOODBYE_SECONDS: Final = 2.0


class PublisherFleet:
    """Owns its publishers and their tasks, from ``connect`` to ``close``."""

    def __init__(self, targets: Sequence[Target], clip: Clip, chunk_size: int, rate: float) -> None:
        @lru_cache(maxsize=16)
        def replay_for(message_stream_id: int) -> Replay:
            return cut_clip(clip, message_stream_id, chunk_size)

        self._publishers = [Publisher(target, replay_for) for target in targets]
        self._interval = 1 / rate
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Start every publisher; return when each is accepted or refused, one that got no answer included."""
        begun = time.monotonic()
        for number, publisher in enumerate(self._publishers):
            await asyncio.sleep(max(0.0, begun + number * self._interval - time.monotonic()))
            self._tasks.add(asyncio.create_task(publisher.run()))
        deadline = time.monotonic() + ANSWER_SECONDS
        while any(p.is_pending for p in self._publishers) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        for publisher in self._publishers:
            if publisher.is_pending:
                publisher.figures.refusal = f"no answer within {ANSWER_SECONDS:g} s"

    def restart(self) -> None:
        """Begin the steady interval."""
        for publisher in self._publishers:
            publisher.figures.restart()

    def finish(self) -> list[PublisherFigures]:
        return [publisher.figures for publisher in self._publishers]

    async def close(self) -> None:
        """Say goodbye and disconnect."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GOODBYE_SECONDS)
        self._tasks.clear()
