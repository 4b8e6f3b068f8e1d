-- What networks said, by month: one row for each look at an object, with all numbers packed, each under its number in the
-- catalogue, and those of a day behind the day's end. Rows are only ever added; the same look twice is one row.
--
-- The columns stand so that none is padded: a million rows of twelve numbers take some 130 MB, their index included.
CREATE TABLE snapshot (
    captured_at timestamptz NOT NULL,
    object      integer NOT NULL CONSTRAINT snapshot_object REFERENCES metric_plan ON DELETE CASCADE,
    points      bytea NOT NULL,
    CONSTRAINT snapshot_key PRIMARY KEY (object, captured_at)
) PARTITION BY RANGE (captured_at);

-- What is older than is kept in detail: of each day the last look.
CREATE TABLE snapshot_day (
    captured_at timestamptz NOT NULL,
    object      integer NOT NULL CONSTRAINT snapshot_day_object REFERENCES metric_plan ON DELETE CASCADE,
    points      bytea NOT NULL,
    CONSTRAINT snapshot_day_key PRIMARY KEY (object, captured_at)
);

-- The months around this one. A worker may not change the schema; this may.
CREATE FUNCTION make_snapshot_partitions() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    month timestamptz;
BEGIN
    FOR month IN
        SELECT generate_series(date_trunc('month', ledger_now()) - interval '1 month',
                               date_trunc('month', ledger_now()) + interval '2 months', '1 month')
    LOOP
        BEGIN
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF snapshot FOR VALUES FROM (%L) TO (%L)',
                'snapshot_' || to_char(month, 'YYYYMM'), month, month + interval '1 month');
        EXCEPTION WHEN duplicate_table OR unique_violation THEN
            NULL; -- another process made it at the same moment
        END;
    END LOOP;
END $$;
SELECT make_snapshot_partitions();

-- Keeps of the first month that lies wholly before that the last look of each day, and drops the rest with its table. One
-- month a call, so that no call takes long, and whoever comes meanwhile leaves it to the other. Returns how many months it
-- was.
CREATE FUNCTION roll_up_snapshots(keep interval) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    month text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('roll_up_snapshots')) THEN
        RETURN 0;
    END IF;
    SELECT c.relname INTO month FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'snapshot'::regclass AND c.relname < 'snapshot_' || to_char(ledger_now() - keep, 'YYYYMM')
    ORDER BY c.relname LIMIT 1;
    IF month IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format(
        'INSERT INTO snapshot_day (captured_at, object, points)
         SELECT DISTINCT ON (object, date_trunc(''day'', captured_at)) captured_at, object, points FROM %I
         ORDER BY object, date_trunc(''day'', captured_at), captured_at DESC
         ON CONFLICT DO NOTHING', month);
    EXECUTE format('DROP TABLE %I', month);
    RETURN 1;
END $$;
