"""What is decided about a room's chat: its modes, its pinned message; and all a node needs to open it."""

from dataclasses import dataclass
from enum import Enum
from typing import Final
from uuid import UUID

import msgspec

from storage.database import Executor, Row
from storage.errors import Conflict, InvalidValue
from storage.repositories.blocked_terms import BlockedTerm, TermAction
from storage.repositories.chat_log import MAKE_ROOMS, Position
from storage.repositories.chat_messages import STORED_COLUMNS, StoredMessage, stored_message


class LinkPolicy(Enum):
    """What happens to a message with a link."""

    ALLOW = "allow"
    HOLD = "hold"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """``followers_only_seconds``: how long one must have followed; 0 is any follower, None everybody."""

    slow_mode_seconds: int = 0
    followers_only_seconds: int | None = None
    subscribers_only: bool = False
    emote_only: bool = False
    unique_chat: bool = False
    links: LinkPolicy = LinkPolicy.ALLOW


@dataclass(frozen=True, slots=True)
class ChatRoomState:
    """All of it as of one moment. ``version`` is that of the settings."""

    room_id: UUID
    owner_id: UUID
    settings: ChatSettings
    pinned: StoredMessage | None
    position: Position
    terms: tuple[BlockedTerm, ...]
    version: int


FIRST_VERSION: Final = 1
LARGEST_INTEGER: Final = 2**31 - 1

_SETTINGS: Final = (
    "slow_mode_seconds, followers_only_seconds, subscribers_only, emote_only, unique_chat, links"
)

_IS_SHOWN: Final = "deleted_at IS NULL AND log_offset > cleared_offset"

_STATE: Final = f"""
    SELECT chat_rooms.room_id AS chat_id, owner_id, {_SETTINGS}, chat_rooms.version, epoch, last_offset,
           pinned_message.*,
           (SELECT json_agg(json_build_array(text, is_regex, action) ORDER BY place)
            FROM chat_blocked_terms WHERE room_id = $1) AS terms
    FROM chat_rooms JOIN rooms ON rooms.id = chat_rooms.room_id
    LEFT JOIN LATERAL (
        SELECT {STORED_COLUMNS} FROM chat_messages
        WHERE id = pinned_id AND chat_messages.room_id = $1 AND {_IS_SHOWN}) AS pinned_message ON true
    WHERE chat_rooms.room_id = $1"""


class ChatRooms:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def settings(self, room_id: UUID) -> tuple[ChatSettings, int]:
        """With their version."""
        row = await self._database.fetch_row(
            f"SELECT {_SETTINGS}, version FROM chat_rooms WHERE room_id = $1", room_id
        )
        return (_settings(row), row["version"]) if row else (ChatSettings(), FIRST_VERSION)

    async def save_settings(
        self, room_id: UUID, settings: ChatSettings, expected_version: int | None = None
    ) -> int:
        """The new version. Raises InvalidValue, also for no such room; Conflict: it has another version."""
        _check(settings)
        await self._database.execute(MAKE_ROOMS, [room_id])
        version: int | None = await self._database.fetch_value(
            f"""UPDATE chat_rooms SET ({_SETTINGS}) = ($3, $4, $5, $6, $7, $8), version = version + 1
                WHERE room_id = $1 AND version = coalesce($2, version) RETURNING version""",
            room_id,
            expected_version,
            settings.slow_mode_seconds,
            settings.followers_only_seconds,
            settings.subscribers_only,
            settings.emote_only,
            settings.unique_chat,
            settings.links.value,
        )
        if version is None:
            await self._require(room_id)
            raise Conflict("chat_rooms_version")
        return version

    async def pinned(self, room_id: UUID) -> UUID | None:
        """Unless the message was deleted or cleared."""
        message_id: UUID | None = await self._database.fetch_value(
            f"""SELECT pinned_id FROM chat_rooms
                JOIN chat_messages ON id = pinned_id AND chat_messages.room_id = chat_rooms.room_id
                WHERE chat_rooms.room_id = $1 AND {_IS_SHOWN}""",
            room_id,
        )
        return message_id

    async def pin(self, room_id: UUID, message_id: UUID | None) -> None:
        """None unpins. Raises InvalidValue for a message that is not shown in the room."""
        pinned = await self._database.fetch_value(
            f"""UPDATE chat_rooms SET pinned_id = $2
                WHERE room_id = $1 AND ($2::uuid IS NULL OR EXISTS (
                    SELECT FROM chat_messages
                    WHERE id = $2 AND chat_messages.room_id = $1 AND {_IS_SHOWN}))
                RETURNING true""",
            room_id,
            message_id,
        )
        if pinned is None and message_id is not None:
            raise InvalidValue("chat_rooms_pinned_known")

    async def state(self, room_id: UUID) -> ChatRoomState | None:
        """None: no such room."""
        row = await self._database.fetch_row(_STATE, room_id)
        if row is None:
            await self._database.execute(MAKE_ROOMS, [room_id])
            row = await self._database.fetch_row(_STATE, room_id)
        return _state(row) if row else None

    async def owned_by(self, user_id: UUID) -> list[UUID]:
        """The rooms of an owner."""
        rows = await self._database.fetch("SELECT id FROM rooms WHERE owner_id = $1", user_id)
        return [row["id"] for row in rows]

    async def lock(self, room_id: UUID) -> None:
        """Until the transaction ends, nobody else writes into the room's log."""
        await self._database.execute("SELECT FROM chat_rooms WHERE room_id = $1 FOR NO KEY UPDATE", room_id)

    async def _require(self, room_id: UUID) -> None:
        if (
            await self._database.fetch_value("SELECT true FROM chat_rooms WHERE room_id = $1", room_id)
            is None
        ):
            raise InvalidValue("chat_rooms_room_known")


def _check(settings: ChatSettings) -> None:
    """Raises InvalidValue for numbers that PostgreSQL's integers cannot hold."""
    if abs(settings.slow_mode_seconds) > LARGEST_INTEGER:
        raise InvalidValue("chat_rooms_slow_mode_valid")
    if abs(settings.followers_only_seconds or 0) > LARGEST_INTEGER:
        raise InvalidValue("chat_rooms_followers_only_valid")


def _settings(row: Row) -> ChatSettings:
    return ChatSettings(
        row["slow_mode_seconds"],
        row["followers_only_seconds"],
        row["subscribers_only"],
        row["emote_only"],
        row["unique_chat"],
        LinkPolicy(row["links"]),
    )


def _state(row: Row) -> ChatRoomState:
    terms = msgspec.json.decode(row["terms"] or "[]", type=list[tuple[str, bool, str]])
    return ChatRoomState(
        row["chat_id"],
        row["owner_id"],
        _settings(row),
        stored_message(row) if row["id"] else None,
        Position(row["epoch"], row["last_offset"]),
        tuple(BlockedTerm(text, is_regex, TermAction(action)) for text, is_regex, action in terms),
        row["version"],
    )
