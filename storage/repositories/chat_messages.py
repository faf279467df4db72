"""Messages of the chat: shown ones, deleted ones, and those that wait for a moderator.

Who changes a message has the room's row first, as one who deletes the room has: neither then waits for the
other for ever.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.repositories.chat_log import (
    LARGEST_OFFSET,
    MAKE_ROOMS,
    MESSAGE_COLUMNS,
    Mention,
    NewMessage,
    bounded_offset,
    check_message,
    checked_text,
    mentions_json,
    message_of,
)

MAX_COUNTED: Final = 10_000
"""Nobody waits until a million messages are counted."""


class MessageState(Enum):
    """Only a VISIBLE message has a place in the log. A SHADOWED one is shown to its author alone."""

    VISIBLE = "visible"
    HELD = "held"
    DENIED = "denied"
    SHADOWED = "shadowed"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """``deleted_at``: when it was deleted, cleared or denied. ``offset`` is None unless it is VISIBLE."""

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
    offset: int | None
    state: MessageState
    deleted_at: datetime | None
    hold_reason: str | None

    def as_new(self) -> NewMessage:
        """What goes into an entry of the log."""
        return NewMessage(
            self.id,
            self.room_id,
            self.user_id,
            self.username,
            self.display_name,
            self.badge,
            self.message,
            self.reply_to,
            self.mentions,
            self.created_at,
        )


STORED_COLUMNS: Final = f"""{MESSAGE_COLUMNS}, log_offset, state, hold_reason,
    coalesce(deleted_at, CASE WHEN log_offset <= cleared_offset THEN cleared_at END) AS deleted_at"""
"""What ``stored_message`` reads, of chat_messages joined with chat_rooms."""

_WAITS: Final = "state = 'held' AND deleted_at IS NULL"

_SELECT: Final = f"SELECT {STORED_COLUMNS} FROM chat_messages JOIN chat_rooms USING (room_id)"


class ChatMessages:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def find(self, room_id: UUID, message_id: UUID) -> StoredMessage | None:
        """In whatever state."""
        row = await self._database.fetch_row(f"{_SELECT} WHERE id = $2 AND room_id = $1", room_id, message_id)
        return stored_message(row) if row else None

    async def page(self, room_id: UUID, limit: int, before_offset: int | None = None) -> list[StoredMessage]:
        """What is shown, the newest first, before the message with ``before_offset``."""
        rows = await self._database.fetch(
            f"""{_SELECT} WHERE chat_messages.room_id = $1 AND deleted_at IS NULL AND log_offset < $3
                  AND log_offset > (SELECT cleared_offset FROM chat_rooms WHERE room_id = $1)
                ORDER BY log_offset DESC LIMIT $2""",
            room_id,
            limit,
            LARGEST_OFFSET if before_offset is None else bounded_offset(before_offset),
        )
        return [stored_message(row) for row in rows]

    async def delete(self, room_id: UUID, message_id: UUID, by: UUID) -> bool:
        """Whether it was shown until now. It is no longer pinned either."""
        deleted = await self._database.fetch_value(
            """UPDATE chat_messages SET deleted_at = now(), deleted_by = $3
               FROM (SELECT cleared_offset FROM chat_rooms WHERE room_id = $1 FOR KEY SHARE) AS room
               WHERE id = $2 AND room_id = $1 AND deleted_at IS NULL AND log_offset > cleared_offset
               RETURNING true""",
            room_id,
            message_id,
            by,
        )
        return deleted is not None

    async def delete_shadowed(self, room_id: UUID, message_id: UUID, by: UUID) -> bool:
        """Whether it was shown to its author until now."""
        deleted = await self._database.fetch_value(
            """UPDATE chat_messages SET deleted_at = now(), deleted_by = $3
               FROM (SELECT FROM chat_rooms WHERE room_id = $1 FOR KEY SHARE) AS room
               WHERE id = $2 AND room_id = $1 AND deleted_at IS NULL AND state = 'shadowed'
               RETURNING true""",
            room_id,
            message_id,
            by,
        )
        return deleted is not None

    async def clear(self, room_id: UUID, by: UUID) -> int:
        """Show none of the messages until now. How many there were, as far as MAX_COUNTED.

        Nothing is written into the messages, so a million of them are cleared as quickly as ten. ``by`` is
        kept by the log's entry and the audit alone.
        """
        cleared: int | None = await self._database.fetch_value(
            f"""UPDATE chat_rooms SET cleared_offset = last_offset,
                    cleared_at = CASE WHEN last_offset > 0 THEN now() END
                FROM (SELECT count(*) AS shown FROM (
                          SELECT FROM chat_messages WHERE room_id = $1 AND deleted_at IS NULL
                          AND log_offset > (SELECT cleared_offset FROM chat_rooms WHERE room_id = $1)
                          ORDER BY log_offset LIMIT {MAX_COUNTED}) AS found) AS counted
                WHERE room_id = $1 RETURNING shown""",
            room_id,
        )
        return cleared or 0

    async def purge(self, before: datetime, limit: int) -> int:
        """Remove messages that were written ``before``, in whatever state, the oldest first; how many.

        Not those that are pinned, nor those that somebody else is busy with. The time is that of the ids.
        """
        removed: int = await self._database.fetch_value(
            """WITH removed AS (
                   DELETE FROM chat_messages WHERE ctid = ANY (ARRAY(
                       SELECT ctid FROM chat_messages AS old WHERE id < $1
                       AND NOT EXISTS (SELECT FROM chat_rooms
                                       WHERE chat_rooms.room_id = old.room_id AND pinned_id = old.id)
                       ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED))
                   AND id < $1 RETURNING 1)
               SELECT count(*) FROM removed""",
            first_id(before),
            limit,
        )
        return removed

    async def add(self, message: NewMessage, state: MessageState, hold_reason: str | None = None) -> None:
        """One that is not shown to all: held or shadowed. What is shown is written by ``ChatLog.append``.

        Raises InvalidValue, Conflict for an id that is there.
        """
        check_message(message)
        checked_text("chat_messages_hold_reason_valid", hold_reason)
        mentions = mentions_json(message)
        await self._database.execute(MAKE_ROOMS, [message.room_id])
        await self._database.execute(
            """INSERT INTO chat_messages (id, room_id, user_id, username, display_name, badge, message,
                                          reply_to, mentions, created_at, state, hold_reason)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10, $11, $12)""",
            message.id,
            message.room_id,
            message.user_id,
            message.username,
            message.display_name,
            message.badge,
            message.message,
            message.reply_to,
            mentions,
            message.created_at,
            state.value,
            hold_reason,
        )

    async def held(self, room_id: UUID, limit: int, after: UUID | None = None) -> list[StoredMessage]:
        """Those that wait, the oldest first, after the message with the id ``after``."""
        rows = await self._database.fetch(
            f"""{_SELECT} WHERE chat_messages.room_id = $1 AND {_WAITS} AND id > $3
                ORDER BY id LIMIT $2""",
            room_id,
            limit,
            after or UUID(int=0),
        )
        return [stored_message(row) for row in rows]

    async def take_held(self, room_id: UUID, message_id: UUID) -> StoredMessage | None:
        """One that waits. Until the transaction ends, nobody else decides about it."""
        row = await self._database.fetch_row(
            f"""{_SELECT} WHERE id = $2 AND chat_messages.room_id = $1 AND {_WAITS}
                FOR KEY SHARE OF chat_rooms FOR NO KEY UPDATE OF chat_messages""",
            room_id,
            message_id,
        )
        return stored_message(row) if row else None

    async def allow(self, message_id: UUID, offset: int) -> bool:
        """Show a held message at ``offset``, which is from ``ChatLog.reserve``. Whether it was held."""
        allowed = await self._database.fetch_value(
            f"""UPDATE chat_messages SET state = 'visible', log_offset = $2
                WHERE id = $1 AND {_WAITS} RETURNING true""",
            message_id,
            offset,
        )
        return allowed is not None

    async def deny(self, message_id: UUID, by: UUID) -> bool:
        """Whether it was held."""
        denied = await self._database.fetch_value(
            f"""UPDATE chat_messages SET state = 'denied', deleted_at = now(), deleted_by = $2
                WHERE id = $1 AND {_WAITS} RETURNING true""",
            message_id,
            by,
        )
        return denied is not None


def first_id(at: datetime) -> UUID:
    """No message that was written at that time or later has a smaller id (RFC 9562, UUIDv7)."""
    return UUID(int=max(0, int(at.timestamp() * 1000)) << 80)


def stored_message(row: Row) -> StoredMessage:
    """A row with STORED_COLUMNS."""
    message = message_of(row)
    return StoredMessage(
        message.id,
        message.room_id,
        message.user_id,
        message.username,
        message.display_name,
        message.badge,
        message.message,
        message.reply_to,
        message.mentions,
        message.created_at,
        row["log_offset"],
        MessageState(row["state"]),
        row["deleted_at"],
        row["hold_reason"],
    )
