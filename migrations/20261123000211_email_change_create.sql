-- Who wishes to be known by another address: it is theirs once the link is followed that was sent there. One at a time, kept
-- as its digest.
CREATE TABLE email_change (
    person_id  uuid PRIMARY KEY REFERENCES person ON DELETE CASCADE,
    email      text NOT NULL CONSTRAINT email_change_email_lower CHECK (email = lower(email)),
    digest     bytea NOT NULL CONSTRAINT email_change_digest_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT ledger_now(),
    expires_at timestamptz NOT NULL
);
