-- Drops the first day of the history, or of the attempts, that lies wholly before that, and tells how many rows it had;
-- null: there is none. One day a call, so that no call takes long. A worker may not change the schema; this may.
CREATE FUNCTION drop_history_day(parent text, keep interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    day   text;
    many bigint;
BEGIN
    SELECT c.relname INTO day
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
    WHERE i.inhparent IN ('attempt'::regclass, 'job_history'::regclass) AND p.relname = parent
      AND c.relname < p.relname || '_' || to_char(ledger_now() - keep, 'YYYYMMDD')
    ORDER BY c.relname LIMIT 1;
    IF day IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT count(*) FROM %I', day) INTO many;
    EXECUTE format('DROP TABLE %I', day);
    RETURN many;
END $$;
DROP FUNCTION drop_history_partitions(interval);
