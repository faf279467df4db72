"""A classifier outside that has a say in what is shown, and what protects the chat from its moods.

``Guarded`` bounds how long and how many at a time it is asked, and leaves it alone for a while after it
failed a few times in a row. What it cannot say is decided by ``FilterOptions.is_open``.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol
from uuid import UUID

import structlog

logger = structlog.get_logger("mediaserver.chat")

MAX_REASON_CHARACTERS: Final = 200


class FilterAction(Enum):
    ALLOW = "allow"
    HOLD = "hold"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` is for moderators when the message is held, for its author when it is refused."""

    action: FilterAction
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    room_id: UUID
    user_id: UUID
    username: str
    message: str


class FilterFailure(Exception):
    """The filter gave no answer that can be used."""


class ExternalFilter(Protocol):
    async def check(self, question: Question) -> Verdict:
        """May take its time. Raises FilterFailure."""


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """``is_open``: what the filter does not judge in time is shown; otherwise it is held for review.

    After ``failures`` in a row the filter is not asked for ``pause_seconds``, then by one message first.
    """

    timeout_seconds: float = 0.5
    at_once: int = 32
    is_open: bool = True
    failures: int = 5
    pause_seconds: float = 10.0


class Guarded:
    """An ExternalFilter that always answers, soon. ``clock`` gives seconds, like time.monotonic."""

    def __init__(
        self,
        inner: ExternalFilter,
        options: FilterOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._options = options or FilterOptions()
        self._clock = clock
        self._asked = 0
        self._failed = 0
        self._rests_until = 0.0

    async def check(self, question: Question) -> Verdict:
        """Never raises."""
        if self._asked >= self._options.at_once or not self._may_ask():
            return self._otherwise()
        self._asked += 1
        try:
            async with asyncio.timeout(self._options.timeout_seconds):
                verdict = await self._inner.check(question)
        except TimeoutError:
            return self._note_failure("no answer in time")
        except FilterFailure as error:
            return self._note_failure(str(error))
        except Exception as error:
            logger.exception("chat_filter_broken")
            return self._note_failure(type(error).__name__)
        finally:
            self._asked -= 1
        self._note_success()
        return Verdict(verdict.action, _line(verdict.reason))

    def _may_ask(self) -> bool:
        if self._failed < self._options.failures:
            return True
        now = self._clock()
        if now < self._rests_until:
            return False
        # One tries; the others wait for what becomes of it.
        self._rests_until = now + self._options.pause_seconds
        return True

    def _otherwise(self) -> Verdict:
        if self._options.is_open:
            return Verdict(FilterAction.ALLOW)
        return Verdict(FilterAction.HOLD, "filter_unavailable")

    def _note_failure(self, error: str) -> Verdict:
        self._failed += 1
        if self._failed == self._options.failures:
            logger.warning("chat_filter_lost", error=error)
        if self._failed >= self._options.failures:
            self._rests_until = self._clock() + self._options.pause_seconds
        return self._otherwise()

    def _note_success(self) -> None:
        if self._failed >= self._options.failures:
            logger.info("chat_filter_back")
        self._failed = 0


def _line(text: str) -> str:
    """What a stranger wrote, in a form that can be stored and shown."""
    return "".join(each if each.isprintable() else " " for each in text)[:MAX_REASON_CHARACTERS].strip()
