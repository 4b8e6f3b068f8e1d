-- Every finished job with its reason, by day, so that retention drops a table instead of deleting rows.
CREATE TABLE job_history (
    id             uuid NOT NULL,
    kind           text NOT NULL,
    workspace_id   uuid NOT NULL,
    account_id     uuid,
    publication_id uuid,
    epoch          bigint NOT NULL,
    attempt        integer NOT NULL,
    crash_count    integer NOT NULL,
    payload        jsonb NOT NULL,
    outcome        attempt_outcome NOT NULL,
    reason         text,
    output         jsonb,
    created_at     timestamptz NOT NULL,
    started_at     timestamptz,
    finished_at    timestamptz NOT NULL DEFAULT ledger_now()
) PARTITION BY RANGE (finished_at);
CREATE INDEX job_history_by_publication ON job_history (publication_id, finished_at) WHERE publication_id IS NOT NULL;
CREATE INDEX job_history_by_id ON job_history (id);

-- Makes the partitions of yesterday, today and the three days ahead. Runs as its owner, for no process may create tables.
CREATE FUNCTION make_history_partitions() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    day date;
BEGIN
    FOR day IN SELECT generate_series(ledger_now()::date - 1, ledger_now()::date + 3, '1 day')::date LOOP
        BEGIN
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF job_history FOR VALUES FROM (%L) TO (%L)',
                'job_history_' || to_char(day, 'YYYYMMDD'), day::timestamptz, (day + 1)::timestamptz);
        EXCEPTION WHEN duplicate_table OR unique_violation THEN
            NULL; -- another process made it at the same moment
        END;
    END LOOP;
END $$;
SELECT make_history_partitions();

-- Drops the days that retention no longer keeps.
CREATE FUNCTION drop_history_partitions(keep interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    partition text;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'job_history'::regclass
          AND c.relname < 'job_history_' || to_char(ledger_now() - keep, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', partition);
    END LOOP;
END $$;
