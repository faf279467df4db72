"""All that is kept about one person: to be handed out as a whole, and to be removed as a whole.

Rules:

* What is handed out is named column by column, so that a new secret is not handed out by accident.
* Of a shadow ban the banned one does not learn here either.
* A deleted account keeps its row and its name, which nobody else may take; nothing in it tells who it was.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from storage.database import Executor

MAX_ROWS: Final = 50_000
"""Of each section; only the followers of the very popular are more."""

SECTIONS: Final[Mapping[str, str]] = {
    "profile": """SELECT id, username, email, display_name, bio, avatar, role, state, is_creator, created_at,
                         updated_at, email_verified_at, accepted_terms_at, password_changed_at
                  FROM users WHERE id = $1""",
    "sessions": """SELECT id, created_at, expires_at, last_used_at, address, user_agent, remember, revoked_at
                   FROM sessions WHERE user_id = $1 AND revoked_at IS NULL ORDER BY id DESC""",
    "api-keys": """SELECT id, name, prefix, scopes, created_at, last_used_at, expires_at, revoked_at
                   FROM api_keys WHERE user_id = $1 ORDER BY id DESC""",
    "two-factor": "SELECT created_at, confirmed_at FROM totp_secrets WHERE user_id = $1",
    "security-log": """SELECT at, action, subject_kind, subject_id, address, details
                       FROM audit_log WHERE actor_id = $1 ORDER BY id DESC""",
    "rooms": """SELECT rooms.id, slug, title, description, visibility, category_id, tags, age_restricted,
                       max_viewers, low_latency, scheduled_for, thumbnail, rooms.created_at, updated_at,
                       stream_keys.created_at AS stream_key_created_at,
                       stream_keys.rotated_at AS stream_key_rotated_at
                FROM rooms LEFT JOIN stream_keys ON stream_keys.room_id = rooms.id WHERE owner_id = $1""",
    "broadcasts": """SELECT broadcasts.id, room_id, started_at, ended_at, peak_viewers, end_reason
                     FROM rooms JOIN broadcasts ON broadcasts.room_id = rooms.id WHERE owner_id = $1""",
    "following": """SELECT user_id, username, follows.created_at
                    FROM follows JOIN users ON users.id = user_id
                    WHERE follower_id = $1 ORDER BY follows.created_at DESC, user_id""",
    "followers": """SELECT follower_id, username, follows.created_at
                    FROM follows JOIN users ON users.id = follower_id
                    WHERE user_id = $1 ORDER BY follows.created_at DESC, follower_id""",
    "blocks": """SELECT blocked_id, username, blocks.created_at
                 FROM blocks JOIN users ON users.id = blocked_id
                 WHERE user_id = $1 ORDER BY blocks.created_at DESC, blocked_id""",
    "reports": """SELECT id, subject_kind, subject_id, reason, text, state, created_at, resolved_at
                  FROM reports WHERE reporter_id = $1 ORDER BY id DESC""",
    "notifications": """SELECT id, kind, data, created_at, read_at
                        FROM notifications WHERE user_id = $1 AND in_app ORDER BY id DESC""",
    "notification-preferences": """SELECT kind, in_app, email, push
                                   FROM notification_preferences WHERE user_id = $1""",
    "push-subscriptions": "SELECT id, endpoint, created_at FROM push_subscriptions WHERE user_id = $1",
    "webhook-endpoints": """SELECT id, url, events, description, is_enabled
                            FROM webhook_endpoints WHERE owner_id = $1""",
    "creator-applications": """SELECT id, text, state, created_at, decided_at, note
                               FROM creator_applications WHERE user_id = $1 ORDER BY id DESC""",
    "chat-messages": """SELECT id, room_id, message, reply_to, mentions, created_at, deleted_at,
                               CASE state WHEN 'shadowed' THEN 'visible' ELSE state END AS state
                        FROM chat_messages WHERE user_id = $1 AND message <> '' ORDER BY id DESC""",
    "chat-tips": """SELECT room_id, created_at, data FROM chat_events
                    WHERE kind = 'tip' AND data #>> '{from,userId}' = $1::uuid::text""",
    "wallet": """SELECT transfer.id, transfer.kind, account.kind AS account, account.currency,
                        sum(entry.amount)::bigint AS amount, transfer.reason, transfer.created_at
                 FROM ledger_accounts AS account
                 JOIN ledger_entries AS entry ON entry.account_id = account.id
                 JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id
                 WHERE account.owner_id = $1 GROUP BY transfer.id, account.id
                 ORDER BY transfer.id DESC, min(entry.place)""",
    "gifts-sent": """SELECT id, room_id, receiver_id, gift_slug, quantity, coins, message, created_at
                     FROM gift_transactions WHERE sender_id = $1 ORDER BY id DESC""",
    "gifts-received": """SELECT id, room_id, gift_slug, quantity, coins, earned, currency, created_at
                         FROM gift_transactions WHERE receiver_id = $1 ORDER BY id DESC""",
    "purchases": """SELECT id, description, coins, amount, currency, state, coins_reversed, amount_reversed,
                           created_at, credited_at
                    FROM purchases WHERE user_id = $1 ORDER BY id DESC""",
    "plans": """SELECT id, name, description, is_active, created_at
                FROM plans WHERE creator_id = $1 ORDER BY id""",
    "subscriptions": """SELECT subscriptions.id, creators.username AS creator, plans.name AS plan,
                               billing_interval, amount, plan_prices.currency, subscriptions.state,
                               subscriptions.created_at, started_at, period_end, ended_at
                        FROM subscriptions
                        JOIN users AS creators ON creators.id = subscriptions.creator_id
                        JOIN plan_prices ON plan_prices.id = price_id
                        JOIN plans ON plans.id = plan_id
                        WHERE subscriptions.user_id = $1 ORDER BY subscriptions.id DESC""",
    "payout-settings": """SELECT schedule, minimum, currency, due_at, updated_at
                          FROM payout_settings WHERE user_id = $1""",
    "payout-accounts": """SELECT provider, account, state, created_at
                          FROM payout_accounts WHERE user_id = $1 ORDER BY provider""",
    "payouts": """SELECT id, currency, amount, returned, state, provider, account, problem, created_at,
                         finished_at
                  FROM payouts WHERE user_id = $1 ORDER BY id DESC""",
    "room-bans": """SELECT room_id, until, reason, created_at
                    FROM chat_bans WHERE user_id = $1 AND NOT is_shadow ORDER BY room_id""",
    "room-moderator": """SELECT room_id, created_at
                         FROM chat_moderators WHERE user_id = $1 ORDER BY room_id""",
}
"""What is handed out, by the name of its file. ``$1`` is the user."""

