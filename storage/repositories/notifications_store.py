"""Notifications: what users were told, and what they want to hear on which way.

Several nodes may do the same at once: of one source a user hears once. What is queued here is worked off by
storage.repositories.notification_outbox.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from storage.database import Executor, Row
from storage.ids import new_id


@dataclass(frozen=True, slots=True)
class Channels:
    """The ways on which a kind of notification goes out."""

    in_app: bool
    email: bool
    push: bool


@dataclass(frozen=True, slots=True)
class News:
    """What is told. ``actor_id`` is who caused it: nobody hears of those they blocked or are blocked by."""

    kind: str
    data: Mapping[str, Any]
    source: str | None = None
    actor_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    id: UUID
    kind: str
    data: dict[str, Any]
    created_at: datetime
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Added:
    """A new notification; only with ``in_app`` is it in the user's list."""

    id: UUID
    user_id: UUID
    in_app: bool


@dataclass(frozen=True, slots=True)
class StoredPreferences:
    """By kind; kinds that the user never set are not in it. ``version`` counts the changes."""

    channels: Mapping[str, Channels]
    version: int


@dataclass(frozen=True, slots=True)
class Person:
    username: str
    display_name: str


_COLUMNS: Final = "id, kind, data, created_at, read_at"

ADD: Final = """
    WITH wanted AS (
        SELECT target.id, target.user_id, coalesce(preference.in_app, $6) AS in_app,
               coalesce(preference.email, $7) AS email, coalesce(preference.push, $8) AS push
        FROM unnest($1::uuid[], $2::uuid[]) AS target (id, user_id)
        JOIN users ON users.id = target.user_id AND users.state = 'active'
        LEFT JOIN notification_preferences AS preference
               ON preference.user_id = target.user_id AND preference.kind = $3
        WHERE NOT EXISTS (SELECT FROM blocks WHERE user_id = target.user_id AND blocked_id = $9)
          AND NOT EXISTS (SELECT FROM blocks WHERE user_id = $9 AND blocked_id = target.user_id)
    ), added AS (
        INSERT INTO notifications (id, user_id, kind, source, data, in_app)
        SELECT id, user_id, $3, $4, $5::jsonb, in_app FROM wanted WHERE in_app OR email OR push
        ON CONFLICT (user_id, kind, source) DO NOTHING
        RETURNING id, user_id, in_app
    ), queued AS (
        INSERT INTO notification_deliveries (notification_id, channel, subscription_id)
        SELECT id, 'email', NULL FROM added JOIN wanted USING (id) WHERE email
        UNION ALL
        SELECT added.id, 'push', subscription.id FROM added JOIN wanted USING (id)
        JOIN push_subscriptions AS subscription ON subscription.user_id = added.user_id WHERE push
    )
    SELECT id, user_id, in_app FROM added"""


