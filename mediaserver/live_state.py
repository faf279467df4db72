"""The record of broadcasts: who was live when, how long, and how many watched at most.

Rules:

* ``started`` and ``ended`` are synchronous and only note what happened; one task writes it down. The database
  may be away: nothing about the media waits for it, and what is noted is written when it is back.
* Figures that changed are written every second, all in one transaction however many rooms are live; the
  others every ten seconds, which tells other nodes that this one is there.
* What waits to be written is bounded: one entry per live room, and MAX_ENDED ended broadcasts.
* A broadcast that comes and goes while the database is away is written with its true times.
* At start, broadcasts that this node left open when it died are closed as of when it was last seen.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog

from storage.database import Database
from storage.errors import DatabaseUnavailable, StorageError
from storage.ids import new_id
from storage.repositories import Broadcasts, LiveFigures

logger = structlog.get_logger("mediaserver.live_state")

UPDATE_SECONDS: Final = 10.0
COUNT_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 2.0
MAX_ENDED: Final = 10_000
CLOSE_TIMEOUT_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Running:
    """A broadcast that runs; ``is_written`` once its row is in the database.

    ``written_viewers`` is what the database has for ``viewers``.
    """

    id: UUID
    room_id: str
    started_at: datetime
    viewers: int = 0
    peak_viewers: int = 0
    written_viewers: int = 0
    is_written: bool = False


@dataclass(frozen=True, slots=True)
class _Ended:
    broadcast: _Running
    ended_at: datetime
    reason: str


class LiveState:
    """Implements mediaserver.hub.hub.HubListener.

    ``viewers_of`` says how many watch a room now. ``run`` is the one task; ``close`` writes the rest.
    """

    def __init__(self, database: Database, node: str, viewers_of: Callable[[str], int]) -> None:
        self._broadcasts = Broadcasts(database)
        self._node = node
        self._viewers_of = viewers_of
        self._running: dict[str, _Running] = {}
        self._ended: deque[_Ended] = deque()
        self._changed = asyncio.Event()
        self._is_recovered = False

    @property
    def pending(self) -> int:
        """Starts and ends that are not in the database yet."""
        return len(self._ended) + sum(not broadcast.is_written for broadcast in self._running.values())

    def started(self, room_id: str) -> None:
        """A room went live."""
        self._running[room_id] = _Running(new_id(), room_id, datetime.now(UTC))
        self._changed.set()

    def ended(self, room_id: str, reason: str) -> None:
        """A stream is over for good; a publisher that drops and comes back in time ends nothing."""
        broadcast = self._running.pop(room_id, None)
        if broadcast is None:
            return
        if len(self._ended) >= MAX_ENDED:
            logger.error("broadcast_not_recorded", room_id=room_id, waiting=MAX_ENDED)
            return
        self._ended.append(_Ended(broadcast, datetime.now(UTC), reason))
        self._changed.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            self._changed.clear()
            try:
                await self._write()
                await self._rest()
            except StorageError as error:
                logger.warning("broadcasts_wait", error=str(error), pending=self.pending)
                await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        """Write what is noted, if the database lets us within seconds. Call it when ``run`` has ended."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._write()
        except (StorageError, TimeoutError) as error:
            logger.error("broadcasts_not_recorded", error=str(error), pending=self.pending)

    async def _rest(self) -> None:
        """Until something starts or ends, or it is time to write all figures; what changes is written."""
        clock = asyncio.get_running_loop().time
        until = clock() + UPDATE_SECONDS
        while not self._changed.is_set() and clock() < until:
            with suppress(TimeoutError):
                async with asyncio.timeout(COUNT_SECONDS):
                    await self._changed.wait()
            self._count_viewers()
            await self._write_figures(
                [each for each in self._running.values() if each.viewers != each.written_viewers]
            )

    async def _write(self) -> None:
        """One round: recover once, then starts, figures and ends, each in the order it happened."""
        if not self._is_recovered:
            await self._recover()
        while self._ended:
            await self._write_end(self._ended[0])
            self._ended.popleft()
        for broadcast in list(self._running.values()):
            if not broadcast.is_written:
                await self._write_start(broadcast)
        self._count_viewers()
        await self._write_figures(list(self._running.values()))

    async def _recover(self) -> None:
        closed = await self._broadcasts.close_abandoned(self._node, "server lost")
        self._is_recovered = True
        if closed:
            logger.warning("broadcasts_closed_after_crash", count=closed)

    async def _write_start(self, broadcast: _Running) -> None:
        try:
            await self._broadcasts.open(
                broadcast.id, UUID(broadcast.room_id), self._node, broadcast.started_at
            )
        except DatabaseUnavailable:
            raise
        except StorageError as error:
            # The room was deleted under the stream. There is nothing left to record it for.
            logger.warning("broadcast_not_recorded", room_id=broadcast.room_id, error=str(error))
        broadcast.is_written = True

    async def _write_end(self, ended: _Ended) -> None:
        broadcast = ended.broadcast
        if not broadcast.is_written:
            await self._write_start(broadcast)
        try:
            await self._broadcasts.close(broadcast.id, ended.ended_at, broadcast.peak_viewers, ended.reason)
        except DatabaseUnavailable:
            raise
        except StorageError as error:
            # Trying again would end the same way and hold up all that come after it.
            logger.error("broadcast_end_not_recorded", room_id=broadcast.room_id, error=str(error))

    async def _write_figures(self, broadcasts: Sequence[_Running]) -> None:
        figures = [LiveFigures(each.id, each.viewers, each.peak_viewers) for each in broadcasts]
        if not figures:
            return
        await self._broadcasts.update(figures, datetime.now(UTC))
        for broadcast, written in zip(broadcasts, figures, strict=True):
            broadcast.written_viewers = written.viewers

    def _count_viewers(self) -> None:
        for broadcast in self._running.values():
            broadcast.viewers = self._viewers_of(broadcast.room_id)
            broadcast.peak_viewers = max(broadcast.peak_viewers, broadcast.viewers)
