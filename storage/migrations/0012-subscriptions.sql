-- Plans of creators, and subscriptions to them
-- depends: 0011-purchases

-- migrate: apply

CREATE TABLE plans (
    id          uuid PRIMARY KEY,
    creator_id  uuid NOT NULL CONSTRAINT plans_creator_known REFERENCES users (id),
    name        text NOT NULL CONSTRAINT plans_name_valid CHECK (length(name) BETWEEN 1 AND 50),
    description text NOT NULL DEFAULT '' CONSTRAINT plans_description_valid CHECK (length(description) <= 500),
    is_active   boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX plans_of_creator ON plans (creator_id, id);

-- What a plan costs, in minor units. A price is never changed, as people subscribed to it: another one takes its
-- place for those who come later.
CREATE TABLE plan_prices (
    id               uuid PRIMARY KEY,
    plan_id          uuid NOT NULL CONSTRAINT plan_prices_plan_known REFERENCES plans (id),
    billing_interval text NOT NULL CONSTRAINT plan_prices_interval_known
                     CHECK (billing_interval IN ('month', 'year')),
    amount           bigint NOT NULL CONSTRAINT plan_prices_amount_valid CHECK (amount BETWEEN 1 AND 100000000),
    currency         text NOT NULL CONSTRAINT plan_prices_currency_valid CHECK (currency ~ '^[a-z]{3}$'),
    is_current       boolean NOT NULL DEFAULT true,
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX plan_prices_of_plan ON plan_prices (plan_id);
CREATE UNIQUE INDEX plan_prices_one_current ON plan_prices (plan_id, billing_interval) WHERE is_current;

CREATE FUNCTION refuse_price_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (NEW.id, NEW.plan_id, NEW.billing_interval, NEW.amount, NEW.currency)
        IS DISTINCT FROM (OLD.id, OLD.plan_id, OLD.billing_interval, OLD.amount, OLD.currency) THEN
        RAISE check_violation USING MESSAGE = 'a price stays as it is: make another one',
            TABLE = 'plan_prices', CONSTRAINT = 'plan_prices_immutable';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER plan_prices_immutable BEFORE UPDATE OR DELETE ON plan_prices
    FOR EACH ROW EXECUTE FUNCTION refuse_price_change();

-- What a payment provider calls a price, once it was told of it.
CREATE TABLE plan_price_refs (
    price_id     uuid NOT NULL CONSTRAINT plan_price_refs_price_known REFERENCES plan_prices (id),
    provider     text NOT NULL CONSTRAINT plan_price_refs_provider_valid CHECK (length(provider) BETWEEN 1 AND 20),
    provider_ref text NOT NULL CONSTRAINT plan_price_refs_ref_valid CHECK (length(provider_ref) BETWEEN 1 AND 255),
    PRIMARY KEY (price_id, provider),
    CONSTRAINT plan_price_refs_once UNIQUE (provider_ref, provider)
);

-- ``event_at`` and ``event_rank`` are those of the provider's event that ``state`` comes from: what happened
-- before it says nothing any more. ``provider_ref`` is what the provider calls the subscription.
CREATE TABLE subscriptions (
    id                  uuid PRIMARY KEY,
    user_id             uuid NOT NULL CONSTRAINT subscriptions_user_known REFERENCES users (id),
    creator_id          uuid NOT NULL CONSTRAINT subscriptions_creator_known REFERENCES users (id)
                        CONSTRAINT subscriptions_somebody_else CHECK (creator_id <> user_id),
    price_id            uuid NOT NULL CONSTRAINT subscriptions_price_known REFERENCES plan_prices (id),
    provider            text NOT NULL
                        CONSTRAINT subscriptions_provider_valid CHECK (length(provider) BETWEEN 1 AND 20),
    checkout_ref        text CONSTRAINT subscriptions_checkout_ref_once UNIQUE
                        CONSTRAINT subscriptions_checkout_ref_valid CHECK (length(checkout_ref) <= 255),
    checkout_url        text CONSTRAINT subscriptions_checkout_url_valid CHECK (length(checkout_url) <= 5000),
    checkout_expires_at timestamptz,
    provider_ref        text CONSTRAINT subscriptions_provider_ref_once UNIQUE
                        CONSTRAINT subscriptions_provider_ref_valid CHECK (length(provider_ref) <= 255),
    state               text NOT NULL DEFAULT 'incomplete' CONSTRAINT subscriptions_state_known
                        CHECK (state IN ('incomplete', 'active', 'past_due', 'canceled', 'ended')),
    gives_access        boolean NOT NULL DEFAULT false,
    cancels_at_end      boolean NOT NULL DEFAULT false,
    period_end          timestamptz,
    event_at            timestamptz,
    event_rank          smallint NOT NULL DEFAULT 0,
    created_at          timestamptz NOT NULL DEFAULT now(),
    started_at          timestamptz,
    ended_at            timestamptz,
    CONSTRAINT subscriptions_access_valid
        CHECK (NOT gives_access OR state IN ('active', 'past_due', 'canceled')),
    CONSTRAINT subscriptions_end_valid CHECK ((ended_at IS NOT NULL) = (state = 'ended')),
    CONSTRAINT subscriptions_bound CHECK (provider_ref IS NOT NULL OR state IN ('incomplete', 'ended'))
);
CREATE UNIQUE INDEX subscriptions_one_live ON subscriptions (user_id, creator_id) WHERE state <> 'ended';
CREATE INDEX subscriptions_of_user ON subscriptions (user_id, id DESC);
CREATE INDEX subscriptions_of_creator ON subscriptions (creator_id, id DESC);
CREATE INDEX subscriptions_of_price ON subscriptions (price_id);
CREATE INDEX subscriptions_due ON subscriptions (provider, period_end)
    WHERE state IN ('active', 'past_due', 'canceled');

CREATE FUNCTION refuse_revival() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE check_violation USING MESSAGE = 'a subscription that has ended does not come back',
        TABLE = 'subscriptions', CONSTRAINT = 'subscriptions_ended_for_good';
END
$$;

CREATE TRIGGER subscriptions_ended_for_good BEFORE UPDATE OF state ON subscriptions
    FOR EACH ROW WHEN (OLD.state = 'ended' AND NEW.state <> 'ended') EXECUTE FUNCTION refuse_revival();

-- Every node hears of who may see more or less than before.
CREATE FUNCTION notify_subscriber() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mediaserver', json_build_object(
        'kind', 'relation', 'user_id', NEW.user_id, 'owner_id', NEW.creator_id)::text);
    RETURN NULL;
