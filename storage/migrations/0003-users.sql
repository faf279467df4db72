-- Profiles, follows, blocks, reports, creators
-- depends: 0002-identity

-- migrate: apply

SELECT 1;

-- migrate: rollback
