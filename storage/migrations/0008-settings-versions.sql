-- Versions of what users set of themselves
-- depends: 0007-plumbing

-- migrate: apply

-- Each counts the changes of one thing, for ETags: the profile, and how one wants to be told of things.
ALTER TABLE users
    ADD COLUMN profile_version integer NOT NULL DEFAULT 1,
    ADD COLUMN notification_version integer NOT NULL DEFAULT 1;

-- migrate: rollback
