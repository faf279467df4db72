"""Who may do what in a room's chat: moderators, and those who were banned or timed out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from storage.database import Executor, Row
from storage.repositories.chat_log import MAKE_ROOMS, Mention, checked_text
from storage.repositories.users import Role, UserState


@dataclass(frozen=True, slots=True)
class Ban:
    """A timeout has an ``until``, a ban has none. Of a shadow ban the banned one does not learn."""

    room_id: UUID
    user_id: UUID
    username: str
    until: datetime | None
    is_shadow: bool
    reason: str
    created_by: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RoomPerson:
    """What somebody is in a room. ``ban`` is None unless it still runs."""

    user_id: UUID
    username: str
    display_name: str
    site_role: Role
    is_owner: bool
    is_moderator: bool
    followed_at: datetime | None
    ban: Ban | None
    state: UserState
    is_subscriber: bool = False


@dataclass(frozen=True, slots=True)
class ChatModerator:
    user_id: UUID
    username: str
    display_name: str
    added_by: UUID
    created_at: datetime


MAX_NAMES: Final = 10
MAX_MODERATORS_LISTED: Final = 500
MAX_FORGOTTEN: Final = 10_000

_USERNAME: Final = re.compile(r"[A-Za-z0-9_]{3,30}")
_ROOM_FIRST: Final = "(SELECT FROM chat_rooms WHERE room_id = $1 FOR KEY SHARE) AS room"
"""As one who deletes the room: neither then waits for the other for ever."""
_RUNS: Final = "(until IS NULL OR until > now())"
_STAYS: Final = """$3::timestamptz IS NOT NULL
    AND (chat_bans.until IS NULL OR (chat_bans.until > now() AND chat_bans.is_shadow AND NOT $4))"""
"""Of a ban when another comes: what ends takes the place of neither what does not nor a shadow ban."""
_BAN: Final = """room_id, user_id, username, until, is_shadow, reason, chat_bans.created_by,
    chat_bans.created_at"""

_PERSON: Final = f"""
    SELECT users.id, username, display_name, role, state, owner_id = users.id AS is_owner,
           EXISTS (SELECT FROM chat_moderators
                   WHERE room_id = rooms.id AND user_id = users.id) AS is_moderator,
           EXISTS (SELECT FROM subscriptions
                   WHERE user_id = users.id AND creator_id = owner_id
                     AND state <> 'ended' AND gives_access) AS is_subscriber,
           follows.created_at AS followed_at,
           chat_bans.room_id, chat_bans.user_id, until, is_shadow, reason, created_by, chat_bans.created_at
    FROM rooms JOIN users ON users.id = $2 AND users.state <> 'deleted'
    LEFT JOIN follows ON follower_id = users.id AND follows.user_id = owner_id
    LEFT JOIN chat_bans ON chat_bans.room_id = rooms.id AND chat_bans.user_id = users.id AND {_RUNS}
    WHERE rooms.id = $1"""


class ChatPeople:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def person(self, room_id: UUID, user_id: UUID) -> RoomPerson | None:
        """None: no such room, or no such account."""
        row = await self._database.fetch_row(_PERSON, room_id, user_id)
        return _person(row) if row else None

    async def ban(
        self,
        room_id: UUID,
        user_id: UUID,
        by: UUID,
        until: datetime | None = None,
        is_shadow: bool = False,
        reason: str = "",
    ) -> Ban | None:
        """Takes the place of a ban before; None if that one is stronger, and stays (see ``_STAYS``).

        Raises InvalidValue: nobody, no such room, an end in the past.
        """
        checked_text("chat_bans_reason_valid", reason)
        await self._hold(room_id, user_id)
        row = await self._database.fetch_row(
            f"""WITH chat_bans AS (
                    INSERT INTO chat_bans (room_id, user_id, until, is_shadow, reason, created_by)
                    VALUES ($1, $2, $3, $4, $5, $6)
                    ON CONFLICT (room_id, user_id) DO UPDATE SET until = $3, is_shadow = $4, reason = $5,
                        created_by = $6, created_at = now()
                    WHERE NOT ({_STAYS})
                    RETURNING *)
                SELECT {_BAN} FROM chat_bans JOIN users ON users.id = user_id""",
            room_id,
            user_id,
            until,
            is_shadow,
            reason,
            by,
        )
        return _ban(row) if row else None

    async def find_ban(self, room_id: UUID, user_id: UUID) -> Ban | None:
        """One that runs."""
        row = await self._database.fetch_row(
            f"""SELECT {_BAN} FROM chat_bans JOIN users ON users.id = user_id
                WHERE room_id = $1 AND user_id = $2 AND {_RUNS}""",
            room_id,
            user_id,
        )
        return _ban(row) if row else None

    async def unban(self, room_id: UUID, user_id: UUID) -> Ban | None:
        """What is lifted by it, if it still ran."""
        row = await self._database.fetch_row(
            f"""DELETE FROM chat_bans USING users, {_ROOM_FIRST}
                WHERE room_id = $1 AND user_id = $2 AND users.id = $2 AND {_RUNS} RETURNING {_BAN}""",
            room_id,
            user_id,
        )
        return _ban(row) if row else None

    async def bans(self, room_id: UUID, limit: int, after: UUID | None = None) -> list[Ban]:
        """Those that still run, by the ids of the users; ``after`` is the last user of the page before."""
        rows = await self._database.fetch(
            f"""SELECT {_BAN} FROM chat_bans JOIN users ON users.id = user_id
                WHERE room_id = $1 AND user_id > $3 AND {_RUNS} ORDER BY user_id LIMIT $2""",
            room_id,
            limit,
            after or UUID(int=0),
        )
        return [_ban(row) for row in rows]

    async def forget_expired(self) -> int:
        """Delete timeouts that are over, at most MAX_FORGOTTEN. How many there were."""
        count: int = await self._database.fetch_value(
            f"""WITH forgotten AS (
                    DELETE FROM chat_bans WHERE ctid = ANY (ARRAY(
                        SELECT ctid FROM chat_bans WHERE until <= now() LIMIT {MAX_FORGOTTEN}
                        FOR UPDATE SKIP LOCKED))
                    AND until <= now() RETURNING 1)
                SELECT count(*) FROM forgotten"""
        )
        return count

    async def add_moderator(self, room_id: UUID, user_id: UUID, by: UUID) -> bool:
        """Whether that is new. Raises InvalidValue: nobody, or no such room."""
        await self._hold(room_id, user_id)
        added = await self._database.fetch_value(
            """INSERT INTO chat_moderators (room_id, user_id, added_by) VALUES ($1, $2, $3)
               ON CONFLICT DO NOTHING RETURNING true""",
            room_id,
            user_id,
            by,
        )
        if added is not None:
            await self._tell_relation(room_id, user_id)
        return added is not None

    async def remove_moderator(self, room_id: UUID, user_id: UUID) -> bool:
        """Whether it was so before."""
        removed = await self._database.fetch_value(
            f"""DELETE FROM chat_moderators USING {_ROOM_FIRST}
                WHERE room_id = $1 AND user_id = $2 RETURNING true""",
            room_id,
            user_id,
        )
        if removed is not None:
            await self._tell_relation(room_id, user_id)
        return removed is not None

    async def _hold(self, room_id: UUID, user_id: UUID) -> None:
        """First the user, then the room, as one who deletes either: nobody waits for ever.

        The foreign keys would take the room first, or, where a row is there already, not at all.
        """
        await self._database.execute("SELECT FROM users WHERE id = $1 FOR KEY SHARE", user_id)
        await self._database.execute(MAKE_ROOMS, [room_id])
        await self._database.execute("SELECT FROM chat_rooms WHERE room_id = $1 FOR KEY SHARE", room_id)

    async def _tell_relation(self, room_id: UUID, user_id: UUID) -> None:
        """To every node, as triggers tell of follows: moderators may watch what others may not."""
        await self._database.execute(
            """SELECT pg_notify('mediaserver', json_build_object(
                   'kind', 'relation', 'user_id', $2::uuid, 'owner_id', owner_id)::text)
               FROM rooms WHERE id = $1""",
            room_id,
            user_id,
        )

    async def moderators(self, room_id: UUID) -> list[ChatModerator]:
        """The newest first, MAX_MODERATORS_LISTED at most."""
        rows = await self._database.fetch(
            f"""SELECT user_id, username, display_name, added_by, chat_moderators.created_at
                FROM chat_moderators JOIN users ON users.id = user_id
                WHERE room_id = $1 ORDER BY chat_moderators.created_at DESC, user_id
                LIMIT {MAX_MODERATORS_LISTED}""",
            room_id,
        )
        return [ChatModerator(*row) for row in rows]

    async def find_names(self, usernames: Sequence[str]) -> list[Mention]:
        """The active users of the first MAX_NAMES that can be names, in no order. Case does not count."""
        names = [name.lower() for name in usernames if _USERNAME.fullmatch(name)][:MAX_NAMES]
        rows = await self._database.fetch(
            """SELECT id, username FROM users
               WHERE lower(username) = ANY($1::text[]) AND state = 'active'""",
            names,
        )
        return [Mention(row["id"], row["username"]) for row in rows]


def _ban(row: Row) -> Ban:
    return Ban(
        row["room_id"],
        row["user_id"],
        row["username"],
        row["until"],
        row["is_shadow"],
        row["reason"],
        row["created_by"],
        row["created_at"],
    )


def _person(row: Row) -> RoomPerson:
    return RoomPerson(
        row["id"],
        row["username"],
        row["display_name"],
        Role(row["role"]),
        row["is_owner"],
        row["is_moderator"],
        row["followed_at"],
        _ban(row) if row["room_id"] else None,
        UserState(row["state"]),
        row["is_subscriber"],
    )
