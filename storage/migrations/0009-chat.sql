-- Chat: rooms' logs, messages, bans, moderators, blocked terms
-- depends: 0007-plumbing

-- migrate: apply

-- The row numbers all that has a place in the room's order, so who holds it decides the order. It is made with
-- the first need. Who holds it must not wait for one who deletes the room, and so waits for it. So everything
-- else of a room's chat points here and not to rooms; and here triggers stand for a foreign key, which would be
-- looked at anew when a transaction writes the row for the second time.
-- ``version`` counts the changes of the settings. Messages up to ``cleared_offset`` are no longer shown.
CREATE TABLE chat_rooms (
    room_id                uuid PRIMARY KEY,
    epoch                  text NOT NULL DEFAULT substr(replace(gen_random_uuid()::text, '-', ''), 1, 16)
                           CONSTRAINT chat_rooms_epoch_valid CHECK (length(epoch) BETWEEN 1 AND 32),
    last_offset            bigint NOT NULL DEFAULT 0,
    cleared_offset         bigint NOT NULL DEFAULT 0,
    cleared_at             timestamptz,
    pinned_id              uuid,
    slow_mode_seconds      integer NOT NULL DEFAULT 0 CONSTRAINT chat_rooms_slow_mode_valid
                           CHECK (slow_mode_seconds = 0 OR slow_mode_seconds BETWEEN 3 AND 120),
    followers_only_seconds integer
                           CONSTRAINT chat_rooms_followers_only_valid CHECK (followers_only_seconds >= 0),
    subscribers_only       boolean NOT NULL DEFAULT false,
    emote_only             boolean NOT NULL DEFAULT false,
    unique_chat            boolean NOT NULL DEFAULT false,
    links                  text NOT NULL DEFAULT 'allow'
                           CONSTRAINT chat_rooms_links_known CHECK (links IN ('allow', 'hold', 'refuse')),
    version                integer NOT NULL DEFAULT 1,
    CONSTRAINT chat_rooms_offsets_valid CHECK (cleared_offset BETWEEN 0 AND last_offset),
    CONSTRAINT chat_rooms_clearing_valid CHECK ((cleared_at IS NULL) = (cleared_offset = 0))
) WITH (fillfactor = 50);

CREATE FUNCTION check_chat_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM rooms WHERE id = NEW.room_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = 'there is no such room',
            TABLE = 'chat_rooms', CONSTRAINT = 'chat_rooms_room_known';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER chat_rooms_room_known BEFORE INSERT OR UPDATE OF room_id ON chat_rooms
    FOR EACH ROW EXECUTE FUNCTION check_chat_room();

CREATE FUNCTION delete_chat_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM chat_rooms WHERE room_id = OLD.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER rooms_delete_chat AFTER DELETE ON rooms FOR EACH ROW EXECUTE FUNCTION delete_chat_room();

-- Numbers for ``counts`` new entries of each of ``room_ids``, which are in order: two who want the same rooms
-- cannot wait for each other for ever. Nothing is done unless all rooms have their rows. One UPDATE for all rooms
-- would lock them in any order, and one that has locked them before deadlocks when many wait.
CREATE FUNCTION take_chat_offsets(room_ids uuid[], counts bigint[])
RETURNS TABLE (counted_id uuid, counted_offset bigint) LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM chat_rooms WHERE room_id = ANY (room_ids)) < cardinality(room_ids) THEN
        RETURN;
    END IF;
    FOR place IN 1 .. cardinality(room_ids) LOOP
        UPDATE chat_rooms SET last_offset = last_offset + counts[place] WHERE room_id = room_ids[place]
            RETURNING room_id, last_offset INTO counted_id, counted_offset;
        IF FOUND THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

-- Names are those of the time of writing. Users have no foreign key: a batch of many people's messages must not
-- wait for one account that is being deleted, and rows of users are never removed.
CREATE TABLE chat_messages (
    id           uuid NOT NULL,
    room_id      uuid NOT NULL
                 CONSTRAINT chat_messages_room_known REFERENCES chat_rooms (room_id) ON DELETE CASCADE,
    log_offset   bigint CONSTRAINT chat_messages_offset_valid CHECK (log_offset > 0),
    user_id      uuid NOT NULL,
    username     text NOT NULL
                 CONSTRAINT chat_messages_username_valid CHECK (length(username) BETWEEN 1 AND 30),
    display_name text NOT NULL
                 CONSTRAINT chat_messages_display_name_valid CHECK (length(display_name) BETWEEN 1 AND 50),
    badge        text CONSTRAINT chat_messages_badge_known CHECK (badge IN ('owner', 'moderator', 'staff')),
    message      text NOT NULL CONSTRAINT chat_messages_message_valid CHECK (length(message) <= 2000),
    reply_to     uuid,
    mentions     jsonb NOT NULL CONSTRAINT chat_messages_mentions_valid
                 CHECK (jsonb_typeof(mentions) = 'array' AND length(mentions::text) <= 10000),
    created_at   timestamptz NOT NULL,
    state        text NOT NULL DEFAULT 'visible' CONSTRAINT chat_messages_state_known
                 CHECK (state IN ('visible', 'held', 'denied', 'shadowed')),
    hold_reason  text CONSTRAINT chat_messages_hold_reason_valid CHECK (length(hold_reason) <= 500),
    deleted_at   timestamptz,
    deleted_by   uuid,
    CONSTRAINT chat_messages_id_unique PRIMARY KEY (id, room_id),
    CONSTRAINT chat_messages_order UNIQUE (room_id, log_offset),
    CONSTRAINT chat_messages_place_valid CHECK ((state = 'visible') = (log_offset IS NOT NULL)),
    CONSTRAINT chat_messages_present CHECK (message <> '' OR deleted_at IS NOT NULL),
    CONSTRAINT chat_messages_deletion_valid CHECK (deleted_by IS NULL OR deleted_at IS NOT NULL)
);
CREATE INDEX chat_messages_of_user ON chat_messages (user_id, id) INCLUDE (room_id) WHERE message <> '';
CREATE INDEX chat_messages_held ON chat_messages (room_id, id) WHERE state = 'held' AND deleted_at IS NULL;

