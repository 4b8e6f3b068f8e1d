-- As before, with one look at the job rows after the insert instead of two: a third of what a claim costs.
--
-- The insert waits for a finish or a reap that is deleting the same claim and then goes on with its old
-- snapshot, in which the job still exists or has its old epoch. The last statement has a snapshot of its own and sees
-- what is true after the insert: what fits its job is handed out, what does not is deleted again, and one snapshot
-- decides both, so that nothing is deleted that was handed out. Nobody else sees the claims before the commit.
CREATE OR REPLACE FUNCTION claim_jobs(
    ids uuid[], kinds text[], versions integer[], inc uuid, budget interval, least_crashes integer, most_crashes integer)
RETURNS TABLE (
    job_id uuid, epoch bigint, kind text, workspace_id uuid, account_id uuid, publication_id uuid,
    attempt integer, payload jsonb, run_at timestamptz)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment   timestamptz := ledger_now();
    deadline timestamptz := ledger_now() + budget;
    fresh    uuid[];
    epochs   bigint[];
    pauses   boolean := EXISTS (SELECT FROM pause p WHERE p.ends_at IS NULL OR p.ends_at > moment); -- seldom any
BEGIN
    WITH taken AS (
        INSERT INTO claim (job_id, epoch, worker_inc, started_at, deadline_at)
        SELECT j.id, j.epoch, inc, moment, deadline
        FROM unnest(ids) AS x (id) JOIN job j ON j.id = x.id
        WHERE j.standing = 'active' AND j.run_at <= moment
          AND j.kind = ANY (kinds) AND j.ver <= versions[array_position(kinds, j.kind)]
          AND j.crash_count BETWEEN least_crashes AND most_crashes
          AND NOT (pauses AND is_paused(j.kind, j.workspace_id, j.account_id))
        ORDER BY j.id -- one order for all: two claims of the same jobs cannot deadlock
        ON CONFLICT ON CONSTRAINT claim_pkey DO NOTHING
        RETURNING claim.job_id, claim.epoch)
    SELECT array_agg(taken.job_id), array_agg(taken.epoch) INTO fresh, epochs FROM taken;

    RETURN QUERY
    WITH seen AS MATERIALIZED (
        SELECT x.id AS claimed, j.id, j.epoch, j.kind, j.workspace_id, j.account_id, j.publication_id, j.attempt,
               j.payload, j.run_at
        FROM unnest(fresh, epochs) AS x (id, epoch) LEFT JOIN job j ON j.id = x.id AND j.epoch = x.epoch),
         stale AS (
        DELETE FROM claim USING seen WHERE claim.job_id = seen.claimed AND claim.worker_inc = inc AND seen.id IS NULL)
    SELECT s.id, s.epoch, s.kind, s.workspace_id, s.account_id, s.publication_id, s.attempt, s.payload, s.run_at
    FROM seen s WHERE s.id IS NOT NULL;
END $$;
