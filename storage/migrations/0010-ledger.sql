-- The ledger, and gifts
-- depends: 0009-chat

-- migrate: apply

-- Units are integers: coins, gems, or minor units of money by its ISO 4217 code in small letters.
-- ``bounds`` says what a balance may be: 'credit' never below zero, 'debit' never above, 'any' is the server's own
-- side of a movement. An account that many move at once has several ``shards``: its balance is their sum, each of
-- them keeps to the bounds, and who only adds takes whichever is free.
CREATE TABLE ledger_accounts (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind     text NOT NULL CONSTRAINT ledger_accounts_kind_known
             CHECK (kind IN ('wallet', 'earnings', 'pending_payout', 'debt',
                             'platform', 'bonus', 'adjustment', 'provider', 'payouts')),
    owner_id uuid CONSTRAINT ledger_accounts_owner_known REFERENCES users (id),
    currency text NOT NULL CONSTRAINT ledger_accounts_currency_valid CHECK (currency ~ '^(coin|gem|[a-z]{3})$'),
    bounds   text NOT NULL GENERATED ALWAYS AS (
                 CASE WHEN kind IN ('wallet', 'earnings', 'pending_payout') THEN 'credit'
                      WHEN kind = 'debt' THEN 'debit' ELSE 'any' END) STORED,
    shards   smallint NOT NULL GENERATED ALWAYS AS (
                 CASE WHEN kind IN ('earnings', 'platform', 'bonus', 'provider') THEN 16 ELSE 1 END) STORED,
    CONSTRAINT ledger_accounts_owned CHECK (
        (owner_id IS NOT NULL) = (kind IN ('wallet', 'earnings', 'pending_payout', 'debt')))
);
CREATE UNIQUE INDEX ledger_accounts_of_owner ON ledger_accounts (owner_id, kind, currency);
CREATE UNIQUE INDEX ledger_accounts_of_server ON ledger_accounts (kind, currency) WHERE owner_id IS NULL;

-- One movement. ``key`` is unique in its ``scope`` (``user:<id>`` for what a client asked for, ``bonus``, ``stripe``):
-- what is done under it is done once. ``fingerprint`` tells whether the same was asked for again.
CREATE TABLE ledger_transfers (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL CONSTRAINT ledger_transfers_kind_known
                CHECK (kind IN ('gift', 'tip', 'bonus', 'adjustment', 'purchase', 'refund', 'dispute', 'repayment',
                                'subscription', 'conversion', 'payout', 'payout_paid', 'payout_return', 'reward')),
    scope       text NOT NULL CONSTRAINT ledger_transfers_scope_valid CHECK (length(scope) BETWEEN 1 AND 64),
    key         text NOT NULL CONSTRAINT ledger_transfers_key_valid CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint text NOT NULL CONSTRAINT ledger_transfers_fingerprint_valid CHECK (length(fingerprint) <= 500),
    reason      text NOT NULL DEFAULT '' CONSTRAINT ledger_transfers_reason_valid CHECK (length(reason) <= 500),
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ledger_transfers_once UNIQUE (scope, key)
);

-- Accounts have no foreign key here: it would lock the platform's row with every gift. The trigger looks instead,
-- and accounts are never changed or removed.
CREATE TABLE ledger_entries (
    transfer_id uuid NOT NULL CONSTRAINT ledger_entries_transfer_known REFERENCES ledger_transfers (id),
    place       smallint NOT NULL,
    account_id  bigint NOT NULL,
    shard       smallint NOT NULL DEFAULT 0,
    currency    text NOT NULL,
    amount      bigint NOT NULL CONSTRAINT ledger_entries_amount_valid
                CHECK (amount <> 0 AND amount BETWEEN -1000000000000000 AND 1000000000000000),
    PRIMARY KEY (transfer_id, place)
);
CREATE INDEX ledger_entries_history ON ledger_entries (account_id, transfer_id DESC) INCLUDE (shard, amount);

CREATE TABLE ledger_balances (
    account_id bigint NOT NULL,
    shard      smallint NOT NULL,
    bounds     text NOT NULL,
    balance    bigint NOT NULL,
    PRIMARY KEY (account_id, shard),
    CONSTRAINT ledger_balances_no_overdraft CHECK (bounds <> 'credit' OR balance >= 0),
    CONSTRAINT ledger_balances_no_overpaid_debt CHECK (bounds <> 'debit' OR balance <= 0),
    CONSTRAINT ledger_balances_countable
        CHECK (balance BETWEEN -1000000000000000000 AND 1000000000000000000)
) WITH (fillfactor = 50);

CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE check_violation USING MESSAGE = 'what is in the ledger stays: correct it by a new transfer',
        TABLE = TG_TABLE_NAME, CONSTRAINT = 'ledger_immutable';
END
$$;

CREATE TRIGGER ledger_accounts_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();
CREATE TRIGGER ledger_transfers_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();
CREATE TRIGGER ledger_entries_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();
CREATE TRIGGER ledger_balances_immutable BEFORE DELETE OR TRUNCATE ON ledger_balances
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change();
-- Only the triggers below write balances.
CREATE TRIGGER ledger_balances_follow BEFORE INSERT OR UPDATE ON ledger_balances
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION refuse_ledger_change();

-- An account has its balances from the start: a row that is made with the first need would be locked out of order.
CREATE FUNCTION open_ledger_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_balances (account_id, shard, bounds, balance)
        SELECT NEW.id, shard, NEW.bounds, 0 FROM generate_series(0, NEW.shards - 1) AS shard;
    RETURN NULL;
END
$$;

CREATE TRIGGER ledger_accounts_opened AFTER INSERT ON ledger_accounts
    FOR EACH ROW EXECUTE FUNCTION open_ledger_account();

-- All entries of a transfer come by one statement. They sum to zero in each currency, and move the balances, in
-- the order of the accounts: two transfers cannot wait for each other for ever. It runs when the statement is
-- done with everything else, so that balances are locked for as short as can be.
CREATE FUNCTION apply_ledger_entries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change record;
    entries bigint;
BEGIN
    IF EXISTS (SELECT FROM added GROUP BY transfer_id, currency HAVING sum(amount) <> 0) THEN
        RAISE check_violation USING MESSAGE = 'the entries of a transfer do not sum to zero',
            TABLE = 'ledger_entries', CONSTRAINT = 'ledger_entries_sum_zero';
    END IF;
    SELECT count(*) INTO entries FROM added;
    IF entries <> (SELECT count(*) FROM ledger_entries
                   WHERE transfer_id IN (SELECT transfer_id FROM added)) THEN
        RAISE check_violation USING MESSAGE = 'the transfer has its entries already',
            TABLE = 'ledger_entries', CONSTRAINT = 'ledger_entries_complete';
    END IF;
    IF entries <> (SELECT count(*) FROM added JOIN ledger_accounts AS account ON account.id = added.account_id
                   WHERE account.currency = added.currency AND added.shard >= 0
                     AND added.shard < account.shards) THEN
        RAISE foreign_key_violation USING MESSAGE = 'an account is not there or of another currency',
            TABLE = 'ledger_entries', CONSTRAINT = 'ledger_entries_account_known';
    END IF;
    FOR change IN SELECT account_id, shard, sum(amount)::bigint AS amount
                  FROM added GROUP BY account_id, shard ORDER BY account_id, shard LOOP
        UPDATE ledger_balances SET balance = balance + change.amount
            WHERE account_id = change.account_id AND shard = change.shard;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE TRIGGER ledger_entries_applied AFTER INSERT ON ledger_entries
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION apply_ledger_entries();

-- What can be given. ``picture`` is an address, ``animation`` a hint for players.
CREATE TABLE gifts (
    id          uuid PRIMARY KEY,
    slug        text NOT NULL CONSTRAINT gifts_slug_unique UNIQUE
                CONSTRAINT gifts_slug_valid CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,30}$'),
    name        text NOT NULL CONSTRAINT gifts_name_valid CHECK (length(name) BETWEEN 1 AND 50),
    price_coins bigint NOT NULL CONSTRAINT gifts_price_valid CHECK (price_coins BETWEEN 1 AND 1000000),
    picture     text NOT NULL CONSTRAINT gifts_picture_valid CHECK (length(picture) BETWEEN 1 AND 500),
    animation   text NOT NULL CONSTRAINT gifts_animation_known
                CHECK (animation IN ('float', 'burst', 'shower', 'fullscreen')),
    is_active   boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX gifts_offered ON gifts (price_coins, id) WHERE is_active;