class NotificationStore:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, user_ids: Sequence[UUID], news: News, defaults: Channels) -> list[Added]:
        """Tell ``user_ids`` by their preferences, or ``defaults``; the new rows.

        Whoever is not active, wants none of it or heard it from this source before is left out.
        """
        rows = await self._database.fetch(
            ADD,
            [new_id() for _ in user_ids],
            user_ids,
            news.kind,
            news.source,
            msgspec.json.encode(news.data).decode(),
            defaults.in_app,
            defaults.email,
            defaults.push,
            news.actor_id,
        )
        return [Added(*row) for row in rows]

    async def find_person(self, user_id: UUID) -> Person | None:
        """How to call ``user_id`` in a notification."""
        row = await self._database.fetch_row(
            "SELECT username, display_name FROM users WHERE id = $1", user_id
        )
        return Person(*row) if row else None

    async def page(self, user_id: UUID, before: UUID | None, limit: int) -> list[Notification]:
        """The newest first, those before ``before``."""
        rows = await self._database.fetch(
            f"""SELECT {_COLUMNS} FROM notifications
                WHERE user_id = $1 AND in_app AND ($2::uuid IS NULL OR id < $2)
                ORDER BY id DESC LIMIT $3""",
            user_id,
            before,
            limit,
        )
        return [_notification(row) for row in rows]

    async def unread_page(self, user_id: UUID, before: UUID | None, limit: int) -> list[Notification]:
        rows = await self._database.fetch(
            f"""SELECT {_COLUMNS} FROM notifications
                WHERE user_id = $1 AND in_app AND read_at IS NULL AND ($2::uuid IS NULL OR id < $2)
                ORDER BY id DESC LIMIT $3""",
            user_id,
            before,
            limit,
        )
        return [_notification(row) for row in rows]

    async def count_unread(self, user_id: UUID, most: int) -> int:
        """At most ``most``."""
        count: int = await self._database.fetch_value(
            """SELECT count(*) FROM (SELECT FROM notifications
               WHERE user_id = $1 AND in_app AND read_at IS NULL LIMIT $2) AS unread""",
            user_id,
            most,
        )
        return count

    async def mark_read(self, user_id: UUID, ids: Sequence[UUID]) -> int:
        """How many of ``ids`` were the user's and unread."""
        rows = await self._database.fetch(
            """UPDATE notifications SET read_at = now()
               WHERE id = ANY($2::uuid[]) AND user_id = $1 AND in_app AND read_at IS NULL RETURNING 1""",
            user_id,
            ids,
        )
        return len(rows)

    async def mark_all_read(self, user_id: UUID) -> int:
        count: int = await self._database.fetch_value(
            """WITH marked AS (UPDATE notifications SET read_at = now()
                               WHERE user_id = $1 AND in_app AND read_at IS NULL RETURNING 1)
               SELECT count(*) FROM marked""",
            user_id,
        )
        return count

    async def delete_older(self, moment: datetime, limit: int) -> int:
        """Forget at most ``limit`` notifications from before ``moment``; how many they were."""
        rows = await self._database.fetch(
            """DELETE FROM notifications WHERE id IN (
                   SELECT id FROM notifications WHERE id < $1 ORDER BY id LIMIT $2) RETURNING 1""",
            # Ids begin with their time in milliseconds.
            UUID(int=int(moment.timestamp() * 1000) << 80),
            limit,
        )
        return len(rows)

    async def preferences(self, user_id: UUID) -> StoredPreferences | None:
        """None for nobody's id."""
        rows = await self._database.fetch(
            """SELECT users.notification_version, wish.kind, wish.in_app, wish.email, wish.push
               FROM users LEFT JOIN notification_preferences AS wish ON wish.user_id = users.id
               WHERE users.id = $1""",
            user_id,
        )
        if not rows:
            return None
        channels = {
            row["kind"]: Channels(row["in_app"], row["email"], row["push"])
            for row in rows
            if row["kind"] is not None
        }
        return StoredPreferences(channels, rows[0]["notification_version"])

    async def set_preferences(
        self, user_id: UUID, preferences: Mapping[str, Channels], version: int | None = None
    ) -> bool:
        """Kinds that are not in ``preferences`` stay as they are.

        False, and nothing is set, for nobody's id and where the version is another.
        """
        changed: int | None = await self._database.fetch_value(
            """WITH changed AS (
                   UPDATE users SET notification_version = notification_version + 1
                   WHERE id = $1 AND ($2::integer IS NULL OR notification_version = $2)
                   RETURNING id, notification_version
               ), written AS (
                   INSERT INTO notification_preferences (user_id, kind, in_app, email, push)
                   SELECT changed.id, wanted.*
                   FROM changed, unnest($3::text[], $4::bool[], $5::bool[], $6::bool[]) AS wanted
                   ON CONFLICT (user_id, kind) DO UPDATE
                   SET in_app = excluded.in_app, email = excluded.email, push = excluded.push
               )
               SELECT notification_version FROM changed""",
            user_id,
            version,
            list(preferences),
            [channels.in_app for channels in preferences.values()],
            [channels.email for channels in preferences.values()],
            [channels.push for channels in preferences.values()],
        )
        return changed is not None


def _notification(row: Row) -> Notification:
    return Notification(
        row["id"], row["kind"], msgspec.json.decode(row["data"]), row["created_at"], row["read_at"]
    )
