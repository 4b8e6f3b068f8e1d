-- Keys of machines. Only a digest is kept: a key is random enough that one hash of it suffices.
CREATE TABLE api_key (
    id           uuid PRIMARY KEY,
    workspace_id uuid REFERENCES workspace ON DELETE CASCADE, -- null: an operator's key
    digest       bytea NOT NULL CONSTRAINT api_key_digest_length CHECK (octet_length(digest) = 32),
    scopes       text[] NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT ledger_now(),
    CONSTRAINT api_key_digest_key UNIQUE (digest)
);
