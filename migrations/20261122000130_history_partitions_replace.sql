-- The functions that make and drop the history's days do the same for the attempts'.
CREATE OR REPLACE FUNCTION make_history_partitions() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    parent text;
    day    date;
BEGIN
    -- attempts first, as whoever writes both does: no two wait for each other
    FOREACH parent IN ARRAY ARRAY['attempt', 'job_history'] LOOP
        FOR day IN SELECT generate_series(ledger_now()::date - 1, ledger_now()::date + 3, '1 day')::date LOOP
            BEGIN
                EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                    parent || '_' || to_char(day, 'YYYYMMDD'), parent, day::timestamptz, (day + 1)::timestamptz);
            EXCEPTION WHEN duplicate_table OR unique_violation THEN
                NULL; -- another process made it at the same moment
            END;
        END LOOP;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION drop_history_partitions(keep interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    partition text;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
        WHERE i.inhparent IN ('attempt'::regclass, 'job_history'::regclass)
          AND c.relname < p.relname || '_' || to_char(ledger_now() - keep, 'YYYYMMDD')
        ORDER BY 1
    LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', partition);
    END LOOP;
END $$;
