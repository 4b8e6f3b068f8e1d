-- A request that a restore has brought back counts its promises from the restore on; what a restore needs of it is kept outside
-- of the ledger from the moment in which it is accepted.
ALTER TABLE deletion_request
    ADD COLUMN restored_at timestamptz, -- its clocks run from then
    ADD COLUMN stone_at    timestamptz; -- when that was kept; null: it is not, or not as it is now
