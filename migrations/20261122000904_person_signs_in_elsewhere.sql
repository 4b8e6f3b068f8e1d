-- Who signs in with Google needs no password here. The account there is known by its own name for it and never by its
-- address, which may become another's.
ALTER TABLE person ALTER COLUMN password_hash DROP NOT NULL;
CREATE TABLE person_identity (
    issuer     text NOT NULL,
    subject    text NOT NULL,
    person_id  uuid NOT NULL REFERENCES person ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT ledger_now(),
    PRIMARY KEY (issuer, subject),
    CONSTRAINT person_identity_person_key UNIQUE (issuer, person_id)
);
