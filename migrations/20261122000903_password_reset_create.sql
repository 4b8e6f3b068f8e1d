-- Who has asked for a new password: one link at a time, kept as its digest.
CREATE TABLE password_reset (
    person_id  uuid PRIMARY KEY REFERENCES person ON DELETE CASCADE,
    digest     bytea NOT NULL CONSTRAINT password_reset_digest_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT ledger_now(),
    expires_at timestamptz NOT NULL
);
