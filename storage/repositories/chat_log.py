"""The log of a room's chat: messages and other events in one order, numbered without gaps.

The number is taken in the transaction that writes the entry, and the room's row stays locked until that ends:
numbers become visible in their order, and one that was rolled back is given to the next entry.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

from storage.database import Executor, Row
from storage.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Mention:
    user_id: UUID
    username: str


@dataclass(frozen=True, slots=True)
class NewMessage:
    """Names and badge ("owner", "moderator", "staff", "subscriber") are those of the time of writing."""

    id: UUID
    room_id: UUID
    user_id: UUID
    username: str
    display_name: str
    badge: str | None
    message: str
    reply_to: UUID | None
    mentions: tuple[Mention, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewEvent:
    """``data`` is the frame's, with its names, but without roomId and offset."""

    room_id: UUID
    kind: str
    data: Mapping[str, Any]
    created_at: datetime


Entry: TypeAlias = NewMessage | NewEvent


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    offset: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Position:
    """Where a room's log ends. ``offset`` is 0 before the first entry."""

    epoch: str
    offset: int


LARGEST_OFFSET: Final = 2**63 - 1

MESSAGE_COLUMNS: Final = """id, chat_messages.room_id, user_id, username, display_name, badge, message,
    reply_to, mentions, created_at"""
"""What ``message_of`` reads."""

MAKE_ROOMS: Final = """
    INSERT INTO chat_rooms (room_id)
    SELECT id FROM rooms
    WHERE id = ANY($1::uuid[]) AND NOT EXISTS (SELECT FROM chat_rooms WHERE room_id = rooms.id)
    ORDER BY id FOR KEY SHARE OF rooms
    ON CONFLICT DO NOTHING"""
"""The rows of those rooms of $1 that exist and have none yet."""

_APPEND: Final = """
    WITH counted AS MATERIALIZED (
        SELECT counted_id AS room_id, counted_offset AS last_offset
        FROM take_chat_offsets($1::uuid[], $2::bigint[])),
    messages AS (
        INSERT INTO chat_messages (id, room_id, log_offset, user_id, username, display_name, badge, message,
                                   reply_to, mentions, created_at)
        SELECT id, new.room_id, last_offset - following, user_id, username, display_name, badge, message,
               reply_to, mentions::jsonb, created_at
        FROM unnest($3::uuid[], $4::uuid[], $5::bigint[], $6::uuid[], $7::text[], $8::text[], $9::text[],
                    $10::text[], $11::uuid[], $12::text[], $13::timestamptz[])
             AS new (id, room_id, following, user_id, username, display_name, badge, message, reply_to,
                     mentions, created_at)
        JOIN counted ON counted.room_id = new.room_id),
    events AS (
        INSERT INTO chat_events (room_id, log_offset, kind, data, created_at)
        SELECT new.room_id, last_offset - following, kind, data::jsonb, created_at
        FROM unnest($14::uuid[], $15::bigint[], $16::text[], $17::text[], $18::timestamptz[])
             AS new (room_id, following, kind, data, created_at)
        JOIN counted ON counted.room_id = new.room_id)
    SELECT room_id, last_offset FROM counted"""

_SINCE: Final = f"""
    (SELECT log_offset, {MESSAGE_COLUMNS}, NULL AS kind, NULL AS data FROM chat_messages
     WHERE room_id = $1 AND deleted_at IS NULL
       AND log_offset > greatest($2, (SELECT cleared_offset FROM chat_rooms WHERE room_id = $1))
     ORDER BY log_offset LIMIT $3)
    UNION ALL
    (SELECT log_offset, NULL, room_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, created_at, kind, data
     FROM chat_events WHERE room_id = $1 AND log_offset > $2
     ORDER BY log_offset LIMIT $3)
    ORDER BY log_offset LIMIT $3"""

