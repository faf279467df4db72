-- Users, rooms, stream keys and broadcasts
-- depends:

-- migrate: apply

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    username      text NOT NULL CONSTRAINT users_username_valid CHECK (username ~ '^[A-Za-z0-9_]{3,30}$'),
    email         text NOT NULL CONSTRAINT users_email_valid
                  CHECK (length(email) <= 254 AND email ~ '^[^@[:space:]]+@[^@[:space:]]+$'),
    display_name  text NOT NULL CONSTRAINT users_display_name_valid
                  CHECK (length(display_name) BETWEEN 1 AND 50),
    password_hash text NOT NULL,
    role          text NOT NULL DEFAULT 'user' CONSTRAINT users_role_known
                  CHECK (role IN ('user', 'moderator', 'admin', 'superadmin')),
    state         text NOT NULL DEFAULT 'active' CONSTRAINT users_state_known
                  CHECK (state IN ('active', 'suspended', 'banned', 'deleted')),
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_username_unique ON users (lower(username));
CREATE UNIQUE INDEX users_email_unique ON users (lower(email));

-- A slug never looks like an id, so that either can stand in an address.
CREATE TABLE rooms (
    id         uuid PRIMARY KEY,
    owner_id   uuid NOT NULL CONSTRAINT rooms_owner_known REFERENCES users (id),
    slug       text CONSTRAINT rooms_slug_unique UNIQUE CONSTRAINT rooms_slug_valid
               CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'
                      AND slug !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'),
    title      text NOT NULL CONSTRAINT rooms_title_valid CHECK (length(title) BETWEEN 1 AND 100),
    visibility text NOT NULL DEFAULT 'public' CONSTRAINT rooms_visibility_known
               CHECK (visibility IN ('public', 'unlisted', 'followers', 'subscribers', 'private')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rooms_owner ON rooms (owner_id);

CREATE TABLE stream_keys (
    room_id    uuid PRIMARY KEY CONSTRAINT stream_keys_room_known REFERENCES rooms (id) ON DELETE CASCADE,
    key_hash   bytea NOT NULL CONSTRAINT stream_keys_hash_unique UNIQUE
               CONSTRAINT stream_keys_hash_length CHECK (octet_length(key_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    rotated_at timestamptz
);

CREATE TABLE broadcasts (
    id           uuid PRIMARY KEY,
    room_id      uuid NOT NULL CONSTRAINT broadcasts_room_known REFERENCES rooms (id) ON DELETE CASCADE,
    started_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    duration     interval GENERATED ALWAYS AS (ended_at - started_at) STORED,
    peak_viewers integer NOT NULL DEFAULT 0 CONSTRAINT broadcasts_peak_valid CHECK (peak_viewers >= 0),
    end_reason   text,
    CONSTRAINT broadcasts_end_valid CHECK ((ended_at IS NULL) = (end_reason IS NULL) AND ended_at >= started_at)
);
CREATE UNIQUE INDEX broadcasts_one_open ON broadcasts (room_id) WHERE ended_at IS NULL;
CREATE INDEX broadcasts_history ON broadcasts (room_id, started_at DESC);

CREATE TABLE room_live_state (
    room_id      uuid PRIMARY KEY REFERENCES rooms (id) ON DELETE CASCADE,
    broadcast_id uuid NOT NULL UNIQUE REFERENCES broadcasts (id) ON DELETE CASCADE,
    node         text NOT NULL,
    started_at   timestamptz NOT NULL,
    viewers      integer NOT NULL DEFAULT 0 CONSTRAINT room_live_state_viewers_valid CHECK (viewers >= 0),
    last_seen    timestamptz NOT NULL
);
CREATE INDEX room_live_state_node ON room_live_state (node);

-- Whatever changes who may publish or watch is told to every node at once, whoever made the change.
CREATE FUNCTION notify_stream_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mediaserver', json_build_object('kind', 'stream_key', 'room_id', NEW.room_id)::text);
    RETURN NULL;
END
$$;

CREATE TRIGGER stream_keys_notify AFTER INSERT OR UPDATE ON stream_keys
    FOR EACH ROW EXECUTE FUNCTION notify_stream_key();

CREATE FUNCTION notify_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM pg_notify('mediaserver', json_build_object('kind', 'room_deleted', 'room_id', OLD.id)::text);
    ELSE
        PERFORM pg_notify('mediaserver', json_build_object('kind', 'room', 'room_id', NEW.id)::text);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER rooms_notify AFTER INSERT OR UPDATE OR DELETE ON rooms
    FOR EACH ROW EXECUTE FUNCTION notify_room();

CREATE FUNCTION notify_owner_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mediaserver', json_build_object(
        'kind', 'owner', 'room_id', rooms.id, 'is_active', NEW.state = 'active')::text)
    FROM rooms WHERE rooms.owner_id = NEW.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER users_notify AFTER UPDATE OF state ON users
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION notify_owner_state();

-- migrate: rollback
