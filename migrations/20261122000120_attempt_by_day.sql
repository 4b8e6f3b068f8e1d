-- Attempts by day, as the history is: retention drops a table instead of deleting rows. The rows there are move
-- along; the day is part of the key because Postgres wants it so, and the claim's fence keeps (job_id, epoch) single.
ALTER TABLE attempt RENAME TO attempt_whole;
ALTER INDEX attempt_pkey RENAME TO attempt_whole_pkey;
ALTER INDEX attempt_by_publication RENAME TO attempt_whole_by_publication;

CREATE TABLE attempt (
    job_id         uuid NOT NULL,
    publication_id uuid,
    epoch          bigint NOT NULL,
    started_at     timestamptz NOT NULL,
    ended_at       timestamptz NOT NULL DEFAULT ledger_now(),
    outcome        attempt_outcome NOT NULL,
    reason         text NOT NULL,
    PRIMARY KEY (job_id, epoch, ended_at)
) PARTITION BY RANGE (ended_at);
CREATE INDEX attempt_by_publication ON attempt (publication_id, ended_at) WHERE publication_id IS NOT NULL;

DO $$
DECLARE
    day date;
BEGIN
    SET LOCAL timezone = 'UTC';
    FOR day IN
        SELECT DISTINCT ended_at::date FROM attempt_whole
        UNION SELECT generate_series(ledger_now()::date - 1, ledger_now()::date + 3, '1 day')::date
    LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF attempt FOR VALUES FROM (%L) TO (%L)',
            'attempt_' || to_char(day, 'YYYYMMDD'), day::timestamptz, (day + 1)::timestamptz);
    END LOOP;
END $$;
INSERT INTO attempt (job_id, publication_id, epoch, started_at, ended_at, outcome, reason)
SELECT job_id, publication_id, epoch, started_at, ended_at, outcome, reason FROM attempt_whole;
DROP TABLE attempt_whole;
