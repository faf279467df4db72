-- Repairs of money
-- depends: 0013-payouts

-- migrate: apply

-- Who has had the welcome bonus, or is owed none since somebody has had it by the same address: who changes their
-- address is welcomed no more. Bonuses from before this table are known by their transfers' keys.
CREATE TABLE welcomed_users (
    user_id     uuid PRIMARY KEY CONSTRAINT welcomed_users_user_known REFERENCES users (id),
    welcomed_at timestamptz NOT NULL DEFAULT now()
);

-- Until then an attempt may be asking the provider to pay: nobody else asks. ``attempt_at`` is when the next one begins.
ALTER TABLE payouts ADD COLUMN lease_until timestamptz;

-- migrate: rollback
