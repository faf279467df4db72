-- Discount codes of purchases that were paid after their end
-- depends: 0014-money-repairs

-- migrate: apply

-- ``late_uses`` of ``uses`` are of purchases that had given the code back, and were paid for all the same: what was
-- paid cannot be refused, so they count even above the limit.
ALTER TABLE discount_codes
    ADD COLUMN late_uses integer NOT NULL DEFAULT 0
        CONSTRAINT discount_codes_late_uses_valid CHECK (late_uses >= 0),
    DROP CONSTRAINT discount_codes_not_overused,
    ADD CONSTRAINT discount_codes_not_overused CHECK (max_uses IS NULL OR uses - late_uses <= max_uses);

-- migrate: rollback