REMOVED: Final = (
    "DELETE FROM follows WHERE follower_id = $1",
    "DELETE FROM blocks WHERE user_id = $1",
    "DELETE FROM blocks WHERE blocked_id = $1",
    "DELETE FROM sessions WHERE user_id = $1",
    "DELETE FROM one_time_codes WHERE user_id = $1",
    "DELETE FROM totp_secrets WHERE user_id = $1",
    "DELETE FROM backup_codes WHERE user_id = $1",
    "DELETE FROM api_keys WHERE user_id = $1",
    "DELETE FROM creator_applications WHERE user_id = $1",
    "DELETE FROM idempotency_keys WHERE user_id = $1",
    "DELETE FROM notifications WHERE user_id = $1",
    "DELETE FROM notification_preferences WHERE user_id = $1",
    "DELETE FROM push_subscriptions WHERE user_id = $1",
    "DELETE FROM room_viewer_days WHERE user_id = $1",
    "DELETE FROM webhook_endpoints WHERE owner_id = $1",
    "DELETE FROM chat_bans WHERE user_id = $1",
    "DELETE FROM chat_moderators WHERE user_id = $1",
    "DELETE FROM creator_shares WHERE user_id = $1",
    "DELETE FROM gift_totals WHERE user_id = $1",
    "DELETE FROM payout_settings WHERE user_id = $1",
    "DELETE FROM payout_accounts WHERE user_id = $1",
    "DELETE FROM discount_uses WHERE user_id = $1",
    "UPDATE gift_transactions SET message = '' WHERE sender_id = $1 AND message <> ''",
    "UPDATE reports SET text = '' WHERE reporter_id = $1",
    """UPDATE chat_events SET data = data || '{"message": ""}'
       WHERE kind = 'tip' AND data #>> '{from,userId}' = $1::uuid::text""",
)

KEPT: Final = frozenset(
    (
        "follows.user_id",
        "follow_counts.user_id",
        "rooms.owner_id",
        "reports.reporter_id",
        "reports.resolved_by",
        "creator_applications.decided_by",
        "ledger_accounts.owner_id",
        "welcomed_users.user_id",
        "plans.creator_id",
        "subscriptions.user_id",
        "payouts.user_id",
        "subscriptions.creator_id",
        "discount_codes.user_id",
    )
)
"""What points to users and is not in REMOVED: it tells nothing of who it was, or goes by another way."""

