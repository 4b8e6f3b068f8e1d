-- The first answer to a write, kept to be given again. The row is written in the transaction it answers for.
CREATE TABLE idempotency_key (
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    key          text NOT NULL CONSTRAINT idempotency_key_length CHECK (length(key) BETWEEN 1 AND 255),
    digest       bytea NOT NULL, -- of the route and the body
    status       smallint NOT NULL,
    body         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT ledger_now(),
    PRIMARY KEY (workspace_id, key)
);
CREATE INDEX idempotency_key_age ON idempotency_key (created_at);
