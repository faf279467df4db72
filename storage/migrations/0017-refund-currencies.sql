-- The currencies in which payments of subscriptions were refunded and disputed
-- depends: 0016-receipts

-- migrate: apply

-- Without one, it is the invoice's: that was not noted before.
ALTER TABLE subscription_refunds ADD COLUMN currency text
    CONSTRAINT subscription_refunds_currency_valid CHECK (currency ~ '^[a-z]{3}$');

-- migrate: rollback
