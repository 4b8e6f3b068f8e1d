-- Passes: short-lived tokens that stand for a key. What signs one never leaves the memory of the process that made it;
-- here is what anybody may check a signature with, until the last pass that it signed has ended.
CREATE TABLE pass_key (
    id         uuid PRIMARY KEY, -- the `kid` of a pass
    public     bytea NOT NULL CONSTRAINT pass_key_public_length CHECK (octet_length(public) = 32),
    ends_at    timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT ledger_now()
);

-- Passes that were taken back before their end. A key can only take back its own.
CREATE TABLE denied_pass (
    api_key_id uuid NOT NULL REFERENCES api_key ON DELETE CASCADE,
    id         uuid NOT NULL, -- the `jti`
    ends_at    timestamptz NOT NULL,
    PRIMARY KEY (api_key_id, id)
);
