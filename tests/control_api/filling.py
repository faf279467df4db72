"""Rows for the tables that ``bench seed`` leaves empty: queries are planned as on a busy server."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import asyncpg

ROWS = 10_000
"""Of fewer, to read them all costs about as much as to find twenty by an index: either may be planned."""
_DIGEST = "sha256(id::text::bytea)"
_USERS = "FROM users ORDER BY users.id LIMIT $1"
_ROOMS = "FROM rooms ORDER BY rooms.id LIMIT $1"
_SINCE = "timestamptz '2026-01-01'"
FILLINGS: Mapping[str, str] = {
    "stream_keys": f"(room_id, key_hash) SELECT id, {_DIGEST} {_ROOMS}",
    "sessions": f"""(id, user_id, refresh_hash, expires_at, address, user_agent)
        SELECT gen_random_uuid(), id, {_DIGEST}, now() + interval '1 day', '192.0.2.1', 'x' {_USERS}""",
    "web_sessions": f"""(key_hash, session_id, data, expires_at)
        SELECT {_DIGEST}, id, '{{}}', expires_at FROM sessions LIMIT $1""",
    "one_time_codes": f"""(user_id, purpose, code_hash, expires_at)
        SELECT id, 'verify_email', {_DIGEST}, now() + interval '1 day' {_USERS}""",
    "totp_secrets": f"(user_id, secret) SELECT id, {_DIGEST} {_USERS}",
    "backup_codes": f"(user_id, code_hash) SELECT id, {_DIGEST} {_USERS}",
    "api_keys": f"""(id, user_id, name, prefix, key_hash, scopes)
        SELECT gen_random_uuid(), id, 'x', 'msk_x', {_DIGEST}, '{{rooms:read}}' {_USERS}""",
    "audit_log": f"""(id, actor_id, action, subject_kind, subject_id, address)
        SELECT gen_random_uuid(), id, username, 'user', id::text, '192.0.2.1' {_USERS}""",
    "blocks": "(user_id, blocked_id) SELECT follower_id, user_id FROM follows LIMIT $1",
    "reports": f"""(id, reporter_id, subject_kind, subject_id, reason, state, resolved_at, resolved_by)
        SELECT id, id, 'user', id, 'spam', 'dismissed', now(), id {_USERS}""",
    "creator_applications": f"""(id, user_id, text, state, decided_at, decided_by)
        SELECT id, id, 'x', 'approved', now(), id {_USERS}""",
    "room_minutes": f"""(room_id, minute, node, peak_viewers, watch_seconds, live_seconds, joins,
        followers_gained) SELECT id, {_SINCE}, 'x', 1, 1, 1, 1, 1 {_ROOMS}""",
    "room_hours": f"""(room_id, hour, peak_viewers, watch_seconds, live_seconds, joins, followers_gained)
        SELECT id, {_SINCE}, 1, 1, 1, 1, 1 {_ROOMS}""",
    "room_player_days": f"""(room_id, day, protocol, device, joins, watch_seconds, stalls, errors)
        SELECT id, date '2026-01-01', 'flv', 'web', 1, 1, 1, 1 {_ROOMS}""",
    "room_viewer_days": f"""(room_id, user_id, day, watch_seconds)
        SELECT id, owner_id, date '2026-01-01', 1 {_ROOMS}""",
    "analytics_writes": f"""(writer, minute)
        SELECT 'x', {_SINCE} + n * interval '1 minute' FROM generate_series(1, $1) AS n""",
    "notifications": f"""(id, user_id, kind, source, data)
        SELECT gen_random_uuid(), id, 'follow', id::text, '{{}}' {_USERS}""",
    "notification_preferences": f"""(user_id, kind, in_app, email, push)
        SELECT id, 'follow', true, false, false {_USERS}""",
    "push_subscriptions": f"""(id, user_id, endpoint, p256dh, auth)
        SELECT id, id, 'https://push.invalid/' || id, 'x', 'x' {_USERS}""",
    "notification_deliveries": """(notification_id, channel, due_at)
        SELECT id, 'email', now() + interval '1 day' FROM notifications LIMIT $1""",
    "notification_fanouts": """(broadcast_id, advanced_at)
        SELECT id, started_at FROM broadcasts ORDER BY id LIMIT $1 ON CONFLICT DO NOTHING""",
    "webhook_endpoints": f"""(id, owner_id, url, events, secret)
        SELECT id, id, 'https://hooks.invalid/', '{{follow}}', {_DIGEST} {_USERS}""",
    "webhook_outbox": f"(kind, owner_id, data) SELECT 'follow', id, '{{}}' {_USERS}",
    "webhook_deliveries": """(id, endpoint_id, kind, payload, next_attempt_at)
        SELECT id, id, 'follow', '{}', now() + interval '1 day' FROM webhook_endpoints LIMIT $1""",
    "idempotency_keys": f"(user_id, key, request_hash) SELECT id, username, {_DIGEST} {_USERS}",
    "chat_rooms": f"(room_id, last_offset) SELECT id, 100 {_ROOMS}",
    "chat_messages": f"""(id, room_id, log_offset, user_id, username, display_name, message, mentions,
        created_at, state, deleted_at)
        SELECT gen_random_uuid(), rooms.id, CASE WHEN n <= 40 THEN n END, owner_id, 'x', 'x', 'x', '[]',
               {_SINCE}, CASE WHEN n <= 40 THEN 'visible' ELSE 'held' END,
               CASE WHEN n % 10 = 0 THEN {_SINCE} END
        FROM (SELECT id, owner_id FROM rooms ORDER BY id LIMIT $1 / 10) AS rooms,
             generate_series(1, 42) AS n""",
    "chat_events": f"""(room_id, log_offset, kind, data, created_at)
        SELECT rooms.id, n, CASE WHEN n % 10 = 0 THEN 'tip' ELSE 'follow' END,
               jsonb_build_object('from', jsonb_build_object('userId', rooms.id)), {_SINCE}
        FROM (SELECT id FROM rooms ORDER BY id LIMIT $1 / 10) AS rooms, generate_series(41, 80) AS n""",
    "chat_bans": f"""(room_id, user_id, until, created_by)
        SELECT id, owner_id, now() + interval '1 day', owner_id {_ROOMS}""",
    "chat_moderators": f"(room_id, user_id, added_by) SELECT id, owner_id, owner_id {_ROOMS}",
    "chat_blocked_terms": f"""(room_id, place, text, is_regex, action)
        SELECT id, 1, 'x', false, 'refuse' {_ROOMS}""",
    "ledger_accounts": f"""(kind, owner_id, currency)
        SELECT unnest('{{wallet,debt}}'::text[]), id, 'coin' {_USERS}""",
    "ledger_transfers": f"""(id, kind, scope, key, fingerprint)
        SELECT id, 'gift', 'user:' || id, 'x', '' {_USERS}""",
    "ledger_entries": """(transfer_id, place, account_id, currency, amount)
        SELECT account.owner_id, CASE WHEN account.kind = 'debt' THEN 1 ELSE 2 END, account.id, 'coin',
               CASE WHEN account.kind = 'debt' THEN -10 ELSE 10 END
        FROM ledger_accounts AS account JOIN ledger_transfers AS transfer ON transfer.id = account.owner_id
        LIMIT 2 * $1""",
    "gifts": """(id, slug, name, price_coins, picture, animation)
        SELECT gen_random_uuid(), 'gift-' || n, 'x', n, 'x', 'float' FROM generate_series(1, $1) AS n""",
    "welcomed_users": f"(user_id) SELECT id {_USERS}",
    "creator_shares": f"(user_id, percent) SELECT id, 80 {_USERS}",
    "gift_transactions": """(id, room_id, sender_id, receiver_id, quantity, coins, earned, currency, combo)
        SELECT id, id, id, gen_random_uuid(), 1, 10, 7, 'usd', 1 FROM ledger_transfers LIMIT $1""",
    "gift_outbox": "(id) SELECT id FROM gift_transactions LIMIT $1",
    "gift_totals": """(room_id, period, since, user_id, coins)
        SELECT rooms.id, period, date '2026-01-01', owner_id, 10
        FROM (SELECT id, owner_id FROM rooms ORDER BY id LIMIT $1) AS rooms,
             unnest('{day,week,all}'::text[]) AS period""",
    "gift_room_totals": f"(room_id, coins, gifts) SELECT id, 10, 1 {_ROOMS}",
    "payment_events": f"(id, kind, created_at) SELECT 'evt_' || id, 'charge.refunded', {_SINCE} {_USERS}",
    "coin_packages": """(id, name, coins, price, currency)
        SELECT gen_random_uuid(), 'x', n, 50 + n, 'usd' FROM generate_series(1, $1) AS n""",
    "discount_codes": f"""(id, code, kind, coins, user_id)
        SELECT id, upper('CODE-' || right(id::text, 12)), 'reward', 10, id {_USERS}""",
    "discount_uses": "(code_id, user_id, uses) SELECT id, user_id, 1 FROM discount_codes LIMIT $1",
    "purchases": f"""(id, user_id, key, fingerprint, package_id, description, coins, amount, currency,
        provider, session, payment, state, expires_at, credited_at)
        SELECT id, id, 'x', '', (SELECT id FROM coin_packages LIMIT 1), 'x', 100, 129, 'usd', 'stripe',
               'cs_' || id, 'pi_' || id, 'paid', now(), now() {_USERS}""",
    "purchase_history": """(purchase_id, place, state, event_id)
        SELECT id, 1, 'paid', 'evt_' || id FROM purchases LIMIT $1""",
    "purchase_transfers": """(transfer_id, purchase_id, event_id, kind)
        SELECT id, id, 'evt_' || id, 'purchase' FROM purchases LIMIT $1""",
    "payment_refunds": "(payment, currency, refunded) SELECT payment, 'usd', 1 FROM purchases LIMIT $1",
    "payment_disputes": """(id, payment, currency, amount, state)
        SELECT 'dp_' || id, payment, 'usd', 1, 'won' FROM purchases LIMIT $1""",
    "plans": f"(id, creator_id, name) SELECT id, id, 'x' {_USERS}",
    "plan_prices": """(id, plan_id, billing_interval, amount, currency)
        SELECT id, id, 'month', 500, 'usd' FROM plans LIMIT $1""",
    "plan_price_refs": """(price_id, provider, provider_ref)
        SELECT id, 'stripe', 'price_' || id FROM plan_prices LIMIT $1""",
    "subscriptions": f"""(id, user_id, creator_id, price_id, provider, provider_ref, checkout_ref, state,
        gives_access, period_end)
        SELECT plan.id, users.id, plan.id, plan.id, 'stripe', 'sub_' || plan.id, 'cs_' || plan.id, 'active',
               true, now() + interval '1 day'
        FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM plans ORDER BY id LIMIT $1) AS plan
        JOIN (SELECT id, row_number() OVER (ORDER BY id) % $1 + 1 AS n {_USERS}) AS users
             ON users.n = plan.n""",
    "subscription_invoices": """(id, subscription_id, transfer_id, creator_id, amount, earned, currency,
        is_period, paid_at)
        SELECT 'in_' || subscription.id, subscription.id, transfer.id, creator_id, 500, 350, 'usd', true,
               now()
        FROM (SELECT id, creator_id, row_number() OVER () AS n FROM subscriptions LIMIT $1) AS subscription
        JOIN (SELECT id, row_number() OVER () AS n FROM ledger_transfers LIMIT $1) AS transfer USING (n)""",
    "subscription_payments": """(payment_ref, invoice_id)
        SELECT 'pi_' || id, id FROM subscription_invoices LIMIT $1""",
    "subscription_refunds": """(payment_ref, source, amount, event_at)
        SELECT payment_ref, 'refund', 1, now() FROM subscription_payments LIMIT $1""",
    "subscription_outbox": """(id, kind, subscription_id)
        SELECT id, 'started', id FROM subscriptions LIMIT $1""",
    "payout_accounts": f"""(user_id, provider, account, state)
        SELECT id, 'stripe', 'acct_' || id, 'active' {_USERS}""",
    "payout_settings": f"""(user_id, schedule, minimum, currency, due_at)
        SELECT id, 'weekly', 5000, 'usd', {_SINCE} + (random() * 1000 || ' hours')::interval {_USERS}""",
    "payouts": f"""(id, user_id, currency, amount, state, trigger, key, provider, account, reference,
        finished_at)
        SELECT gen_random_uuid(), id, 'usd', 5000, state, 'demand', state, 'stripe', 'acct_' || id,
               CASE state WHEN 'paid' THEN 'tr_' || id END,
               CASE WHEN state <> 'pending' THEN {_SINCE} END
        FROM (SELECT id FROM users ORDER BY id LIMIT $1) AS users,
             unnest('{{pending,paid,failed}}'::text[]) AS state""",
}


async def fill(connection: Any) -> None:
    """Write ROWS rows into each table. One that has changed stays empty, which a test of its own tells."""
    for table, sql in FILLINGS.items():
        with suppress(asyncpg.PostgresError):
            await connection.execute(f"INSERT INTO {table} {sql}", ROWS)
