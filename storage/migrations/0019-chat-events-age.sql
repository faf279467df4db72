-- Events of the chat are purged by their age, as messages are
-- depends: 0018-low-latency

-- migrate: apply

CREATE INDEX chat_events_age ON chat_events (created_at);

-- migrate: rollback
