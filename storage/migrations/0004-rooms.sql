-- Room details, categories, tags
-- depends: 0003-users

-- migrate: apply

CREATE TABLE categories (
    id   uuid PRIMARY KEY,
    slug text NOT NULL CONSTRAINT categories_slug_unique UNIQUE
         CONSTRAINT categories_slug_valid CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name text NOT NULL CONSTRAINT categories_name_valid CHECK (length(name) BETWEEN 1 AND 50)
);

-- ``version`` counts the changes to a room's settings; it is the room's ETag. ``thumbnail`` names an object.
ALTER TABLE rooms
    ADD COLUMN description    text NOT NULL DEFAULT ''
               CONSTRAINT rooms_description_valid CHECK (length(description) <= 5000),
    ADD COLUMN category_id    uuid CONSTRAINT rooms_category_known REFERENCES categories (id) ON DELETE SET NULL,
    ADD COLUMN tags           text[] NOT NULL DEFAULT '{}'
               CONSTRAINT rooms_tags_valid CHECK (cardinality(tags) <= 10),
    ADD COLUMN age_restricted boolean NOT NULL DEFAULT false,
    ADD COLUMN max_viewers    integer CONSTRAINT rooms_max_viewers_valid CHECK (max_viewers BETWEEN 1 AND 1000000),
    ADD COLUMN scheduled_for  timestamptz,
    ADD COLUMN thumbnail      text CONSTRAINT rooms_thumbnail_valid CHECK (length(thumbnail) BETWEEN 1 AND 200),
    ADD COLUMN version        integer NOT NULL DEFAULT 1,
    ADD COLUMN updated_at     timestamptz NOT NULL DEFAULT now();
CREATE INDEX rooms_category ON rooms (category_id);
CREATE INDEX rooms_tags ON rooms USING gin (tags);

-- ``ready_at``: when the owner said that the next broadcast is about to begin; null again once it is over.
ALTER TABLE rooms
    ADD COLUMN ready_at timestamptz,
    ADD CONSTRAINT rooms_tags_present CHECK (array_position(tags, NULL) IS NULL);

-- Ids are UUIDv7, so that their order is the order of making. Lists show what is public, the newest first.
CREATE INDEX rooms_public ON rooms (id DESC) WHERE visibility = 'public';
CREATE INDEX rooms_public_category ON rooms (category_id, id DESC) WHERE visibility = 'public';
CREATE INDEX rooms_owner_newest ON rooms (owner_id, id DESC);
DROP INDEX rooms_owner;
CREATE INDEX room_live_state_rank ON room_live_state (viewers DESC, room_id DESC);

-- migrate: rollback