_RECENT: Final = f"""
    SELECT log_offset, {MESSAGE_COLUMNS}, NULL AS kind FROM chat_messages
    WHERE room_id = $1 AND deleted_at IS NULL
      AND log_offset > (SELECT cleared_offset FROM chat_rooms WHERE room_id = $1)
    ORDER BY log_offset DESC LIMIT $2"""

_ESCAPED_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class ChatLog:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def append(self, entries: Sequence[Entry]) -> list[int | None]:
        """The entries' offsets; None for one whose room does not exist any more. All are written, or none.

        In a transaction, the rooms of the entries are locked until it ends. Raises Conflict for a message
        that is stored already, InvalidValue.
        """
        offsets: dict[int, int] = {}
        wanted = dict(enumerate(entries))
        while wanted and not offsets:
            offsets = await self._write(wanted)
            if not offsets:
                there = await self._made({entry.room_id for entry in wanted.values()})
                wanted = {place: entry for place, entry in wanted.items() if entry.room_id in there}
        return [offsets.get(place) for place in range(len(entries))]

    async def reserve(self, room_id: UUID) -> int | None:
        """The next offset, for a message that is stored already (see ChatMessages.allow); None: no such room.

        Call it in the transaction that puts the message there, or the log has a gap.
        """
        await self._database.execute(MAKE_ROOMS, [room_id])
        offset: int | None = await self._database.fetch_value(
            "UPDATE chat_rooms SET last_offset = last_offset + 1 WHERE room_id = $1 RETURNING last_offset",
            room_id,
        )
        return offset

    async def position(self, room_id: UUID) -> Position | None:
        """None: no such room."""
        return (await self.positions([room_id])).get(room_id)

    async def positions(self, room_ids: Sequence[UUID]) -> dict[UUID, Position]:
        """Of those rooms that exist."""
        found = await self._positions(room_ids)
        missing = [room_id for room_id in room_ids if room_id not in found]
        if missing:
            await self._database.execute(MAKE_ROOMS, missing)
            found |= await self._positions(missing)
        return found

    async def since(self, room_id: UUID, offset: int, limit: int) -> list[LoggedEntry]:
        """The entries after ``offset``, oldest first.

        Messages that were deleted or cleared are left out, so offsets may be missing; fewer than ``limit``
        entries are all there are.
        """
        rows = await self._database.fetch(_SINCE, room_id, bounded_offset(offset), limit)
        return [_logged(row) for row in rows]

    async def recent(self, room_id: UUID, limit: int) -> list[LoggedEntry]:
        """The last messages that are shown, oldest first."""
        rows = await self._database.fetch(_RECENT, room_id, limit)
        return [_logged(row) for row in reversed(rows)]

    async def purge_events(self, before: datetime, limit: int) -> int:
        """Remove events that happened ``before``, the oldest first; how many.

        Not those that somebody else is busy with.
        """
        removed: int = await self._database.fetch_value(
            """WITH removed AS (
                   DELETE FROM chat_events WHERE ctid = ANY (ARRAY(
                       SELECT ctid FROM chat_events WHERE created_at < $1
                       ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))
                   AND created_at < $1 RETURNING 1)
               SELECT count(*) FROM removed""",
            before,
            limit,
        )
        return removed

    async def _write(self, entries: Mapping[int, Entry]) -> dict[int, int]:
        """Their offsets; none at all when a room has no row, which need not be the last word."""
        counts = Counter(entry.room_id for entry in entries.values())
        following = _following(entries.values())
        rooms = sorted(counts)
        rows = await self._database.fetch(
            _APPEND, rooms, [counts[room_id] for room_id in rooms], *_columns(entries.values(), following)
        )
        last = {row["room_id"]: row["last_offset"] for row in rows}
        return {
            place: last[entry.room_id] - after
            for (place, entry), after in zip(entries.items(), following, strict=True)
            if entry.room_id in last
        }

    async def _made(self, room_ids: Collection[UUID]) -> Collection[UUID]:
        """Those of the rooms that exist; they have their rows now."""
        return await self.positions(sorted(room_ids))

    async def _positions(self, room_ids: Sequence[UUID]) -> dict[UUID, Position]:
        rows = await self._database.fetch(
            "SELECT room_id, epoch, last_offset FROM chat_rooms WHERE room_id = ANY($1::uuid[])", room_ids
        )
        return {row["room_id"]: Position(row["epoch"], row["last_offset"]) for row in rows}


