"""The one way into the rooms' logs for what people say: in batches, and answered when it is durable.

Rules:

* An entry is shown and acknowledged after PostgreSQL has committed it, never before.
* While one batch is being written the next one gathers, so the slower the database, the larger the batches.
* What cannot be written is said so: ``unavailable`` when the database is away, ``busy`` when too much waits.
  After ``unavailable`` the entry may still have been stored, if the link broke at the very end; the hub then
  finds it in the log.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from chat.errors import Refusal
from storage.database import Database
from storage.errors import DatabaseUnavailable, StorageError
from storage.repositories.chat_log import ChatLog, Entry, LoggedEntry

logger = structlog.get_logger("mediaserver.chat")

MAX_WAITING: Final = 10_000
MAX_BATCH: Final = 500
INTERVAL_SECONDS: Final = 0.01
"""Batches begin at least so far apart: a commit for each message would cost more than the messages."""
TIMEOUT_SECONDS: Final = 5.0

_Waiting = tuple[Entry, "asyncio.Future[int]"]


class EntrySink(Protocol):
    def logged(self, entries: Sequence[LoggedEntry]) -> None:
        """These are durable now. Called in the order of each room's offsets as far as this node knows it."""


class LogWriter:
    """``run`` is the one task."""

    def __init__(self, database: Database, sink: EntrySink) -> None:
        self._database = database
        self._sink = sink
        self._waiting: deque[_Waiting] = deque()
        self._has_work = asyncio.Event()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def write(self, entry: Entry) -> "asyncio.Future[int]":
        """The entry's offset, when it is durable.

        Raises Refusal ``busy``; the future raises Refusal ``unavailable`` or ``room_not_found``.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Refusal("busy", "Too many messages wait to be stored; try again.", retry_after=1)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        self._has_work.set()
        return future

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._has_work.wait()
            started = loop.time()
            batch = self._take_batch()
            try:
                await self._write(batch)
            finally:
                _refuse(batch, Refusal("unavailable", "The server is stopping.", retry_after=1))
            pause = INTERVAL_SECONDS - (loop.time() - started)
            if pause > 0:
                await asyncio.sleep(pause)

    def _take_batch(self) -> list[_Waiting]:
        batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
        if not self._waiting:
            self._has_work.clear()
        return batch

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        try:
            offsets = await self._append([entry for entry, _ in batch])
        except (DatabaseUnavailable, TimeoutError) as error:
            logger.warning("chat_not_stored", entries=len(batch), error=str(error))
            text = "The message could not be stored; try again."
            _refuse(batch, Refusal("unavailable", text, retry_after=1))
        except StorageError as error:
            await self._write_one_by_one(batch, error)
        except Exception:
            # A fault of ours must not stop what everybody else says.
            logger.exception("chat_log_failed", entries=len(batch))
            _refuse(batch, Refusal("unavailable", "The message could not be stored; try again.", 1))
        else:
            self._answer(batch, offsets)

    async def _write_one_by_one(self, batch: Sequence[_Waiting], error: StorageError) -> None:
        """One entry that the database refuses must not take the others with it."""
        if len(batch) == 1:
            logger.error("chat_entry_refused", error=str(error))
            _refuse(batch, Refusal("bad_frame", "The message cannot be stored."))
            return
        for waiting in batch:
            await self._write([waiting])

    async def _append(self, entries: Sequence[Entry]) -> list[int | None]:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await ChatLog(self._database).append(entries)

    def _answer(self, batch: Sequence[_Waiting], offsets: Sequence[int | None]) -> None:
        logged = [
            LoggedEntry(offset, entry)
            for (entry, _), offset in zip(batch, offsets, strict=True)
            if offset is not None
        ]
        self._sink.logged(logged)
        for (_, future), offset in zip(batch, offsets, strict=True):
            if future.done():  # who asked has gone
                continue
            if offset is None:
                future.set_exception(Refusal("room_not_found", "The room does not exist any more."))
            else:
                future.set_result(offset)


def _refuse(batch: Sequence[_Waiting], refusal: Refusal) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(refusal)
            future.exception()  # nobody may be left to hear it
