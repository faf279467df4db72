-- Purchases of coins, discount and reward codes, and what the payment provider says
-- depends: 0010-ledger

-- migrate: apply

-- Each event once: it is written in the transaction that does what it says.
CREATE TABLE payment_events (
    id          text PRIMARY KEY CONSTRAINT payment_events_id_valid CHECK (length(id) BETWEEN 1 AND 255),
    kind        text NOT NULL CONSTRAINT payment_events_kind_valid CHECK (length(kind) BETWEEN 1 AND 255),
    created_at  timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);

-- ``price`` is in minor units of ``currency``. What was sold once is never removed, only not offered any more.
CREATE TABLE coin_packages (
    id          uuid PRIMARY KEY,
    name        text NOT NULL CONSTRAINT coin_packages_name_valid CHECK (length(name) BETWEEN 1 AND 50),
    coins       bigint NOT NULL CONSTRAINT coin_packages_coins_valid CHECK (coins BETWEEN 1 AND 1000000000),
    price       bigint NOT NULL CONSTRAINT coin_packages_price_valid CHECK (price BETWEEN 50 AND 99999999),
    currency    text NOT NULL CONSTRAINT coin_packages_currency_valid CHECK (currency ~ '^[a-z]{3}$'),
    is_offered  boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX coin_packages_in_order ON coin_packages (price, id);

INSERT INTO coin_packages (id, name, coins, price, currency) VALUES
    ('01900000-0000-7000-8000-000000000101', 'Handful', 100, 129, 'usd'),
    ('01900000-0000-7000-8000-000000000102', 'Pouch', 500, 599, 'usd'),
    ('01900000-0000-7000-8000-000000000103', 'Chest', 1000, 1099, 'usd'),
    ('01900000-0000-7000-8000-000000000104', 'Vault', 5000, 4999, 'usd'),
    ('01900000-0000-7000-8000-000000000105', 'Treasury', 10000, 9499, 'usd');

-- 'percentage' makes a purchase cheaper, 'bonus_coins' adds coins to it, 'reward' gives coins for nothing.
-- ``uses`` counts what is used and what a running purchase holds; a limit that is null is none. With a
-- ``user_id`` the code is for one user.
CREATE TABLE discount_codes (
    id            uuid PRIMARY KEY,
    code          text NOT NULL CONSTRAINT discount_codes_code_unique UNIQUE
                  CONSTRAINT discount_codes_code_valid CHECK (code ~ '^[A-Z0-9][A-Z0-9-]{3,31}$'),
    kind          text NOT NULL CONSTRAINT discount_codes_kind_known
                  CHECK (kind IN ('percentage', 'bonus_coins', 'reward')),
    percent       smallint NOT NULL DEFAULT 0 CONSTRAINT discount_codes_percent_valid
                  CHECK (percent BETWEEN 0 AND 90 AND (percent > 0) = (kind = 'percentage')),
    coins         bigint NOT NULL DEFAULT 0 CONSTRAINT discount_codes_coins_valid
                  CHECK (coins BETWEEN 0 AND 1000000 AND (coins > 0) = (kind <> 'percentage')),
    max_uses      integer CONSTRAINT discount_codes_max_uses_valid CHECK (max_uses >= 1),
    uses_per_user integer CONSTRAINT discount_codes_uses_per_user_valid CHECK (uses_per_user >= 1),
    uses          integer NOT NULL DEFAULT 0
                  CONSTRAINT discount_codes_uses_valid CHECK (uses >= 0),
    user_id       uuid CONSTRAINT discount_codes_user_known REFERENCES users (id),
    expires_at    timestamptz,
    retired_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT discount_codes_not_overused CHECK (max_uses IS NULL OR uses <= max_uses)
);
CREATE INDEX discount_codes_of_user ON discount_codes (user_id, id DESC);

CREATE TABLE discount_uses (
    code_id uuid NOT NULL CONSTRAINT discount_uses_code_known REFERENCES discount_codes (id),
    user_id uuid NOT NULL CONSTRAINT discount_uses_user_known REFERENCES users (id) ON DELETE CASCADE,
    uses    integer NOT NULL CONSTRAINT discount_uses_valid CHECK (uses >= 0),
    PRIMARY KEY (code_id, user_id)
);
CREATE INDEX discount_uses_of_user ON discount_uses (user_id);

-- ``key`` is the client's. ``session`` and ``payment`` are the provider's names: of its checkout page, and of the
-- payment, which is known once it is made. ``coins_reversed`` and ``amount_reversed`` are what refunds and disputes
-- took back of ``coins`` and ``amount``. People have no foreign key here for the reason that gifts have none.
CREATE TABLE purchases (
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL,
    key             text CONSTRAINT purchases_key_valid CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint     text NOT NULL CONSTRAINT purchases_fingerprint_valid CHECK (length(fingerprint) <= 500),
    package_id      uuid NOT NULL CONSTRAINT purchases_package_known REFERENCES coin_packages (id),
    description     text NOT NULL,
    coins           bigint NOT NULL CONSTRAINT purchases_coins_valid CHECK (coins > 0),
    amount          bigint NOT NULL CONSTRAINT purchases_amount_valid CHECK (amount > 0),
    currency        text NOT NULL CONSTRAINT purchases_currency_valid CHECK (currency ~ '^[a-z]{3}$'),
    discount_id     uuid CONSTRAINT purchases_discount_known REFERENCES discount_codes (id),
    holds_discount  boolean NOT NULL DEFAULT false,
    state           text NOT NULL DEFAULT 'pending' CONSTRAINT purchases_state_known
                    CHECK (state IN ('pending', 'processing', 'paid', 'failed', 'expired', 'review',
                                     'partially_refunded', 'refunded', 'disputed', 'charged_back')),
    provider        text NOT NULL CONSTRAINT purchases_provider_known CHECK (provider IN ('stripe', 'test')),
    session         text CONSTRAINT purchases_session_unique UNIQUE,
    checkout_url    text,
    payment         text CONSTRAINT purchases_payment_unique UNIQUE,
    coins_reversed  bigint NOT NULL DEFAULT 0,
    amount_reversed bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    credited_at     timestamptz,
    receipt_due     boolean NOT NULL DEFAULT false,
    CONSTRAINT purchases_once UNIQUE (user_id, key),
    CONSTRAINT purchases_coins_reversed_valid CHECK (coins_reversed BETWEEN 0 AND coins),
    CONSTRAINT purchases_amount_reversed_valid CHECK (amount_reversed BETWEEN 0 AND amount),
    CONSTRAINT purchases_only_what_was_credited CHECK (
        credited_at IS NOT NULL OR (coins_reversed = 0 AND amount_reversed = 0 AND NOT receipt_due))
);
CREATE INDEX purchases_of_user ON purchases (user_id, id DESC);
CREATE INDEX purchases_of_package ON purchases (package_id);
CREATE INDEX purchases_of_discount ON purchases (discount_id);
CREATE INDEX purchases_open ON purchases (expires_at) WHERE state = 'pending';
CREATE INDEX purchases_receipts ON purchases (id) WHERE receipt_due;

-- What has become of a purchase, and by which event; null where it was the server.
CREATE TABLE purchase_history (
    purchase_id uuid NOT NULL CONSTRAINT purchase_history_purchase_known REFERENCES purchases (id),
    place       integer NOT NULL,
    state       text NOT NULL,
    event_id    text CONSTRAINT purchase_history_event_known REFERENCES payment_events (id),
    note        text NOT NULL DEFAULT '' CONSTRAINT purchase_history_note_valid CHECK (length(note) <= 500),
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (purchase_id, place)
);
CREATE INDEX purchase_history_events ON purchase_history (event_id);

-- The movements that a purchase made: each event makes one of a kind at most.
CREATE TABLE purchase_transfers (
    transfer_id uuid PRIMARY KEY CONSTRAINT purchase_transfers_transfer_known REFERENCES ledger_transfers (id),
    purchase_id uuid NOT NULL CONSTRAINT purchase_transfers_purchase_known REFERENCES purchases (id),
    event_id    text NOT NULL CONSTRAINT purchase_transfers_event_known REFERENCES payment_events (id),
    kind        text NOT NULL,
    CONSTRAINT purchase_transfers_once UNIQUE (event_id, kind)
);
CREATE INDEX purchase_transfers_of_purchase ON purchase_transfers (purchase_id);

-- What is known of payments, whether or not their purchase is known yet: events come in any order.
CREATE TABLE payment_refunds (
    payment  text PRIMARY KEY CONSTRAINT payment_refunds_payment_valid CHECK (length(payment) BETWEEN 1 AND 255),
    currency text NOT NULL,
    refunded bigint NOT NULL CONSTRAINT payment_refunds_refunded_valid CHECK (refunded >= 0)
);

-- 'inquiry': nothing was withdrawn; 'open' and 'lost': it was; 'won': it was given back, or never taken.
CREATE TABLE payment_disputes (
    id       text PRIMARY KEY CONSTRAINT payment_disputes_id_valid CHECK (length(id) BETWEEN 1 AND 255),
    payment  text NOT NULL CONSTRAINT payment_disputes_payment_valid CHECK (length(payment) BETWEEN 1 AND 255),
    currency text NOT NULL,
    amount   bigint NOT NULL CONSTRAINT payment_disputes_amount_valid CHECK (amount >= 0),
    state    text NOT NULL CONSTRAINT payment_disputes_state_known
             CHECK (state IN ('inquiry', 'open', 'lost', 'won'))
);
CREATE INDEX payment_disputes_of_payment ON payment_disputes (payment);

-- migrate: rollback