def checked_text(constraint: str, *texts: str | None) -> None:
    """Raises InvalidValue with ``constraint`` for what PostgreSQL cannot hold: NUL and lone surrogates."""
    for text in texts:
        if text is None:
            continue
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidValue(constraint) from error
        if "\0" in text:
            raise InvalidValue(constraint)


def bounded_offset(offset: int) -> int:
    """The same offset, or the one next to it that a bigint can hold."""
    return max(0, min(offset, LARGEST_OFFSET))


def mentions_json(message: NewMessage) -> str:
    return _json(
        "chat_messages_mentions_valid",
        [{"userId": mention.user_id, "username": mention.username} for mention in message.mentions],
    )


def message_of(row: Row) -> NewMessage:
    """A row with MESSAGE_COLUMNS."""
    mentions = msgspec.json.decode(row["mentions"], type=list[dict[str, str]])
    return NewMessage(
        row["id"],
        row["room_id"],
        row["user_id"],
        row["username"],
        row["display_name"],
        row["badge"],
        row["message"],
        row["reply_to"],
        tuple(Mention(UUID(mention["userId"]), mention["username"]) for mention in mentions),
        row["created_at"],
    )


def check_message(message: NewMessage) -> None:
    """Raises InvalidValue for what PostgreSQL cannot hold."""
    checked_text("chat_messages_message_valid", message.message)
    checked_text("chat_messages_username_valid", message.username)
    checked_text("chat_messages_display_name_valid", message.display_name)
    checked_text("chat_messages_badge_known", message.badge)


def _following(entries: Collection[Entry]) -> list[int]:
    """How many entries of the batch follow each in its room."""
    left = Counter(entry.room_id for entry in entries)
    following = []
    for entry in entries:
        left[entry.room_id] -= 1
        following.append(left[entry.room_id])
    return following


def _columns(entries: Collection[Entry], following: Sequence[int]) -> list[list[object]]:
    """The arguments of _APPEND from $3 on."""
    messages: list[tuple[object, ...]] = []
    events: list[tuple[object, ...]] = []
    for entry, after in zip(entries, following, strict=True):
        if isinstance(entry, NewMessage):
            messages.append(_message_values(entry, after))
        else:
            events.append(_event_values(entry, after))
    return [*_turned(messages, 11), *_turned(events, 5)]


def _turned(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def _message_values(message: NewMessage, following: int) -> tuple[object, ...]:
    check_message(message)
    return (
        message.id,
        message.room_id,
        following,
        message.user_id,
        message.username,
        message.display_name,
        message.badge,
        message.message,
        message.reply_to,
        mentions_json(message),
        message.created_at,
    )


def _event_values(event: NewEvent, following: int) -> tuple[object, ...]:
    checked_text("chat_events_kind_valid", event.kind)
    return (
        event.room_id,
        following,
        event.kind,
        _json("chat_events_data_valid", event.data),
        event.created_at,
    )


def _json(constraint: str, value: object) -> str:
    """Raises InvalidValue for what jsonb cannot hold."""
    try:
        encoded = msgspec.json.encode(value)
    except (UnicodeEncodeError, TypeError) as error:
        raise InvalidValue(constraint) from error
    if _ESCAPED_NUL.search(encoded):
        raise InvalidValue(constraint)
    return encoded.decode()


def _logged(row: Row) -> LoggedEntry:
    if row["kind"] is None:
        return LoggedEntry(row["log_offset"], message_of(row))
    data = msgspec.json.decode(row["data"], type=dict[str, Any])
    return LoggedEntry(row["log_offset"], NewEvent(row["room_id"], row["kind"], data, row["created_at"]))
