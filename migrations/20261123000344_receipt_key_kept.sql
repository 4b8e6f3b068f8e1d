-- Which keys the object store has too: a receipt can be verified when the ledger is lost.
ALTER TABLE receipt_key ADD COLUMN kept_at timestamptz;
