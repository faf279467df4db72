-- Profiles, follows, blocks, reports, creators
-- depends: 0002-identity

-- migrate: apply

-- ``avatar`` is the name of an object, or null.
ALTER TABLE users
    ADD COLUMN bio        text NOT NULL DEFAULT '' CONSTRAINT users_bio_valid CHECK (length(bio) <= 500),
    ADD COLUMN avatar     text CONSTRAINT users_avatar_valid CHECK (length(avatar) BETWEEN 1 AND 200),
    ADD COLUMN is_creator boolean NOT NULL DEFAULT false,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();

-- For the operator's list: by state and role, and by how a name or an address begins.
CREATE INDEX users_state ON users (state, id);
CREATE INDEX users_role ON users (role, id);
CREATE INDEX users_username_prefix ON users (lower(username) text_pattern_ops);
CREATE INDEX users_email_prefix ON users (lower(email) text_pattern_ops);

-- Who deletes an account takes its sessions along, those that have ended too.
CREATE INDEX sessions_of_user ON sessions (user_id);

CREATE TABLE follows (
    follower_id uuid NOT NULL CONSTRAINT follows_follower_known REFERENCES users (id) ON DELETE CASCADE,
    user_id     uuid NOT NULL CONSTRAINT follows_user_known REFERENCES users (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (follower_id, user_id),
    CONSTRAINT follows_somebody_else CHECK (follower_id <> user_id)
);
CREATE INDEX follows_followers ON follows (user_id, created_at DESC, follower_id);
CREATE INDEX follows_following ON follows (follower_id, created_at DESC, user_id);

-- How many rows of follows there are, so that nobody counts a million of them for one profile.
CREATE TABLE follow_counts (
    user_id   uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    followers bigint NOT NULL DEFAULT 0,
    following bigint NOT NULL DEFAULT 0,
    CONSTRAINT follow_counts_valid CHECK (followers >= 0 AND following >= 0)
);

-- One statement counts once, however many rows it has. Rows are locked in the order of their ids, so that
-- two who follow each other at the same moment cannot wait for each other for ever.
CREATE FUNCTION count_new_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO follow_counts AS counts (user_id, followers, following)
        SELECT id, sum(followers), sum(following)
        FROM (SELECT user_id AS id, 1 AS followers, 0 AS following FROM added
              UNION ALL SELECT follower_id, 0, 1 FROM added) AS changes
        GROUP BY id ORDER BY id
        ON CONFLICT (user_id) DO UPDATE
            SET followers = counts.followers + EXCLUDED.followers,
                following = counts.following + EXCLUDED.following;
    RETURN NULL;
END
$$;

CREATE TRIGGER follows_added AFTER INSERT ON follows
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_new_follows();

-- Every node hears of who left, because they may see less than before. Who went with an account that is no
-- longer active is not told of one by one: the account's own notification says enough.
CREATE FUNCTION count_ended_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM follow_counts
        WHERE user_id IN (SELECT user_id FROM removed UNION SELECT follower_id FROM removed)
        ORDER BY user_id FOR UPDATE;
    UPDATE follow_counts AS counts
        SET followers = counts.followers - changes.followers, following = counts.following - changes.following
        FROM (SELECT id, sum(followers) AS followers, sum(following) AS following
              FROM (SELECT user_id AS id, 1 AS followers, 0 AS following FROM removed
                    UNION ALL SELECT follower_id, 0, 1 FROM removed) AS ends
              GROUP BY id) AS changes
        WHERE counts.user_id = changes.id;
    PERFORM pg_notify('mediaserver', json_build_object(
            'kind', 'relation', 'user_id', removed.follower_id, 'owner_id', removed.user_id)::text)
        FROM removed
        JOIN users AS followers ON followers.id = removed.follower_id AND followers.state = 'active'
        JOIN users AS owners ON owners.id = removed.user_id AND owners.state = 'active';
    RETURN NULL;
END
$$;

CREATE TRIGGER follows_removed AFTER DELETE ON follows
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_ended_follows();

-- ``user_id`` does not want to hear of ``blocked_id``.
CREATE TABLE blocks (
    user_id    uuid NOT NULL CONSTRAINT blocks_user_known REFERENCES users (id) ON DELETE CASCADE,
    blocked_id uuid NOT NULL CONSTRAINT blocks_blocked_known REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, blocked_id),
    CONSTRAINT blocks_somebody_else CHECK (user_id <> blocked_id)
);
CREATE INDEX blocks_blocked ON blocks (blocked_id);
CREATE INDEX blocks_newest ON blocks (user_id, created_at DESC, blocked_id);

