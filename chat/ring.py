"""The last frames of a room's log, for those who come back and for those who come anew."""

from collections import deque
from dataclasses import dataclass
from uuid import UUID

from chat.protocol.frames import MAX_MISSED, Outgoing


@dataclass(frozen=True, slots=True)
class _Kept:
    offset: int
    frame: Outgoing
    message_id: UUID | None


class Ring:
    """Everything visible of the log after ``floor``; at most MAX_MISSED frames, so the floor rises.

    What was deleted is not in it, but leaves no doubt either: the frame that says so is.
    """

    __slots__ = ("_kept", "floor")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self._kept: deque[_Kept] = deque()

    def append(self, offset: int, frame: Outgoing, message_id: UUID | None = None) -> None:
        """``message_id`` if the frame is a message."""
        self._kept.append(_Kept(offset, frame, message_id))
        if len(self._kept) > MAX_MISSED:
            self.floor = self._kept.popleft().offset

    def since(self, offset: int) -> list[Outgoing] | None:
        """The frames after ``offset``, oldest first; None when some of them are not here any more."""
        if offset < self.floor:
            return None
        return [kept.frame for kept in self._kept if kept.offset > offset]

    def recent_messages(self, limit: int) -> list[Outgoing]:
        """The last messages, oldest first."""
        messages = [kept.frame for kept in self._kept if kept.message_id is not None]
        return messages[-limit:] if limit else []

    def find(self, message_id: UUID) -> Outgoing | None:
        return next((kept.frame for kept in self._kept if kept.message_id == message_id), None)

    def messages_by(self, user_id: UUID) -> list[UUID]:
        return [
            kept.message_id
            for kept in self._kept
            if kept.message_id is not None and kept.frame.body.user_id == user_id
        ]

    def forget(self, message_id: UUID) -> None:
        """The message was deleted."""
        self._kept = deque(kept for kept in self._kept if kept.message_id != message_id)

    def forget_messages(self) -> None:
        """The chat was cleared."""
        self._kept = deque(kept for kept in self._kept if kept.message_id is None)