END
$$;

CREATE TRIGGER subscriptions_notify AFTER UPDATE OF gives_access ON subscriptions
    FOR EACH ROW WHEN (OLD.gives_access <> NEW.gives_access) EXECUTE FUNCTION notify_subscriber();
CREATE TRIGGER subscriptions_notify_new AFTER INSERT ON subscriptions
    FOR EACH ROW WHEN (NEW.gives_access) EXECUTE FUNCTION notify_subscriber();

-- What was paid, under the provider's number of the invoice. ``earned`` of ``amount`` is the creator's;
-- ``refunded`` is what went back of it so far, ``taken_back`` the creator's part of that. ``is_period``: for a
-- month or a year, and not for the change to another plan.
CREATE TABLE subscription_invoices (
    id               text PRIMARY KEY CONSTRAINT subscription_invoices_id_valid CHECK (length(id) BETWEEN 1 AND 255),
    subscription_id  uuid NOT NULL
                     CONSTRAINT subscription_invoices_subscription_known REFERENCES subscriptions (id),
    transfer_id      uuid NOT NULL
                     CONSTRAINT subscription_invoices_transfer_known REFERENCES ledger_transfers (id),
    creator_id       uuid NOT NULL,
    amount           bigint NOT NULL CONSTRAINT subscription_invoices_amount_valid CHECK (amount > 0),
    earned           bigint NOT NULL
                     CONSTRAINT subscription_invoices_earned_valid CHECK (earned BETWEEN 0 AND amount),
    currency         text NOT NULL,
    is_period        boolean NOT NULL,
    paid_at          timestamptz NOT NULL,
    refunded         bigint NOT NULL DEFAULT 0
                     CONSTRAINT subscription_invoices_refunded_valid CHECK (refunded BETWEEN 0 AND amount),
    taken_back       bigint NOT NULL DEFAULT 0
                     CONSTRAINT subscription_invoices_taken_back_valid CHECK (taken_back BETWEEN 0 AND earned)
);
CREATE INDEX subscription_invoices_of ON subscription_invoices (subscription_id);
CREATE INDEX subscription_invoices_transfer ON subscription_invoices (transfer_id);
CREATE INDEX subscription_invoices_of_creator ON subscription_invoices (creator_id, paid_at);

-- By which payment an invoice was paid: the provider may tell of either first, and of refunds by payment alone.
CREATE TABLE subscription_payments (
    payment_ref text PRIMARY KEY
                CONSTRAINT subscription_payments_ref_valid CHECK (length(payment_ref) BETWEEN 1 AND 255),
    invoice_id  text NOT NULL
                CONSTRAINT subscription_payments_invoice_valid CHECK (length(invoice_id) BETWEEN 1 AND 255)
);
CREATE INDEX subscription_payments_of ON subscription_payments (invoice_id);

-- What went back of payments, by ``source``: 'refund', or the number of a dispute. It may be told of before the
-- invoice is.
CREATE TABLE subscription_refunds (
    payment_ref text NOT NULL
                CONSTRAINT subscription_refunds_payment_valid CHECK (length(payment_ref) BETWEEN 1 AND 255),
    source      text NOT NULL
                CONSTRAINT subscription_refunds_source_valid CHECK (length(source) BETWEEN 1 AND 255),
    amount      bigint NOT NULL CONSTRAINT subscription_refunds_amount_valid CHECK (amount >= 0),
    event_at    timestamptz NOT NULL,
    PRIMARY KEY (payment_ref, source)
);

-- What is not yet told. ``months`` as in the chat's event, for a subscription that has started.
CREATE TABLE subscription_outbox (
    id              uuid PRIMARY KEY,
    kind            text NOT NULL CONSTRAINT subscription_outbox_kind_known
                    CHECK (kind IN ('started', 'payment_failed', 'ended')),
    subscription_id uuid NOT NULL
                    CONSTRAINT subscription_outbox_subscription_known REFERENCES subscriptions (id),
    months          integer NOT NULL DEFAULT 0
);
CREATE INDEX subscription_outbox_of ON subscription_outbox (subscription_id);

ALTER TABLE chat_messages DROP CONSTRAINT chat_messages_badge_known;
ALTER TABLE chat_messages ADD CONSTRAINT chat_messages_badge_known
    CHECK (badge IN ('owner', 'moderator', 'staff', 'subscriber'));

-- migrate: rollback
