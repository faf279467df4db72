"""Giving: what decides on orders that came together, and the one statement that pays for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id
from storage.repositories.gifts import GIFT_COLUMNS, Gift, gift_of
from storage.repositories.ledger import TransferKind
from storage.repositories.playback import Standing, standing_of
from storage.repositories.rooms import IS_LIVE

COMBO_SECONDS: Final = 10
"""The same gift again within so long goes on counting."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants to give what where. ``gift_id`` is None for a tip."""

    sender_id: UUID
    room_id: UUID
    scope: str
    key: str
    gift_id: UUID | None


@dataclass(frozen=True, slots=True)
class GivenOnce:
    """What was done under a key, for who asks again."""

    id: UUID
    gift_id: UUID | None
    quantity: int
    coins: int
    combo: int
    message: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Before:
    """What was done under the key already. ``given`` is None when that was no gift."""

    fingerprint: str
    given: GivenOnce | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides on an order, all of one moment.

    ``standing`` is None when there is no such room. Of a shadow ban the banned one does not learn by
    ``is_banned`` either. ``percent`` is None without an override. ``is_owed_bonus`` says that the sender may
    have the welcome bonus, unless their address has had it. Accounts that are not there yet are None.
    """

    before: Before | None
    standing: Standing | None
    is_live: bool
    is_banned: bool
    percent: int | None
    gift: Gift | None
    is_owed_bonus: bool
    wallet_id: int | None
    coins: int
    earnings_id: int | None


@dataclass(frozen=True, slots=True)
class Payment:
    """A gift, or a tip with neither ``gift_id`` nor ``gift_slug``."""

    kind: TransferKind
    scope: str
    key: str
    fingerprint: str
    room_id: UUID
    sender_id: UUID
    receiver_id: UUID
    gift_id: UUID | None
    gift_slug: str
    quantity: int
    coins: int
    earned: int
    message: str
    wallet_id: int
    earnings_id: int | None


@dataclass(frozen=True, slots=True)
class Platform:
    """The server's own accounts: for the coins, and for money in ``currency``."""

    coins_id: int
    money_id: int
    currency: str


# PostgreSQL plans a statement anew each time as long as it believes that the arguments' lengths make a
# difference, and for so many tables planning takes longer than the work: OFFSET 0 hides the lengths from it.
# LIMIT 1 leaves it nothing but to look each row up, whatever it thinks of the tables' sizes: they grow fast.
_FACTS: Final = f"""
    SELECT before.fingerprint, before.given_id, before.gift_id, before.quantity, before.coins, before.combo,
           before.message, before.created_at,
           room.id AS room_id, room.owner_id, room.owner_state, room.visibility, room.age_restricted,
           room.max_viewers, asked.sender_id AS user_id, sender.role, sender.state,
           (SELECT true FROM subscriptions
            WHERE user_id = asked.sender_id AND creator_id = room.owner_id AND subscriptions.state <> 'ended'
              AND gives_access LIMIT 1) IS NOT NULL AS is_subscriber,
           (SELECT true FROM follows
            WHERE follower_id = asked.sender_id AND user_id = room.owner_id LIMIT 1) IS NOT NULL
               AS is_follower,
           (SELECT true FROM blocks
            WHERE user_id = room.owner_id AND blocked_id = asked.sender_id LIMIT 1) IS NOT NULL
               AS is_blocked,
           (SELECT true FROM chat_moderators
            WHERE room_id = room.id AND user_id = asked.sender_id LIMIT 1) IS NOT NULL
               AS is_moderator,
           (SELECT true FROM room_live_state
            WHERE room_id = room.id AND {IS_LIVE} LIMIT 1) IS NOT NULL AS is_live,
           (SELECT true FROM chat_bans
            WHERE room_id = room.id AND user_id = asked.sender_id AND NOT is_shadow
              AND (until IS NULL OR until > now()) LIMIT 1) IS NOT NULL AS is_banned,
           (SELECT percent FROM creator_shares WHERE user_id = room.owner_id LIMIT 1) AS percent,
           sender.state = 'active' AND sender.email_verified_at IS NOT NULL
               AND (SELECT true FROM welcomed_users
                    WHERE user_id = asked.sender_id LIMIT 1) IS NULL
               AS is_owed_bonus,
           wallet.id AS wallet_id, wallet.balance,
           (SELECT id FROM ledger_accounts
            WHERE owner_id = room.owner_id AND kind = 'earnings' AND currency = $6 LIMIT 1) AS earnings_id,
           gift.id AS offered_id, gift.slug, gift.name, gift.price_coins, gift.picture, gift.animation,
           gift.is_active
    FROM (SELECT $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[] OFFSET 0) AS lists (a, b, c, d, e)
    CROSS JOIN LATERAL unnest(a, b, c, d, e) WITH ORDINALITY
         AS asked (sender_id, room_id, scope, key, gift_id, place)
    LEFT JOIN LATERAL (
        SELECT transfer.fingerprint, given.id AS given_id, given.gift_id, given.quantity, given.coins,
               given.combo, given.message, given.created_at
        FROM ledger_transfers AS transfer LEFT JOIN gift_transactions AS given ON given.id = transfer.id
        WHERE transfer.scope = asked.scope AND transfer.key = asked.key LIMIT 1) AS before ON true
    LEFT JOIN LATERAL (
        SELECT role, state, email_verified_at FROM users WHERE id = asked.sender_id LIMIT 1
        ) AS sender ON true
    LEFT JOIN LATERAL (
        SELECT rooms.id, owner_id, visibility, age_restricted, max_viewers, owners.state AS owner_state
        FROM rooms JOIN users AS owners ON owners.id = rooms.owner_id
        WHERE rooms.id = asked.room_id LIMIT 1) AS room ON true
    LEFT JOIN LATERAL (
        SELECT account.id, held.balance
        FROM ledger_accounts AS account JOIN ledger_balances AS held ON held.account_id = account.id
        WHERE owner_id = asked.sender_id AND kind = 'wallet' AND currency = 'coin' LIMIT 1) AS wallet ON true
    LEFT JOIN LATERAL (
        SELECT {GIFT_COLUMNS} FROM gifts WHERE id = asked.gift_id LIMIT 1) AS gift ON true
    ORDER BY asked.place"""

