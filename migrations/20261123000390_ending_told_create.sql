-- The end of a connection that the workspace's administrators were last told of by mail: one letter for an end, and not
-- one for each post that it breaks.
CREATE TABLE ending_told (
    account_id uuid PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    because    text NOT NULL CONSTRAINT ending_told_because_word CHECK (because ~ '^[a-z][a-z_]{1,39}$'),
    ends_at    timestamptz NOT NULL,
    told_at    timestamptz NOT NULL DEFAULT ledger_now()
);
