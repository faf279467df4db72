-- Whether the audience of a room may watch by WebRTC
-- depends: 0017-refund-currencies

-- migrate: apply

-- A constant default is kept beside the table: no row is written anew.
ALTER TABLE rooms ADD COLUMN low_latency boolean NOT NULL DEFAULT true;

-- migrate: rollback
