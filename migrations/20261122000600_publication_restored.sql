-- After a restore from a backup, what was due by then may have been sent since, whatever the ledger says of it: only
-- evidence that it is public counts.
ALTER TABLE publication ADD COLUMN restored_at timestamptz;
