-- Receipts are due until they are delivered
-- depends: 0015-late-payments

-- migrate: apply

-- While somebody delivers a receipt, nobody else does before ``receipt_after``.
ALTER TABLE purchases ADD COLUMN receipt_after timestamptz;

-- migrate: rollback
