-- Search, analytics, notifications
-- depends: 0004-rooms

-- migrate: apply

-- Search. Words are compared without case, accents and punctuation; titles, texts and queries go through the same
-- function. It is IMMUTABLE (array_to_string and lower are so for text in one database), as generated columns need.
CREATE FUNCTION search_words(words text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN regexp_replace(
    regexp_replace(lower(normalize(words, NFKD)), '[\u0300-\u036f]', '', 'g'),
    '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u007f]+', ' ', 'g');

CREATE FUNCTION search_document(most text, more text[], rest text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN setweight(to_tsvector('simple'::regconfig, search_words(most)), 'A')
    || setweight(to_tsvector('simple'::regconfig, search_words(array_to_string(more, ' '))), 'B')
    || setweight(to_tsvector('simple'::regconfig, search_words(rest)), 'D');

-- Every word must occur, the last one as the beginning of a word. Null when there is no word.
-- What plainto_tsquery prints is quoted: no operator of the person who searches survives it.
CREATE FUNCTION search_query(words text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (nullif(plainto_tsquery('simple'::regconfig, search_words(words))::text, '') || ':*')::tsquery;

ALTER TABLE rooms ADD COLUMN search tsvector
    GENERATED ALWAYS AS (search_document(title, tags, description)) STORED;
ALTER TABLE users ADD COLUMN search tsvector
    GENERATED ALWAYS AS (search_document(username || ' ' || display_name, '{}', bio)) STORED;
-- Names change seldom and are looked for often: no list of pending entries that each search reads through.
CREATE INDEX rooms_search ON rooms USING gin (search) WITH (fastupdate = off) WHERE visibility = 'public';
CREATE INDEX users_search ON users USING gin (search) WITH (fastupdate = off) WHERE state = 'active';

-- Analytics. One row per room, minute and node that served it; ``live_seconds`` of the minute were looked at.
CREATE TABLE room_minutes (
    room_id          uuid NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    minute           timestamptz NOT NULL,
    node             text NOT NULL,
    peak_viewers     integer NOT NULL,
    watch_seconds    bigint NOT NULL,
    live_seconds     integer NOT NULL,
    joins            integer NOT NULL,
    followers_gained integer NOT NULL,
    PRIMARY KEY (room_id, minute, node),
    CONSTRAINT room_minutes_valid CHECK (
        peak_viewers >= 0 AND watch_seconds >= 0 AND live_seconds >= 0 AND joins >= 0 AND followers_gained >= 0)
);
CREATE INDEX room_minutes_age ON room_minutes (minute, room_id);

-- What minutes become when they are old.
CREATE TABLE room_hours (
    room_id          uuid NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    hour             timestamptz NOT NULL,
    peak_viewers     integer NOT NULL,
    watch_seconds    bigint NOT NULL,
    live_seconds     integer NOT NULL,
    joins            bigint NOT NULL,
    followers_gained bigint NOT NULL,
    PRIMARY KEY (room_id, hour)
);

-- What players report of themselves, by day.
CREATE TABLE room_player_days (
    room_id       uuid NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    day           date NOT NULL,
    protocol      text NOT NULL CONSTRAINT room_player_days_protocol CHECK (length(protocol) BETWEEN 1 AND 20),
    device        text NOT NULL CONSTRAINT room_player_days_device CHECK (length(device) BETWEEN 1 AND 20),
    joins         bigint NOT NULL,
    watch_seconds bigint NOT NULL,
    stalls        bigint NOT NULL,
    errors        bigint NOT NULL,
    PRIMARY KEY (room_id, day, protocol, device)
);

-- Who of the signed-in users watched.
CREATE TABLE room_viewer_days (
    room_id       uuid NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    day           date NOT NULL,
    watch_seconds integer NOT NULL,
    PRIMARY KEY (room_id, day, user_id)
);
CREATE INDEX room_viewer_days_user ON room_viewer_days (user_id, room_id, day);
CREATE INDEX room_viewer_days_age ON room_viewer_days (day);

-- Written in the transaction that writes a minute, so that a minute may be written again and counts once.
CREATE TABLE analytics_writes (
    writer text NOT NULL,
    minute timestamptz NOT NULL,
    PRIMARY KEY (minute, writer)
);

-- Notifications. ``source`` is what a notification comes from: of one source a user hears once. ``in_app`` is
-- false for those that only went out by e-mail or push.
CREATE TABLE notifications (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL CONSTRAINT notifications_user_known REFERENCES users (id) ON DELETE CASCADE,
    kind       text NOT NULL CONSTRAINT notifications_kind_valid CHECK (kind ~ '^[a-z_]{1,40}$'),
    source     text CONSTRAINT notifications_source_valid CHECK (length(source) BETWEEN 1 AND 100),
    data       jsonb NOT NULL CONSTRAINT notifications_data_valid
               CHECK (jsonb_typeof(data) = 'object' AND length(data::text) <= 10000),
    in_app     boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    read_at    timestamptz
);
CREATE UNIQUE INDEX notifications_once ON notifications (user_id, kind, source);
CREATE INDEX notifications_of_user ON notifications (user_id, id DESC) WHERE in_app;
CREATE INDEX notifications_unread ON notifications (user_id, id DESC) WHERE in_app AND read_at IS NULL;

-- Only what differs, or once differed, from the defaults.
CREATE TABLE notification_preferences (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind    text NOT NULL CONSTRAINT notification_preferences_kind_valid CHECK (kind ~ '^[a-z_]{1,40}$'),
    in_app  boolean NOT NULL,
    email   boolean NOT NULL,
    push    boolean NOT NULL,
    PRIMARY KEY (user_id, kind)
);

CREATE TABLE push_subscriptions (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL CONSTRAINT push_subscriptions_user_known REFERENCES users (id) ON DELETE CASCADE,
    endpoint   text NOT NULL CONSTRAINT push_subscriptions_endpoint_unique UNIQUE
               CONSTRAINT push_subscriptions_endpoint_valid
               CHECK (endpoint LIKE 'https://%' AND octet_length(endpoint) <= 1024),
    p256dh     text NOT NULL CONSTRAINT push_subscriptions_p256dh_valid CHECK (length(p256dh) <= 100),
    auth       text NOT NULL CONSTRAINT push_subscriptions_auth_valid CHECK (length(auth) <= 50),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX push_subscriptions_user ON push_subscriptions (user_id, created_at);

-- The outbox of e-mails and pushes. A row is leased by moving ``due_at`` on, and deleted when it is done.
CREATE TABLE notification_deliveries (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    notification_id uuid NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    channel         text NOT NULL CONSTRAINT notification_deliveries_channel CHECK (channel IN ('email', 'push')),
    subscription_id uuid REFERENCES push_subscriptions (id) ON DELETE CASCADE,
    attempts        integer NOT NULL DEFAULT 0,
    due_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT notification_deliveries_target CHECK ((channel = 'push') = (subscription_id IS NOT NULL))
);
CREATE INDEX notification_deliveries_due ON notification_deliveries (due_at);
CREATE INDEX notification_deliveries_notification ON notification_deliveries (notification_id);
CREATE INDEX notification_deliveries_subscription ON notification_deliveries (subscription_id);

-- Broadcasts whose owner's followers are being told. The cursor stands on the last follower who was; the row is
-- deleted after the last one.
CREATE TABLE notification_fanouts (
    broadcast_id   uuid PRIMARY KEY REFERENCES broadcasts (id) ON DELETE CASCADE,
    followed_at    timestamptz NOT NULL DEFAULT now(),
    follower_id    uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    created_at     timestamptz NOT NULL DEFAULT now(),
    advanced_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX notification_fanouts_order ON notification_fanouts (advanced_at);

-- In the transaction that opens the broadcast, so that no crash loses it, and once however many nodes hear of it.
CREATE FUNCTION add_notification_fanout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notification_fanouts (broadcast_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE TRIGGER broadcasts_fan_out AFTER INSERT ON broadcasts
    FOR EACH ROW WHEN (NEW.ended_at IS NULL) EXECUTE FUNCTION add_notification_fanout();

-- migrate: rollback
