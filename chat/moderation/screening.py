"""Everything that is asked before a message is taken, in the order that costs least.

First what needs no state, then this node's memory, then what all nodes share. Slow mode comes last, so that a
message that is refused for something else does not use up its author's turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol
from uuid import UUID

from chat.errors import Refusal
from chat.moderation.external import ExternalFilter, FilterAction, Question
from chat.moderation.recent import Noted, Recent, fingerprint
from chat.moderation.rules import (
    Action,
    Decision,
    is_exempt,
    is_staff,
    judge,
    refusal_of_person,
)
from chat.moderation.terms import CompiledTerms
from chat.moderation.text import clean
from chat.ports import RateLimiter
from storage.repositories.chat_people import RoomPerson
from storage.repositories.chat_rooms import ChatSettings

__all__ = ["Action", "RoomView", "Screened", "Screening"]

MESSAGES_PER_WINDOW: Final = 5
WINDOW_SECONDS: Final = 10.0


class RoomView(Protocol):
    """The part of a room that is needed here."""

    settings: ChatSettings
    terms: CompiledTerms

    @property
    def id(self) -> UUID: ...

    @property
    def recent(self) -> Recent: ...


@dataclass(frozen=True, slots=True)
class Screened:
    """A message that is taken. ``action`` is never REFUSE; ``reason`` is why it is held."""

    text: str
    action: Action
    reason: str | None = None
    noted: Noted | None = None


def _now() -> datetime:
    return datetime.now(UTC)


class Screening:
    """``external`` should be a chat.moderation.external.Guarded."""

    def __init__(
        self,
        limiter: RateLimiter,
        external: ExternalFilter | None = None,
        now: Callable[[], datetime] = _now,
        messages_per_window: int = MESSAGES_PER_WINDOW,
    ) -> None:
        self._limiter = limiter
        self._messages_per_window = messages_per_window
        self._external = external
        self._now = now

    def check_ban(self, person: RoomPerson | None) -> None:
        """Raises Refusal for who may say nothing here: ``banned``, ``timed_out`` …"""
        refusal = refusal_of_person(person, self._now())
        if refusal is not None:
            raise refusal

    async def screen(self, room: RoomView, person: RoomPerson | None, text: str) -> Screened:
        """Raises Refusal for a message that is not taken; otherwise it counts as written."""
        self.check_ban(person)
        assert person is not None
        cleaned = clean(text)
        decision = await self._judge(room, person, cleaned)
        print_ = fingerprint(cleaned)
        is_unique = room.settings.unique_chat and not is_exempt(person)
        room.recent.check(person.user_id, print_, is_unique=is_unique)
        # Noted before anything is awaited: the same text could come a second time meanwhile.
        noted = room.recent.note(person.user_id, print_, is_public=decision.action is not Action.SHADOW)
        try:
            decision = await self._ask_others(room, person, cleaned, decision)
        except BaseException:
            room.recent.forget(noted)
            raise
        return Screened(cleaned, decision.action, decision.reason, noted)

    def take_back(self, room: RoomView, screened: Screened) -> None:
        """The message could not be stored after all, so that it may be tried again."""
        if screened.noted is not None:
            room.recent.forget(screened.noted)

    async def _judge(self, room: RoomView, person: RoomPerson, text: str) -> Decision:
        settings = room.settings
        decision = judge(settings, person, text, self._now())
        if decision.refusal is None and not is_exempt(person):
            # Last, since patterns may be costly.
            term = await room.terms.match(text)
            if term is not None:
                decision = judge(settings, person, text, self._now(), term=term)
        if decision.refusal is not None:
            raise decision.refusal
        return decision

    async def _ask_others(
        self, room: RoomView, person: RoomPerson, text: str, decision: Decision
    ) -> Decision:
        limit = self._messages_per_window
        await self._take("rate_limited", f"chat:rate:{person.user_id}", limit, WINDOW_SECONDS)
        decision = await self._ask_filter(room, person, text, decision)
        seconds = room.settings.slow_mode_seconds
        if seconds and not is_exempt(person):
            await self._take("slow_mode", f"chat:slow:{room.id}:{person.user_id}", 1, seconds)
        return decision

    async def _ask_filter(
        self, room: RoomView, person: RoomPerson, text: str, decision: Decision
    ) -> Decision:
        """A held message is judged too: a moderator need not see what is refused anyway."""
        if self._external is None or is_staff(person) or decision.action is Action.SHADOW:
            return decision
        verdict = await self._external.check(Question(room.id, person.user_id, person.username, text))
        if verdict.action is FilterAction.REFUSE:
            raise Refusal("filtered", verdict.reason or "The message was not accepted.")
        if verdict.action is FilterAction.HOLD and decision.action is Action.ALLOW:
            return Decision(Action.HOLD, reason=f"filter: {verdict.reason}" if verdict.reason else "filter")
        return decision

    async def _take(self, code: str, key: str, limit: int, seconds: float) -> None:
        allowance = await self._limiter.take(key, limit, seconds)
        if not allowance.is_allowed:
            raise Refusal(code, "You write too quickly; wait a little.", allowance.reset_seconds)
