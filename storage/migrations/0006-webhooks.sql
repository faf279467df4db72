-- Outbound webhooks
-- depends: 0005-discovery

-- migrate: apply

SELECT 1;

-- migrate: rollback
