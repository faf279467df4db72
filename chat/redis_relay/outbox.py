"""What waits to be told to other nodes, made into frames of a bounded size. Sans-I/O."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar
from uuid import UUID

import structlog

from chat.redis_relay.frames import (
    Frame,
    Item,
    burst_item,
    encode_entry,
    encode_frame,
    join_entries,
    presence_item,
    typing_item,
)
from storage.repositories.chat_log import LoggedEntry

logger = structlog.get_logger("mediaserver.chat")

MAX_ENTRIES: Final = 10_000
MAX_FRAME_BYTES: Final = 64 * 1024
"""A frame ends with what goes beyond; decoding one should not hold a node up."""
MAX_ROOMS: Final = 1000
"""In so many rooms reactions and typing wait to be told; more are dropped."""
MAX_TOGETHER: Final = 100
"""Different reactions, or people typing, in one item."""

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

_NOT_ENCODABLE: Final = (ValueError, TypeError, OverflowError, RecursionError)


class Outbox:
    """``dropped`` counts what others were never told. Of entries, the oldest are dropped."""

    def __init__(self, node: str, start: int, max_entries: int = MAX_ENTRIES) -> None:
        self._node = node
        self._start = start
        self._number = 0
        self._max_entries = max_entries
        self._entries: deque[tuple[UUID, bytes]] = deque()
        self._bursts: dict[UUID, dict[str, int]] = {}
        self._typing: dict[UUID, dict[UUID, str]] = {}
        self._presence: dict[UUID, bytes] = {}
        self._is_beat_due = False
        self._is_farewell_due = False
        self._has_lost = False
        self._frame: bytes | None = None
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Entries."""
        return len(self._entries)

    def publish(self, entries: Sequence[LoggedEntry]) -> None:
        for logged in entries:
            try:
                self._entries.append((logged.entry.room_id, encode_entry(logged)))
            except _NOT_ENCODABLE as error:
                logger.error("chat_entry_not_relayed", offset=logged.offset, error=str(error))
                self._lose()
        while len(self._entries) > self._max_entries:
            self._entries.popleft()
            if not self._has_lost:
                logger.error("chat_entries_dropped", waiting=len(self._entries))
            self._lose()

    def burst(self, room_id: UUID, reactions: Mapping[str, int]) -> None:
        waiting = self._waiting(self._bursts, room_id)
        for reaction, count in reactions.items():
            if reaction in waiting or len(waiting) < MAX_TOGETHER:
                waiting[reaction] = waiting.get(reaction, 0) + count

    def typing(self, room_id: UUID, people: Mapping[UUID, str]) -> None:
        waiting = self._waiting(self._typing, room_id)
        for user_id, username in people.items():
            if user_id in waiting or len(waiting) < MAX_TOGETHER:
                waiting[user_id] = username

    def presence(self, room_id: UUID, encoded: bytes) -> None:
        """In place of what has not been told yet."""
        self._presence[room_id] = encoded

    def beat(self) -> None:
        """Let others hear that this node lives, though there be nothing to tell."""
        self._is_beat_due = True

    def say_farewell(self) -> None:
        self._is_farewell_due = True

    def forget_fleeting(self) -> None:
        """Nobody wants to hear of reactions and typing that are long over."""
        self._bursts.clear()
        self._typing.clear()

    def next_frame(self) -> bytes | None:
        """The same until ``sent`` is called; None when there is nothing to tell."""
        if self._frame is None and self._has_anything():
            self._number += 1
            items = list(self._take_items())
            is_last = self._is_farewell_due and not self._has_items()
            frame = Frame(self._node, self._start, self._number, items, self._has_lost, is_last)
            self._frame = encode_frame(frame)
            self._has_lost = self._is_beat_due = False
            self._is_farewell_due = self._is_farewell_due and not is_last
        return self._frame

    def sent(self) -> None:
        self._frame = None

    def _lose(self) -> None:
        self.dropped += 1
        self._has_lost = True

    def _waiting(self, rooms: dict[UUID, dict[KeyT, ValueT]], room_id: UUID) -> dict[KeyT, ValueT]:
        """What waits for the room; nothing that is kept, when that is so of too many."""
        if room_id not in rooms and len(rooms) >= MAX_ROOMS:
            self.dropped += 1
            return {}
        return rooms.setdefault(room_id, {})

    def _take_items(self) -> Iterator[Item]:
        """What goes into one frame; what is in it does not wait any more."""
        left = MAX_FRAME_BYTES
        for room_id, entries in self._take_entries().items():
            item = join_entries(room_id, entries)
            left -= _size(item)
            yield item
        while left > 0 and (item_or_none := self._take_item()) is not None:
            left -= _size(item_or_none)
            yield item_or_none

    def _take_entries(self) -> dict[UUID, list[bytes]]:
        rooms: dict[UUID, list[bytes]] = {}
        left = MAX_FRAME_BYTES
        while self._entries and left > 0:
            room_id, encoded = self._entries.popleft()
            rooms.setdefault(room_id, []).append(encoded)
            left -= len(encoded)
        return rooms

    def _take_item(self) -> Item | None:
        if self._bursts:
            return burst_item(*_take_first(self._bursts))
        if self._typing:
            return typing_item(*_take_first(self._typing))
        if self._presence:
            return presence_item(*_take_first(self._presence))
        return None

    def _has_items(self) -> bool:
        return bool(self._entries or self._bursts or self._typing or self._presence)

    def _has_anything(self) -> bool:
        return self._has_items() or self._has_lost or self._is_beat_due or self._is_farewell_due


def _take_first(waiting: dict[UUID, ValueT]) -> tuple[UUID, ValueT]:
    room_id = next(iter(waiting))
    return room_id, waiting.pop(room_id)


def _size(item: Item) -> int:
    return len(item.body) + 32
