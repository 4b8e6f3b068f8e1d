-- What a network last said of an account: read by workers, shown with its age, and never what decides.
CREATE TABLE account_fact (
    account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    kind       text NOT NULL CONSTRAINT account_fact_kind_word CHECK (kind ~ '^[a-z][a-z_]{1,39}$'),
    value      jsonb NOT NULL,
    read_at    timestamptz NOT NULL DEFAULT ledger_now(),
    PRIMARY KEY (account_id, kind)
);
