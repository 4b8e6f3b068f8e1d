-- What people have said of publications that nobody could prove public or not: what, who, when and why.
CREATE TABLE verdict (
    id             uuid PRIMARY KEY,
    publication_id uuid NOT NULL REFERENCES publication ON DELETE CASCADE,
    published      boolean NOT NULL,
    reason         text CONSTRAINT verdict_reason_length CHECK (length(reason) BETWEEN 1 AND 500),
    permalink      text,
    said_by        text NOT NULL CONSTRAINT verdict_said_by_known CHECK (said_by IN ('person', 'key', 'operator')),
    person_id      uuid REFERENCES person ON DELETE SET NULL,
    api_key_id     uuid,
    decided_at     timestamptz NOT NULL DEFAULT ledger_now(),
    CONSTRAINT verdict_no_has_a_reason CHECK (published OR reason IS NOT NULL)
);
CREATE INDEX verdict_by_publication ON verdict (publication_id, decided_at);
