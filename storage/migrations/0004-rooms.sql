-- Room details, categories, tags
-- depends: 0003-users

-- migrate: apply

SELECT 1;

-- migrate: rollback
