-- It changes the schema as its owner: nobody but a worker calls it. Where there is no such role the owner's one serves.
DO $$
DECLARE
    worker text := current_database() || '_worker';
BEGIN
    REVOKE EXECUTE ON FUNCTION drop_history_day(text, interval) FROM PUBLIC;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = worker) THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION drop_history_day(text, interval) TO %I', worker);
    END IF;
END $$;
