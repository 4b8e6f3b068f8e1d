-- What the latest check before its time found about a publication; an empty list: nothing.
CREATE TABLE publication_check (
    publication_id uuid PRIMARY KEY REFERENCES publication ON DELETE CASCADE,
    checked_at     timestamptz NOT NULL DEFAULT ledger_now(),
    findings       jsonb NOT NULL CONSTRAINT publication_check_is_a_list CHECK (jsonb_typeof(findings) = 'array')
);
