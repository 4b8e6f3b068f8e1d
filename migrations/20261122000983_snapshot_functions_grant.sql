-- Both change the schema as its owner: nobody but a worker calls them. Where there is no such role the owner's one serves.
DO $$
DECLARE
    worker text := current_database() || '_worker';
BEGIN
    REVOKE EXECUTE ON FUNCTION make_snapshot_partitions(), roll_up_snapshots(interval) FROM PUBLIC;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = worker) THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION make_snapshot_partitions(), roll_up_snapshots(interval) TO %I', worker);
    END IF;
END $$;
