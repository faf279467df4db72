-- Events of the chat are purged by their age, as messages are; administrators list purchases by state
-- depends: 0018-low-latency

-- migrate: apply

CREATE INDEX chat_events_age ON chat_events (created_at);
CREATE INDEX purchases_by_state ON purchases (state, id DESC);

-- migrate: rollback
