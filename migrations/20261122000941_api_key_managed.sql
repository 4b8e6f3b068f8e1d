-- What people know a key by, and when it was taken back. A key is never deleted: what was done with it names it.
ALTER TABLE api_key
    ADD COLUMN name text NOT NULL DEFAULT '' CONSTRAINT api_key_name_length CHECK (length(name) <= 100),
    ADD COLUMN revoked_at timestamptz;
CREATE INDEX api_key_by_workspace ON api_key (workspace_id, created_at DESC);
