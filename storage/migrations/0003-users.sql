-- Profiles, follows, blocks, reports, creators
-- depends: 0002-identity

-- migrate: apply

-- ``avatar`` is the name of an object, or null.
ALTER TABLE users
    ADD COLUMN bio        text NOT NULL DEFAULT '' CONSTRAINT users_bio_valid CHECK (length(bio) <= 500),
    ADD COLUMN avatar     text CONSTRAINT users_avatar_valid CHECK (length(avatar) BETWEEN 1 AND 200),
    ADD COLUMN is_creator boolean NOT NULL DEFAULT false,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();

CREATE TABLE follows (
    follower_id uuid NOT NULL CONSTRAINT follows_follower_known REFERENCES users (id) ON DELETE CASCADE,
    user_id     uuid NOT NULL CONSTRAINT follows_user_known REFERENCES users (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (follower_id, user_id),
    CONSTRAINT follows_somebody_else CHECK (follower_id <> user_id)
);
CREATE INDEX follows_followers ON follows (user_id, created_at DESC, follower_id);
CREATE INDEX follows_following ON follows (follower_id, created_at DESC, user_id);

-- ``user_id`` does not want to hear of ``blocked_id``.
CREATE TABLE blocks (
    user_id    uuid NOT NULL CONSTRAINT blocks_user_known REFERENCES users (id) ON DELETE CASCADE,
    blocked_id uuid NOT NULL CONSTRAINT blocks_blocked_known REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, blocked_id),
    CONSTRAINT blocks_somebody_else CHECK (user_id <> blocked_id)
);
CREATE INDEX blocks_blocked ON blocks (blocked_id);

-- migrate: rollback