_PAY: Final = f"""
    WITH asked AS MATERIALIZED (
        SELECT asked.*
        FROM (SELECT $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::uuid[],
                     $8::uuid[], $9::uuid[], $10::text[], $11::integer[], $12::bigint[], $13::bigint[],
                     $14::text[], $15::bigint[], $16::bigint[] OFFSET 0)
             AS lists (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
        CROSS JOIN LATERAL unnest(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
             AS asked (id, kind, scope, key, fingerprint, room_id, sender_id, receiver_id, gift_id,
                       gift_slug, quantity, coins, earned, message, wallet_id, earnings_id)
    ), transfers AS (
        INSERT INTO ledger_transfers (id, kind, scope, key, fingerprint)
        SELECT id, kind, scope, key, fingerprint FROM asked ORDER BY scope, key
        ON CONFLICT ON CONSTRAINT ledger_transfers_once DO NOTHING RETURNING id
    ), paid AS MATERIALIZED (
        SELECT asked.* FROM asked JOIN transfers ON transfers.id = asked.id
    ), entries AS (
        INSERT INTO ledger_entries (transfer_id, place, account_id, shard, currency, amount)
        SELECT paid.id, line.place, account.id, pg_backend_pid() % account.shards, account.currency,
               line.amount
        FROM paid CROSS JOIN LATERAL (VALUES
            (1, wallet_id, -coins), (2, $17::bigint, coins),
            (3, $18::bigint, -earned), (4, earnings_id, earned)) AS line (place, account_id, amount)
        CROSS JOIN LATERAL (
            SELECT id, shards, currency FROM ledger_accounts WHERE id = line.account_id LIMIT 1) AS account
        WHERE line.amount <> 0
    ), given AS (
        INSERT INTO gift_transactions (id, room_id, sender_id, receiver_id, gift_id, gift_slug, quantity,
                                       coins, earned, currency, message, combo)
        SELECT id, room_id, sender_id, receiver_id, gift_id, gift_slug, quantity, coins, earned, $19, message,
               coalesce((
                   SELECT CASE WHEN last.gift_id = paid.gift_id AND last.room_id = paid.room_id
                                    AND last.created_at > now() - interval '{COMBO_SECONDS} seconds'
                               THEN least(last.combo::bigint + quantity, 1000000)::integer END
                   FROM (SELECT gift_id, room_id, created_at, combo FROM gift_transactions
                         WHERE sender_id = paid.sender_id ORDER BY id DESC LIMIT 1) AS last), quantity)
        FROM paid
        RETURNING id, gift_id, quantity, coins, combo, message, created_at
    ), told AS (
        INSERT INTO gift_outbox (id) SELECT id FROM paid
    )
    SELECT id, gift_id, quantity, coins, combo, message, created_at FROM given"""


class GiftOrders:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def facts(self, asked: Sequence[Asked], currency: str) -> list[Facts]:
        """In the same order. ``currency`` is the one of creators' earnings."""
        rows = await self._database.fetch(
            _FACTS,
            [each.sender_id for each in asked],
            [each.room_id for each in asked],
            [each.scope for each in asked],
            [each.key for each in asked],
            [each.gift_id for each in asked],
            currency,
        )
        return [_facts(row) for row in rows]

    async def pay(self, payments: Sequence[Payment], platform: Platform) -> list[GivenOnce | None]:
        """Move the coins, write down what is given and queue it to be told: all, or nothing.

        In the same order; None for one whose key was used before, of which nothing was done. No sender may be
        there twice: combos count from what was given before this. Raises InvalidValue ``NO_OVERDRAFT`` when
        somebody has not enough.
        """
        ids = [new_id() for _ in payments]
        rows = await self._database.fetch(
            _PAY,
            ids,
            *_columns(payments),
            platform.coins_id,
            platform.money_id,
            platform.currency,
        )
        given = {row["id"]: GivenOnce(*row) for row in rows}
        return [given.get(transfer_id) for transfer_id in ids]


def _columns(payments: Sequence[Payment]) -> list[list[Any]]:
    """The arguments of _PAY from $2 to $16."""
    rows = [
        (
            each.kind.value,
            each.scope,
            each.key,
            each.fingerprint,
            each.room_id,
            each.sender_id,
            each.receiver_id,
            each.gift_id,
            each.gift_slug,
            each.quantity,
            each.coins,
            each.earned,
            each.message,
            each.wallet_id,
            each.earnings_id,
        )
        for each in payments
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def _facts(row: Row) -> Facts:
    before = None
    if row["fingerprint"] is not None:
        before = Before(row["fingerprint"], GivenOnce(*row[1:8]) if row["given_id"] is not None else None)
    return Facts(
        before=before,
        standing=standing_of(row) if row["room_id"] is not None else None,
        is_live=row["is_live"],
        is_banned=row["is_banned"],
        percent=row["percent"],
        gift=gift_of(row[-7:]) if row["offered_id"] is not None else None,
        is_owed_bonus=bool(row["is_owed_bonus"]),
        wallet_id=row["wallet_id"],
        coins=row["balance"] or 0,
        earnings_id=row["earnings_id"],
    )