-- A foreign key would do, but be looked at for each message when a room is deleted, which takes ten times as
-- long. Messages are removed with their room only.
CREATE FUNCTION check_pinned_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM chat_messages WHERE id = NEW.pinned_id AND room_id = NEW.room_id) THEN
        RAISE foreign_key_violation USING MESSAGE = 'the pinned message is not of the room',
            TABLE = 'chat_rooms', CONSTRAINT = 'chat_rooms_pinned_known';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER chat_rooms_pinned_known BEFORE INSERT OR UPDATE OF pinned_id ON chat_rooms
    FOR EACH ROW WHEN (NEW.pinned_id IS NOT NULL) EXECUTE FUNCTION check_pinned_message();

-- All else in the order: who was banned, what was given, when the stream began.
CREATE TABLE chat_events (
    room_id    uuid NOT NULL
               CONSTRAINT chat_events_room_known REFERENCES chat_rooms (room_id) ON DELETE CASCADE,
    log_offset bigint NOT NULL CONSTRAINT chat_events_offset_valid CHECK (log_offset > 0),
    kind       text NOT NULL CONSTRAINT chat_events_kind_valid CHECK (kind ~ '^[a-z][a-z-]{0,39}$'),
    data       jsonb NOT NULL CONSTRAINT chat_events_data_valid
               CHECK (jsonb_typeof(data) = 'object' AND length(data::text) <= 10000),
    created_at timestamptz NOT NULL,
    CONSTRAINT chat_events_order PRIMARY KEY (room_id, log_offset)
);
-- A tip carries words of the one who gave it.
CREATE INDEX chat_events_tips ON chat_events ((data #>> '{from,userId}')) WHERE kind = 'tip';

-- For ever without ``until``. One who is banned as a shadow does not learn of it.
CREATE TABLE chat_bans (
    room_id    uuid NOT NULL
               CONSTRAINT chat_bans_room_known REFERENCES chat_rooms (room_id) ON DELETE CASCADE,
    user_id    uuid NOT NULL CONSTRAINT chat_bans_user_known REFERENCES users (id) ON DELETE CASCADE,
    until      timestamptz,
    is_shadow  boolean NOT NULL DEFAULT false,
    reason     text NOT NULL DEFAULT '' CONSTRAINT chat_bans_reason_valid CHECK (length(reason) <= 500),
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room_id, user_id),
    CONSTRAINT chat_bans_until_valid CHECK (until > created_at)
);
CREATE INDEX chat_bans_user ON chat_bans (user_id);
CREATE INDEX chat_bans_expiry ON chat_bans (until) WHERE until IS NOT NULL;

CREATE TABLE chat_moderators (
    room_id    uuid NOT NULL
               CONSTRAINT chat_moderators_room_known REFERENCES chat_rooms (room_id) ON DELETE CASCADE,
    user_id    uuid NOT NULL CONSTRAINT chat_moderators_user_known REFERENCES users (id) ON DELETE CASCADE,
    added_by   uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room_id, user_id)
);
CREATE INDEX chat_moderators_user ON chat_moderators (user_id);

CREATE TABLE chat_blocked_terms (
    room_id  uuid NOT NULL
             CONSTRAINT chat_blocked_terms_room_known REFERENCES chat_rooms (room_id) ON DELETE CASCADE,
    place    integer NOT NULL CONSTRAINT chat_blocked_terms_count CHECK (place BETWEEN 1 AND 500),
    text     text NOT NULL CONSTRAINT chat_blocked_terms_text_valid CHECK (length(text) BETWEEN 1 AND 200),
    is_regex boolean NOT NULL,
    action   text NOT NULL CONSTRAINT chat_blocked_terms_action_known CHECK (action IN ('refuse', 'hold')),
    PRIMARY KEY (room_id, place),
    CONSTRAINT chat_blocked_terms_once UNIQUE (room_id, text, is_regex)
);

-- migrate: rollback
