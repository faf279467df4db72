-- Search, analytics, notifications
-- depends: 0004-rooms

-- migrate: apply

SELECT 1;

-- migrate: rollback
