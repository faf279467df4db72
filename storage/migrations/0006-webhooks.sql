-- Outbound webhooks
-- depends: 0005-discovery

-- migrate: apply

-- The secret signs what is sent, so it is kept as it is. After a rotation both sign for a while.
CREATE TABLE webhook_endpoints (
    id                    uuid PRIMARY KEY,
    owner_id              uuid NOT NULL
                          CONSTRAINT webhook_endpoints_owner_known REFERENCES users (id) ON DELETE CASCADE,
    is_server_wide        boolean NOT NULL DEFAULT false,
    url                   text NOT NULL
                          CONSTRAINT webhook_endpoints_url_valid CHECK (length(url) BETWEEN 1 AND 2000),
    events                text[] NOT NULL
                          CONSTRAINT webhook_endpoints_events_valid CHECK (cardinality(events) BETWEEN 1 AND 50),
    description           text NOT NULL DEFAULT ''
                          CONSTRAINT webhook_endpoints_description_valid CHECK (length(description) <= 200),
    is_enabled            boolean NOT NULL DEFAULT true,
    disabled_reason       text,
    secret                bytea NOT NULL
                          CONSTRAINT webhook_endpoints_secret_valid CHECK (octet_length(secret) BETWEEN 24 AND 64),
    previous_secret       bytea,
    previous_secret_until timestamptz,
    failing_since         timestamptz,
    version               integer NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhook_endpoints_owner ON webhook_endpoints (owner_id);
CREATE INDEX webhook_endpoints_server_wide ON webhook_endpoints (id) WHERE is_server_wide;

-- What happened and is not yet spread over the endpoints that want it. ``data`` is what they get.
CREATE TABLE webhook_outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CONSTRAINT webhook_outbox_kind_valid CHECK (length(kind) BETWEEN 1 AND 50),
    owner_id    uuid NOT NULL,
    data        json NOT NULL
                CONSTRAINT webhook_outbox_data_valid CHECK (octet_length(data::text) <= 65536),
    happened_at timestamptz NOT NULL DEFAULT now()
);

-- ``step`` is the place in the schedule of retries, ``attempts`` counts all and tells one claim from another.
-- While a delivery is being tried, ``next_attempt_at`` is when another node may take it over.
CREATE TABLE webhook_deliveries (
    id              uuid PRIMARY KEY,
    endpoint_id     uuid NOT NULL CONSTRAINT webhook_deliveries_endpoint_known
                    REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    kind            text NOT NULL,
    payload         text NOT NULL,
    state           text NOT NULL DEFAULT 'pending' CONSTRAINT webhook_deliveries_state_known
                    CHECK (state IN ('pending', 'delivered', 'failed')),
    step            integer NOT NULL DEFAULT 0,
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    last_attempt_at timestamptz,
    last_status     integer,
    last_error      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_deliveries_next_valid CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL))
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (endpoint_id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_history ON webhook_deliveries (endpoint_id, id DESC);

-- Nothing is written for what nobody wants to hear.
CREATE FUNCTION webhook_is_wanted(wanted_kind text, wanted_owner uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM webhook_endpoints
                   WHERE owner_id = wanted_owner AND is_enabled AND wanted_kind = ANY (events))
        OR EXISTS (SELECT FROM webhook_endpoints
                   WHERE is_server_wide AND is_enabled AND wanted_kind = ANY (events))
$$;

CREATE FUNCTION webhook_time(moment timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

CREATE FUNCTION webhook_broadcast() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told_kind text := CASE WHEN NEW.ended_at IS NULL THEN 'room.started' ELSE 'room.ended' END;
BEGIN
    INSERT INTO webhook_outbox (kind, owner_id, data)
    SELECT told_kind, rooms.owner_id, json_strip_nulls(json_build_object(
        'room', json_build_object('id', rooms.id, 'slug', rooms.slug, 'title', rooms.title,
                                  'visibility', rooms.visibility, 'ownerId', rooms.owner_id),
        'broadcastId', NEW.id,
        'startedAt', webhook_time(NEW.started_at),
        'endedAt', webhook_time(NEW.ended_at),
        'peakViewers', CASE WHEN NEW.ended_at IS NOT NULL THEN NEW.peak_viewers END,
        'endReason', NEW.end_reason))
    FROM rooms WHERE rooms.id = NEW.room_id AND webhook_is_wanted(told_kind, rooms.owner_id);
    RETURN NULL;
END
$$;

CREATE TRIGGER broadcasts_started_webhook AFTER INSERT ON broadcasts
    FOR EACH ROW WHEN (NEW.ended_at IS NULL) EXECUTE FUNCTION webhook_broadcast();
CREATE TRIGGER broadcasts_ended_webhook AFTER UPDATE OF ended_at ON broadcasts
    FOR EACH ROW WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL) EXECUTE FUNCTION webhook_broadcast();

-- Once per statement: many follows at a time are looked through together.
CREATE FUNCTION webhook_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_outbox (kind, owner_id, data)
    SELECT 'follow', added.user_id, json_build_object(
        'userId', added.user_id,
        'follower', json_build_object('id', users.id, 'username', users.username,
                                      'displayName', users.display_name),
        'followedAt', webhook_time(added.created_at))
    FROM added JOIN users ON users.id = added.follower_id
    WHERE EXISTS (SELECT FROM webhook_endpoints
                  WHERE owner_id = added.user_id AND is_enabled AND 'follow' = ANY (events))
       OR EXISTS (SELECT FROM webhook_endpoints
                  WHERE is_server_wide AND is_enabled AND 'follow' = ANY (events));
    RETURN NULL;
END
$$;

CREATE TRIGGER follows_webhook AFTER INSERT ON follows
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION webhook_follow();

-- migrate: rollback