_REMOVE_FOLLOWERS: Final = """
    WITH removed AS (
        DELETE FROM follows WHERE ctid = ANY (ARRAY(SELECT ctid FROM follows WHERE user_id = $1 LIMIT $2))
        RETURNING 1)
    SELECT count(*) FROM removed"""

_BLANK_MESSAGES: Final = """
    WITH blanked AS (
        UPDATE chat_messages SET message = '', username = 'Deleted user', display_name = 'Deleted user',
               mentions = '[]', hold_reason = NULL, deleted_at = coalesce(deleted_at, now())
        FROM (SELECT id, room_id FROM chat_messages
              WHERE user_id = $1 AND message <> '' ORDER BY id LIMIT $2) AS found
        WHERE chat_messages.id = found.id AND chat_messages.room_id = found.room_id
        RETURNING 1)
    SELECT count(*) FROM blanked"""

BATCH_ROWS: Final = 50_000
"""So many rows are deleted at once: a million in one command would take longer than a command may."""

BATCH_MESSAGES: Final = 10_000
"""To write a message anew takes longer than to delete a row."""

_SCRUB: Final = """
    UPDATE users SET email = 'deleted-' || id || '@deleted.invalid', display_name = 'Deleted user', bio = '',
           avatar = NULL, is_creator = false, password_hash = '!', role = 'user', state = 'deleted',
           email_verified_at = NULL, updated_at = now()
    WHERE id = $1"""


@dataclass(frozen=True, slots=True)
class RemovedAccount:
    """What went with an account: its rooms, and the names of objects that nothing points to any more."""

    room_ids: tuple[UUID, ...]
    avatar: str | None
    thumbnails: tuple[str, ...]


class AccountData:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def export(self, user_id: UUID) -> dict[str, bytes]:
        """Each of SECTIONS as a JSON array of at most MAX_ROWS objects."""
        return {name: await self._section(sql, user_id) for name, sql in SECTIONS.items()}

    async def remove(self, user_id: UUID) -> RemovedAccount:
        """Call it in a transaction: the account is deleted as a whole or not at all."""
        avatar = await self._database.fetch_value(
            "SELECT avatar FROM users WHERE id = $1 FOR UPDATE", user_id
        )
        # First, because what follows notifies of people who are active only.
        await self._database.execute(_SCRUB, user_id)
        while await self._database.fetch_value(_REMOVE_FOLLOWERS, user_id, BATCH_ROWS) == BATCH_ROWS:
            pass
        rooms = await self._database.fetch(
            "SELECT id, thumbnail FROM rooms WHERE owner_id = $1 ORDER BY id FOR UPDATE", user_id
        )
        await self._lock_chats(user_id, {room["id"] for room in rooms})
        await self._blank_messages(user_id)
        for room in rooms:
            await self._database.execute("DELETE FROM rooms WHERE id = $1", room["id"])
        for sql in REMOVED:
            await self._database.execute(sql, user_id)
        return RemovedAccount(
            tuple(room["id"] for room in rooms),
            avatar,
            tuple(room["thumbnail"] for room in rooms if room["thumbnail"]),
        )

    async def _lock_chats(self, user_id: UUID, owned: Set[UUID]) -> None:
        """Those that the user owns, as if deleted; those where the user has written, against deletion alone.

        In the order of their ids and before any message, as all do: two owners who leave at once, each
        with messages in the other's room, would otherwise wait for each other for ever.
        """
        written = await self._database.fetch(
            "SELECT DISTINCT room_id FROM chat_messages WHERE user_id = $1 AND message <> ''", user_id
        )
        for room_id in sorted({row["room_id"] for row in written} | owned):
            strength = "UPDATE" if room_id in owned else "KEY SHARE"
            await self._database.execute(f"SELECT FROM chat_rooms WHERE room_id = $1 FOR {strength}", room_id)

    async def _blank_messages(self, user_id: UUID) -> None:
        """Their places in the rooms' logs stay."""
        while await self._database.fetch_value(_BLANK_MESSAGES, user_id, BATCH_MESSAGES) == BATCH_MESSAGES:
            pass

    async def _section(self, sql: str, user_id: UUID) -> bytes:
        """PostgreSQL writes the JSON, as bytes: thousands of rows, or megabytes to decode, block the loop."""
        section: bytes = await self._database.fetch_value(
            f"""SELECT convert_to(coalesce(json_agg(section), '[]')::text, 'UTF8')
                FROM ({sql} LIMIT {MAX_ROWS}) AS section""",
            user_id,
        )
        return section
