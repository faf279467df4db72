-- Payouts to creators
-- depends: 0012-subscriptions

-- migrate: apply

-- Where a creator is paid, at the payment provider that the server has. ``told_at`` is when the provider said what
-- ``state`` says: older news that comes later does not count.
CREATE TABLE payout_accounts (
    user_id    uuid NOT NULL CONSTRAINT payout_accounts_user_known REFERENCES users (id) ON DELETE CASCADE,
    provider   text NOT NULL CONSTRAINT payout_accounts_provider_known CHECK (provider IN ('stripe', 'demo')),
    account    text NOT NULL CONSTRAINT payout_accounts_account_valid CHECK (length(account) BETWEEN 1 AND 255),
    state      text NOT NULL CONSTRAINT payout_accounts_state_known
               CHECK (state IN ('pending', 'active', 'restricted')),
    problem    text NOT NULL DEFAULT '' CONSTRAINT payout_accounts_problem_valid CHECK (length(problem) <= 500),
    told_at    timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, provider),
    CONSTRAINT payout_accounts_one_owner UNIQUE (provider, account)
);

-- Amounts are minor units of ``currency``. ``due_at`` is when the schedule comes round again: never, if manual.
CREATE TABLE payout_settings (
    user_id    uuid PRIMARY KEY CONSTRAINT payout_settings_user_known REFERENCES users (id) ON DELETE CASCADE,
    schedule   text NOT NULL CONSTRAINT payout_settings_schedule_known
               CHECK (schedule IN ('weekly', 'biweekly', 'monthly', 'manual')),
    minimum    bigint NOT NULL CONSTRAINT payout_settings_minimum_valid CHECK (minimum BETWEEN 1 AND 99999999),
    currency   text NOT NULL CONSTRAINT payout_settings_currency_valid CHECK (currency ~ '^[a-z]{3}$'),
    due_at     timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payout_settings_due CHECK ((due_at IS NULL) = (schedule = 'manual'))
);
CREATE INDEX payout_settings_queue ON payout_settings (due_at, user_id) WHERE due_at IS NOT NULL;

-- Money on its way to a creator. Its id is the key of its transfer in the ledger, and at the provider. ``pending``:
-- taken from the earnings, and perhaps sent. ``returned`` is what came back of what was paid.
-- It has no foreign key to the account: an account goes with its user, and what was paid stays.
CREATE TABLE payouts (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL CONSTRAINT payouts_user_known REFERENCES users (id),
    currency      text NOT NULL CONSTRAINT payouts_currency_valid CHECK (currency ~ '^[a-z]{3}$'),
    amount        bigint NOT NULL CONSTRAINT payouts_amount_valid CHECK (amount BETWEEN 1 AND 99999999),
    returned      bigint NOT NULL DEFAULT 0
                  CONSTRAINT payouts_returned_valid CHECK (returned BETWEEN 0 AND amount),
    state         text NOT NULL DEFAULT 'pending' CONSTRAINT payouts_state_known
                  CHECK (state IN ('pending', 'paid', 'failed', 'reversed')),
    trigger       text NOT NULL CONSTRAINT payouts_trigger_known CHECK (trigger IN ('schedule', 'demand', 'retry')),
    key           text CONSTRAINT payouts_key_valid CHECK (length(key) BETWEEN 1 AND 255),
    retry_of      uuid CONSTRAINT payouts_retried_once UNIQUE
                  CONSTRAINT payouts_retried_known REFERENCES payouts (id),
    provider      text NOT NULL CONSTRAINT payouts_provider_known CHECK (provider IN ('stripe', 'demo')),
    account       text NOT NULL,
    reference     text CONSTRAINT payouts_reference_valid CHECK (length(reference) BETWEEN 1 AND 255),
    attempts      integer NOT NULL DEFAULT 0,
    attempt_at    timestamptz NOT NULL DEFAULT now(),
    problem       text NOT NULL DEFAULT '' CONSTRAINT payouts_problem_valid CHECK (length(problem) <= 500),
    created_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    CONSTRAINT payouts_key_once UNIQUE (user_id, key),
    CONSTRAINT payouts_reference_once UNIQUE (provider, reference),
    CONSTRAINT payouts_finished CHECK ((state = 'pending') = (finished_at IS NULL)),
    CONSTRAINT payouts_sent CHECK ((state IN ('paid', 'reversed')) = (reference IS NOT NULL)),
    CONSTRAINT payouts_came_back CHECK (state <> 'reversed' OR returned = amount),
    CONSTRAINT payouts_retried CHECK ((trigger = 'retry') = (retry_of IS NOT NULL))
);
CREATE UNIQUE INDEX payouts_one_in_flight ON payouts (user_id, currency) WHERE state = 'pending';
CREATE INDEX payouts_of_user ON payouts (user_id, id DESC);
CREATE INDEX payouts_by_state ON payouts (state, id DESC);
CREATE INDEX payouts_queue ON payouts (attempt_at, id) WHERE state = 'pending';

-- migrate: rollback
