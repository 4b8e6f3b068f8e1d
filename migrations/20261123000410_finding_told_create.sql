-- What the checks before its time found that keeps a publication from going out, and whether its people were told by
-- mail: of each finding once, however often it is found.
CREATE TABLE finding_told (
    publication_id uuid NOT NULL REFERENCES publication ON DELETE CASCADE,
    code           text NOT NULL,   -- the finding's
    found_at       timestamptz NOT NULL DEFAULT ledger_now(),
    told_at        timestamptz,     -- null while nobody was told
    CONSTRAINT finding_told_key PRIMARY KEY (publication_id, code)
);
CREATE INDEX finding_told_waiting ON finding_told (found_at) WHERE told_at IS NULL;
