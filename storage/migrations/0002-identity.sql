-- Sessions, codes, API keys, audit
-- depends: 0001-users-rooms-keys

-- migrate: apply

SELECT 1;

-- migrate: rollback
