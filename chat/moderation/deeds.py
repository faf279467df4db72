"""One deed of a moderator: one transaction with what changes, the log's entries of it, and the audit."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, ParamSpec, Protocol, TypeAlias, TypeVar
from uuid import UUID

from chat.errors import Refusal
from storage.database import Database, Transaction
from storage.errors import Conflict, InvalidValue
from storage.repositories.audit import AuditLog
from storage.repositories.chat_log import ChatLog, LoggedEntry, NewEvent
from storage.repositories.chat_people import ChatPeople, RoomPerson

Arguments = ParamSpec("Arguments")
ResultType = TypeVar("ResultType")
Method: TypeAlias = Callable[Arguments, Coroutine[Any, Any, ResultType]]


class ModerationSink(Protocol):
    """Who shows it to the rooms."""

    def logged(self, entries: Sequence[LoggedEntry]) -> None:
        """These are durable now. Must not block."""


def whole(
    method: Callable[Arguments, Coroutine[Any, Any, ResultType]],
) -> Callable[Arguments, Coroutine[Any, Any, ResultType]]:
    """Let ``method`` come to its end also when nobody waits for it any more.

    What was committed must reach the rooms, whether or not the one who asked for it is still there.
    """

    @functools.wraps(method)
    async def shielded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> ResultType:
        return await asyncio.shield(method(*args, **kwargs))

    return shielded


@dataclass(slots=True)
class Deed:
    """What is being done. Entries are written last, so that the room is locked for a moment only."""

    transaction: Transaction
    room_id: UUID
    actor: RoomPerson
    now: datetime
    address: str
    events: list[NewEvent] = field(default_factory=list)
    logged: list[LoggedEntry] = field(default_factory=list)

    def say(self, kind: str, data: Mapping[str, Any]) -> None:
        """The room's log gets this entry at the end."""
        self.events.append(NewEvent(self.room_id, kind, data, self.now))

    async def person(self, user_id: UUID) -> RoomPerson:
        """Raises Refusal ``user_not_found``."""
        person = await ChatPeople(self.transaction).person(self.room_id, user_id)
        if person is None:
            raise Refusal("user_not_found", "There is no such user.")
        return person

    async def audit(
        self, action: str, subject_kind: str, subject_id: UUID, details: Mapping[str, object] | None = None
    ) -> None:
        """``details`` beside the room's id."""
        everything: dict[str, object] = {"roomId": str(self.room_id), **(details or {})}
        await AuditLog(self.transaction).add(
            self.actor.user_id, action, subject_kind, str(subject_id), self.address, everything
        )

    async def write(self) -> None:
        """Raises Refusal ``room_not_found``."""
        offsets = await ChatLog(self.transaction).append(self.events)
        for offset, event in zip(offsets, self.events, strict=True):
            if offset is None:
                raise room_not_found()
            self.logged.append(LoggedEntry(offset, event))


@asynccontextmanager
async def deed(
    database: Database, actor: UUID, room_id: UUID, now: datetime, address: str
) -> AsyncIterator[Deed]:
    """All of the block, or nothing. Raises Refusal ``room_not_found``, and what storage's errors mean."""
    with explained():
        async with database.transaction() as transaction:
            person = await ChatPeople(transaction).person(room_id, actor)
            if person is None:
                raise room_not_found()
            doing = Deed(transaction, room_id, person, now, address)
            yield doing
            await doing.write()


def room_not_found() -> Refusal:
    return Refusal("room_not_found", "There is no such room.")


_MEANINGS: Final = {
    "chat_rooms_version": ("version_mismatch", "The settings were changed meanwhile."),
    "chat_rooms_slow_mode_valid": ("bad_frame", "slowModeSec: 0, or 3 to 120."),
    "chat_rooms_followers_only_valid": ("bad_frame", "followersOnlySec: none, or 0 and more."),
    "chat_rooms_pinned_known": ("message_not_found", "There is no such message."),
    "chat_bans_reason_valid": ("bad_frame", "reason: it is too long, or holds what is no text."),
    "chat_bans_until_valid": ("bad_frame", "seconds: the timeout would be over already."),
    "chat_bans_user_known": ("user_not_found", "There is no such user."),
    "chat_moderators_user_known": ("user_not_found", "There is no such user."),
    "chat_blocked_terms_once": ("bad_pattern", "A term is there twice."),
    "chat_blocked_terms_count": ("bad_pattern", "There are too many terms."),
    "chat_blocked_terms_text_valid": ("bad_pattern", "A term is empty or too long."),
}


@contextmanager
def explained() -> Iterator[None]:
    """Turn the constraints that people can break into refusals."""
    try:
        yield
    except (Conflict, InvalidValue) as error:
        if error.constraint.endswith("_room_known"):
            raise room_not_found() from error
        meaning = _MEANINGS.get(error.constraint)
        if meaning is None:
            raise
        raise Refusal(*meaning) from error