INSERT INTO gifts (id, slug, name, price_coins, picture, animation) VALUES
    ('01900000-0000-7000-8000-000000000001', 'rose', 'Rose', 10, '🌹', 'float'),
    ('01900000-0000-7000-8000-000000000002', 'heart', 'Heart', 10, '❤️', 'float'),
    ('01900000-0000-7000-8000-000000000003', 'coffee', 'Coffee', 20, '☕', 'float'),
    ('01900000-0000-7000-8000-000000000004', 'applause', 'Applause', 30, '👏', 'burst'),
    ('01900000-0000-7000-8000-000000000005', 'star', 'Star', 50, '⭐', 'burst'),
    ('01900000-0000-7000-8000-000000000006', 'cake', 'Cake', 100, '🎂', 'burst'),
    ('01900000-0000-7000-8000-000000000007', 'trophy', 'Trophy', 200, '🏆', 'burst'),
    ('01900000-0000-7000-8000-000000000008', 'fireworks', 'Fireworks', 500, '🎆', 'shower'),
    ('01900000-0000-7000-8000-000000000009', 'crown', 'Crown', 1000, '👑', 'shower'),
    ('01900000-0000-7000-8000-00000000000a', 'diamond', 'Diamond', 2000, '💎', 'shower'),
    ('01900000-0000-7000-8000-00000000000b', 'rocket', 'Rocket', 5000, '🚀', 'fullscreen'),
    ('01900000-0000-7000-8000-00000000000c', 'castle', 'Castle', 10000, '🏰', 'fullscreen');

-- What of a gift or tip is a creator's, in percent; without a row the setting counts.
CREATE TABLE creator_shares (
    user_id uuid PRIMARY KEY CONSTRAINT creator_shares_user_known REFERENCES users (id) ON DELETE CASCADE,
    percent smallint NOT NULL CONSTRAINT creator_shares_percent_valid CHECK (percent BETWEEN 0 AND 100),
    set_at  timestamptz NOT NULL DEFAULT now()
);

-- A gift, or a tip where there is no ``gift_id``. It outlives its room. People and gifts have no foreign keys: the
-- rows of a popular creator and of a gift would be locked by everybody at once, and none of them is ever removed.
-- ``earned`` is the creator's part, in minor units of ``currency``.
CREATE TABLE gift_transactions (
    id          uuid PRIMARY KEY CONSTRAINT gift_transactions_transfer_known REFERENCES ledger_transfers (id),
    room_id     uuid NOT NULL,
    sender_id   uuid NOT NULL,
    receiver_id uuid NOT NULL CONSTRAINT gift_transactions_somebody_else CHECK (receiver_id <> sender_id),
    gift_id     uuid,
    gift_slug   text NOT NULL DEFAULT '',
    quantity    integer NOT NULL CONSTRAINT gift_transactions_quantity_valid CHECK (quantity BETWEEN 1 AND 1000),
    coins       bigint NOT NULL CONSTRAINT gift_transactions_coins_valid CHECK (coins > 0),
    earned      bigint NOT NULL CONSTRAINT gift_transactions_earned_valid CHECK (earned >= 0),
    currency    text NOT NULL,
    combo       integer NOT NULL CONSTRAINT gift_transactions_combo_valid CHECK (combo >= 1),
    message     text NOT NULL DEFAULT '' CONSTRAINT gift_transactions_message_valid CHECK (length(message) <= 200),
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX gift_transactions_sent ON gift_transactions (sender_id, id DESC);
CREATE INDEX gift_transactions_received ON gift_transactions (receiver_id, id DESC);

-- What is not yet counted and told.
CREATE TABLE gift_outbox (
    id uuid PRIMARY KEY
);

-- Coins that a user gave in a room, by day, by week (its Monday) and in all ('all', from 1970-01-01).
CREATE TABLE gift_totals (
    room_id uuid NOT NULL CONSTRAINT gift_totals_room_known REFERENCES rooms (id) ON DELETE CASCADE,
    period  text NOT NULL CONSTRAINT gift_totals_period_known CHECK (period IN ('day', 'week', 'all')),
    since   date NOT NULL,
    user_id uuid NOT NULL CONSTRAINT gift_totals_user_known REFERENCES users (id) ON DELETE CASCADE,
    coins   bigint NOT NULL,
    PRIMARY KEY (room_id, period, since, user_id)
);
CREATE INDEX gift_totals_rank ON gift_totals (room_id, period, since, coins DESC, user_id);
CREATE INDEX gift_totals_user ON gift_totals (user_id);

CREATE TABLE gift_room_totals (
    room_id uuid PRIMARY KEY CONSTRAINT gift_room_totals_room_known REFERENCES rooms (id) ON DELETE CASCADE,
    coins   bigint NOT NULL,
    gifts   bigint NOT NULL
) WITH (fillfactor = 50);

-- migrate: rollback
