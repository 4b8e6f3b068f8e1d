-- Links by which clients look at the numbers of some accounts without signing in. Of a link only the digest is kept; it ends
-- by itself, or is taken back, and goes with whoever made it.
CREATE TABLE report (
    id            uuid PRIMARY KEY,
    workspace_id  uuid NOT NULL REFERENCES workspace,
    digest        bytea NOT NULL CONSTRAINT report_digest_key UNIQUE,
    title         text NOT NULL CONSTRAINT report_title_length CHECK (length(title) BETWEEN 1 AND 100),
    language      text NOT NULL CONSTRAINT report_language_known CHECK (language IN ('en', 'he')),
    days          smallint, -- always the last so many; null: the days below
    first_day     date,
    last_day      date,
    created_by    uuid NOT NULL REFERENCES person ON DELETE CASCADE,
    created_at    timestamptz NOT NULL DEFAULT ledger_now(),
    expires_at    timestamptz NOT NULL,
    last_used_at  timestamptz, -- to the minute
    taken_back_at timestamptz,
    CONSTRAINT report_covers CHECK (
        CASE WHEN days IS NULL THEN first_day IS NOT NULL AND last_day IS NOT NULL AND first_day <= last_day
             ELSE days BETWEEN 1 AND 366 AND first_day IS NULL AND last_day IS NULL END)
);
CREATE INDEX report_of_workspace ON report (workspace_id, created_at);
CREATE INDEX report_of_person ON report (created_by);
CREATE INDEX report_expiry ON report (expires_at);

-- The accounts that it shows. One that is deleted is in none any more.
CREATE TABLE report_account (
    report_id  uuid NOT NULL REFERENCES report ON DELETE CASCADE,
    account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    PRIMARY KEY (report_id, account_id)
);
CREATE INDEX report_account_by_account ON report_account (account_id);
