"""Answers of a slow oracle, remembered for a while.

Rules:

* A found value is fresh for ``found_seconds``, an absence (or a value that says no) for ``absent_seconds``.
  Values and absences are bounded, and apart: any number of guesses cannot push out what was found.
* However many ask for one key at once, it is looked up once.
* While the oracle is unavailable, what was found up to ``stale_seconds`` ago still counts; absences do not.
* An answer that was under way when what it is about changed is not used: it may be the old one. Changes of
  others do not matter, so that a server on which much changes still gets its answers.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, TypeVar

from storage.errors import DatabaseUnavailable

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

STALE_PATIENCE_SECONDS: Final = 1.0
"""Somebody who can be given an older answer waits no longer than this for a new one."""

MAX_ATTEMPTS: Final = 5
MAX_RECENT: Final = 1000
"""Changes remembered; an answer that took longer than these is asked for again."""


@dataclass(slots=True)
class CacheLimits:
    """Seconds and number of entries; may be changed while in use."""

    found_seconds: float = 5.0
    absent_seconds: float = 1.0
    stale_seconds: float = 300.0
    entries: int = 50_000


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Value]):
    value: Value
    stored_at: float


class CachedLookup(Generic[Key, Value]):
    """``load`` finds the value of a key, None where there is none.

    ``subjects_of`` names whom or what a value is about: when one of them changes, it is forgotten. A value
    that ``is_negative`` is believed no longer than an absence.
    """

    def __init__(
        self,
        load: Callable[[Key], Coroutine[None, None, Value | None]],
        subjects_of: Callable[[Value], Sequence[str]],
        limits: CacheLimits,
        clock: Callable[[], float],
        is_negative: Callable[[Value], bool] = lambda _: False,
    ) -> None:
        self._load = load
        self._subjects_of = subjects_of
        self._limits = limits
        self._clock = clock
        self._is_negative = is_negative
        self._found: dict[Key, _Entry[Value]] = {}
        self._absent: dict[Key, float] = {}
        self._keys_of_subject: dict[str, set[Key]] = {}
        # With how many changes there had been when the look-up began.
        self._under_way: dict[Key, tuple[asyncio.Task[Value | None], int]] = {}
        self._tasks: set[asyncio.Task[Value | None]] = set()
        self._not_fresh_before = float("-inf")
        self._changes = 0
        # The subjects of the last changes; None stands for everything.
        self._recent: deque[str | None] = deque(maxlen=MAX_RECENT)

    def __len__(self) -> int:
        return len(self._found) + len(self._absent)

    async def get(self, key: Key) -> Value | None:
        """The value, or None if there is none. Raises DatabaseUnavailable when nobody can tell."""
        entry = self._found.get(key)
        now = self._clock()
        if entry is not None and self._is_fresh(entry, now):
            return entry.value
        if now - self._absent.get(key, float("-inf")) < self._limits.absent_seconds:
            return None
        is_usable = entry is not None and now - entry.stored_at < self._limits.stale_seconds
        try:
            async with asyncio.timeout(STALE_PATIENCE_SECONDS if is_usable else None):
                return await self._look_up(key)
        except (DatabaseUnavailable, TimeoutError):
            if entry is not None and is_usable and self._found.get(key) is entry:
                return entry.value
            raise DatabaseUnavailable("the database does not answer") from None

    def forget(self, subject: str) -> None:
        """The answers about this subject are wrong from now on, and absences may be."""
        for key in list(self._keys_of_subject.get(subject, ())):
            self._drop(key)
        self._note_change(subject)

    def doubt_everything(self) -> None:
        """Any answer may be wrong: ask again, and use what is known only if nobody answers."""
        self._not_fresh_before = self._clock()
        self._note_change(None)

    async def close(self) -> None:
        """Cancel the look-ups that are under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is_fresh(self, entry: _Entry[Value], now: float) -> bool:
        limits = self._limits
        seconds = limits.absent_seconds if self._is_negative(entry.value) else limits.found_seconds
        return entry.stored_at > self._not_fresh_before and now - entry.stored_at < seconds

    def _note_change(self, subject: str | None) -> None:
        self._changes += 1
        self._recent.append(subject)
        self._absent.clear()

    async def _look_up(self, key: Key) -> Value | None:
        for _ in range(MAX_ATTEMPTS):
            task, since = self._under_way.get(key) or self._start(key)
            value = await asyncio.shield(task)
            if not self._is_outdated(value, since):
                return value
        raise DatabaseUnavailable("the answer changes faster than it can be read")

    def _start(self, key: Key) -> tuple[asyncio.Task[Value | None], int]:
        task, since = asyncio.create_task(self._load(key)), self._changes
        self._under_way[key] = (task, since)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(key, done, since))
        return task, since

    def _finished(self, key: Key, task: asyncio.Task[Value | None], since: int) -> None:
        self._tasks.discard(task)
        del self._under_way[key]
        if task.cancelled() or task.exception() is not None:
            return
        if not self._is_outdated(task.result(), since):
            self._store(key, task.result())

    def _is_outdated(self, value: Value | None, since: int) -> bool:
        """Whether a change after the first ``since`` ones may be about ``value``, or end its absence."""
        changes = self._changes - since
        if not changes:
            return False
        if value is None or changes > len(self._recent):
            return True
        subjects = {*self._subjects_of(value), None}
        return not subjects.isdisjoint(islice(reversed(self._recent), changes))

    def _store(self, key: Key, value: Value | None) -> None:
        self._drop(key)
        self._absent.pop(key, None)
        if value is None:
            self._absent[key] = self._clock()
            while len(self._absent) > self._limits.entries:
                del self._absent[next(iter(self._absent))]
        else:
            self._found[key] = _Entry(value, self._clock())
            for subject in self._subjects_of(value):
                self._keys_of_subject.setdefault(subject, set()).add(key)
            while len(self._found) > self._limits.entries:
                self._drop(next(iter(self._found)))

    def _drop(self, key: Key) -> None:
        entry = self._found.pop(key, None)
        if entry is None:
            return
        for subject in self._subjects_of(entry.value):
            keys = self._keys_of_subject.get(subject, set())
            keys.discard(key)
            if not keys:
                self._keys_of_subject.pop(subject, None)