CREATE FUNCTION notify_block() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mediaserver', json_build_object(
        'kind', 'relation', 'user_id', NEW.blocked_id, 'owner_id', NEW.user_id)::text);
    RETURN NULL;
END
$$;

CREATE TRIGGER blocks_notify AFTER INSERT ON blocks FOR EACH ROW EXECUTE FUNCTION notify_block();

-- Whoever changes a state or a role, by the API or a shell: every node drops what it knows of the user.
CREATE FUNCTION notify_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('mediaserver', json_build_object('kind', 'user', 'user_id', NEW.id)::text);
    RETURN NULL;
END
$$;

CREATE TRIGGER users_notify_self AFTER UPDATE OF state, role ON users
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state OR OLD.role IS DISTINCT FROM NEW.role)
    EXECUTE FUNCTION notify_user();

-- A subject has no foreign key: a report outlives what it is about.
CREATE TABLE reports (
    id           uuid PRIMARY KEY,
    reporter_id  uuid NOT NULL CONSTRAINT reports_reporter_known REFERENCES users (id) ON DELETE CASCADE,
    subject_kind text NOT NULL CONSTRAINT reports_subject_kind_known
                 CHECK (subject_kind IN ('user', 'room', 'message')),
    subject_id   uuid NOT NULL,
    reason       text NOT NULL CONSTRAINT reports_reason_valid CHECK (length(reason) BETWEEN 1 AND 30),
    text         text NOT NULL DEFAULT '' CONSTRAINT reports_text_valid CHECK (length(text) <= 1000),
    state        text NOT NULL DEFAULT 'open' CONSTRAINT reports_state_known
                 CHECK (state IN ('open', 'actioned', 'dismissed')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    resolved_by  uuid CONSTRAINT reports_resolver_known REFERENCES users (id) ON DELETE SET NULL,
    resolved_at  timestamptz,
    note         text NOT NULL DEFAULT '' CONSTRAINT reports_note_valid CHECK (length(note) <= 1000),
    CONSTRAINT reports_resolution_valid CHECK ((state = 'open') = (resolved_at IS NULL))
);
CREATE UNIQUE INDEX reports_once_open ON reports (reporter_id, subject_kind, subject_id) WHERE state = 'open';
CREATE INDEX reports_queue ON reports (state, id);
CREATE INDEX reports_reporter ON reports (reporter_id, id);
CREATE INDEX reports_subject ON reports (subject_kind, subject_id);
CREATE INDEX reports_resolver ON reports (resolved_by);

CREATE TABLE creator_applications (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL CONSTRAINT creator_applications_user_known REFERENCES users (id) ON DELETE CASCADE,
    text       text NOT NULL CONSTRAINT creator_applications_text_valid CHECK (length(text) BETWEEN 1 AND 2000),
    state      text NOT NULL DEFAULT 'pending' CONSTRAINT creator_applications_state_known
               CHECK (state IN ('pending', 'approved', 'rejected')),
    created_at timestamptz NOT NULL DEFAULT now(),
    decided_by uuid CONSTRAINT creator_applications_decider_known REFERENCES users (id) ON DELETE SET NULL,
    decided_at timestamptz,
    note       text NOT NULL DEFAULT '' CONSTRAINT creator_applications_note_valid CHECK (length(note) <= 1000),
    CONSTRAINT creator_applications_decision_valid CHECK ((state = 'pending') = (decided_at IS NULL))
);
CREATE UNIQUE INDEX creator_applications_one_pending ON creator_applications (user_id) WHERE state = 'pending';
CREATE INDEX creator_applications_queue ON creator_applications (state, id);
CREATE INDEX creator_applications_user ON creator_applications (user_id, id);
CREATE INDEX creator_applications_decider ON creator_applications (decided_by);

-- migrate: rollback
