-- Sessions, codes, API keys, audit
-- depends: 0001-users-rooms-keys

-- migrate: apply

ALTER TABLE users
    ADD COLUMN email_verified_at   timestamptz,
    ADD COLUMN accepted_terms_at   timestamptz,
    ADD COLUMN password_changed_at timestamptz NOT NULL DEFAULT now();

-- One row per signed-in device; its id is the family of all refresh tokens that follow each other in it.
CREATE TABLE sessions (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL CONSTRAINT sessions_user_known REFERENCES users (id) ON DELETE CASCADE,
    refresh_hash  bytea NOT NULL CONSTRAINT sessions_refresh_unique UNIQUE
                  CONSTRAINT sessions_refresh_length CHECK (octet_length(refresh_hash) = 32),
    previous_hash bytea CONSTRAINT sessions_previous_length CHECK (octet_length(previous_hash) = 32),
    rotated_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    last_used_at  timestamptz NOT NULL DEFAULT now(),
    address       text NOT NULL CONSTRAINT sessions_address_length CHECK (length(address) <= 64),
    user_agent    text NOT NULL CONSTRAINT sessions_user_agent_length CHECK (length(user_agent) <= 300),
    remember      boolean NOT NULL DEFAULT false,
    revoked_at    timestamptz,
    CONSTRAINT sessions_expiry_valid CHECK (expires_at > created_at)
);
CREATE INDEX sessions_open ON sessions (user_id, id DESC) WHERE revoked_at IS NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);
CREATE INDEX sessions_revoked ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;

-- The pages' cookie sessions. ``data`` is aiohttp-session's; the cookie's key is kept as a digest only.
CREATE TABLE web_sessions (
    key_hash   bytea PRIMARY KEY CONSTRAINT web_sessions_key_length CHECK (octet_length(key_hash) = 32),
    session_id uuid CONSTRAINT web_sessions_session_known REFERENCES sessions (id) ON DELETE CASCADE,
    data       jsonb NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX web_sessions_session ON web_sessions (session_id);
CREATE INDEX web_sessions_expiry ON web_sessions (expires_at);

-- A code is short and guessable, so ``code_hash`` is an HMAC and ``tries_left`` counts down. A new code takes the
-- place of the one before.
CREATE TABLE one_time_codes (
    user_id    uuid NOT NULL CONSTRAINT one_time_codes_user_known REFERENCES users (id) ON DELETE CASCADE,
    purpose    text NOT NULL CONSTRAINT one_time_codes_purpose_known
               CHECK (purpose IN ('verify_email', 'reset_password', 'login_otp')),
    code_hash  bytea NOT NULL CONSTRAINT one_time_codes_hash_length CHECK (octet_length(code_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    tries_left integer NOT NULL DEFAULT 5 CONSTRAINT one_time_codes_tries_valid CHECK (tries_left >= 0),
    used_at    timestamptz,
    PRIMARY KEY (user_id, purpose)
);

-- ``secret`` is encrypted under a key derived from the installation's secret. ``last_step`` is the newest time
-- step whose code was accepted, so that none is accepted twice.
CREATE TABLE totp_secrets (
    user_id      uuid PRIMARY KEY CONSTRAINT totp_secrets_user_known REFERENCES users (id) ON DELETE CASCADE,
    secret       bytea NOT NULL CONSTRAINT totp_secrets_length CHECK (octet_length(secret) <= 256),
    created_at   timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    last_step    bigint
);

CREATE TABLE backup_codes (
    user_id   uuid NOT NULL CONSTRAINT backup_codes_user_known REFERENCES users (id) ON DELETE CASCADE,
    code_hash bytea NOT NULL CONSTRAINT backup_codes_hash_length CHECK (octet_length(code_hash) = 32),
    used_at   timestamptz,
    PRIMARY KEY (user_id, code_hash)
);

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL CONSTRAINT api_keys_user_known REFERENCES users (id) ON DELETE CASCADE,
    name         text NOT NULL CONSTRAINT api_keys_name_valid CHECK (length(name) BETWEEN 1 AND 100),
    prefix       text NOT NULL CONSTRAINT api_keys_prefix_valid CHECK (length(prefix) BETWEEN 1 AND 20),
    key_hash     bytea NOT NULL CONSTRAINT api_keys_hash_unique UNIQUE
                 CONSTRAINT api_keys_hash_length CHECK (octet_length(key_hash) = 32),
    scopes       text[] NOT NULL CONSTRAINT api_keys_scopes_valid CHECK (cardinality(scopes) BETWEEN 1 AND 50),
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    expires_at   timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_user ON api_keys (user_id, id DESC);

-- Outlives whom it tells of: no foreign keys. The id is a UUIDv7, so it sorts by time.
CREATE TABLE audit_log (
    id           uuid PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT now(),
    actor_id     uuid,
    action       text NOT NULL CONSTRAINT audit_log_action_valid CHECK (length(action) BETWEEN 1 AND 100),
    subject_kind text NOT NULL CONSTRAINT audit_log_subject_kind_valid
                 CHECK (length(subject_kind) BETWEEN 1 AND 50),
    subject_id   text CONSTRAINT audit_log_subject_id_length CHECK (length(subject_id) <= 200),
    address      text NOT NULL CONSTRAINT audit_log_address_length CHECK (length(address) <= 64),
    details      jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_actor ON audit_log (actor_id, id DESC);
CREATE INDEX audit_log_action ON audit_log (action, id DESC);
CREATE INDEX audit_log_subject ON audit_log (subject_kind, subject_id, id DESC);
CREATE INDEX audit_log_time ON audit_log (at);

-- A revoked session must end on every node at once.
CREATE FUNCTION notify_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mediaserver', json_build_object('kind', 'user', 'user_id', OLD.user_id)::text);
    RETURN NULL;
END
$$;

CREATE TRIGGER sessions_revoked_notify AFTER UPDATE OF revoked_at ON sessions
    FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION notify_session();
CREATE TRIGGER sessions_deleted_notify AFTER DELETE ON sessions
    FOR EACH ROW WHEN (OLD.revoked_at IS NULL) EXECUTE FUNCTION notify_session();

-- migrate: rollback
