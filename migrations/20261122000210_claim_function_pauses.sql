-- As before, and nothing that is paused; the ledger's clock is read once, not for each row.
--
-- The insert waits for a finish or a reap that is deleting the same claim and then goes on with its old
-- snapshot, in which the job still exists or has its old epoch. The last statement sees what is true after
-- the insert: only what both return may run. A claim without its job, or of another epoch, is deleted before, for
-- whatever is deleted after the last statement may have been handed out by it.
CREATE OR REPLACE FUNCTION claim_jobs(ids uuid[], kinds text[], versions integer[], inc uuid, budget interval)
RETURNS TABLE (
    job_id uuid, epoch bigint, kind text, workspace_id uuid, account_id uuid, publication_id uuid,
    attempt integer, payload jsonb, run_at timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    moment   timestamptz := ledger_now();
    deadline timestamptz := ledger_now() + budget;
    fresh    uuid[];
    pauses   boolean := EXISTS (SELECT FROM pause p WHERE p.ends_at IS NULL OR p.ends_at > moment); -- seldom any
BEGIN
    WITH taken AS (
        INSERT INTO claim (job_id, epoch, worker_inc, started_at, deadline_at)
        SELECT j.id, j.epoch, inc, moment, deadline
        FROM job j
        WHERE j.id = ANY (ids) AND j.standing = 'active' AND j.run_at <= moment
          AND j.kind = ANY (kinds) AND j.ver <= versions[array_position(kinds, j.kind)]
          AND NOT (pauses AND is_paused(j.kind, j.workspace_id, j.account_id))
        ORDER BY j.id -- one order for all: two claims of the same jobs cannot deadlock
        ON CONFLICT ON CONSTRAINT claim_pkey DO NOTHING
        RETURNING claim.job_id)
    SELECT coalesce(array_agg(taken.job_id), '{}') INTO fresh FROM taken;

    DELETE FROM claim c
    WHERE c.job_id = ANY (fresh) AND c.worker_inc = inc
      AND NOT EXISTS (SELECT FROM job j WHERE j.id = c.job_id AND j.epoch = c.epoch);

    RETURN QUERY
    SELECT j.id, j.epoch, j.kind, j.workspace_id, j.account_id, j.publication_id, j.attempt, j.payload, j.run_at
    FROM claim c JOIN job j ON j.id = c.job_id AND j.epoch = c.epoch
    WHERE c.job_id = ANY (fresh) AND c.worker_inc = inc;
END $$;
