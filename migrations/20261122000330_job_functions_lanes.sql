-- As before, and only jobs that have ended so many workers: those above a number run alone, in a lane of their own,
-- and the others are claimed without them.
--
-- The insert waits for a finish or a reap that is deleting the same claim and then goes on with its old
-- snapshot, in which the job still exists or has its old epoch. The last statement sees what is true after
-- the insert: only what both return may run. A claim without its job, or of another epoch, is deleted before, for
-- whatever is deleted after the last statement may have been handed out by it.
CREATE FUNCTION claim_jobs(
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
        RETURNING claim.job_id)
    SELECT coalesce(array_agg(taken.job_id), '{}') INTO fresh FROM taken;

    DELETE FROM claim c USING unnest(fresh) AS x (id)
    WHERE c.job_id = x.id AND c.worker_inc = inc
      AND NOT EXISTS (SELECT FROM job j WHERE j.id = c.job_id AND j.epoch = c.epoch);

    RETURN QUERY
    SELECT j.id, j.epoch, j.kind, j.workspace_id, j.account_id, j.publication_id, j.attempt, j.payload, j.run_at
    FROM unnest(fresh) AS x (id) JOIN claim c ON c.job_id = x.id JOIN job j ON j.id = c.job_id AND j.epoch = c.epoch
    WHERE c.worker_inc = inc;
END $$;

-- Suspects are few among many, and most ledgers have none.
CREATE INDEX job_suspect ON job (kind, crash_count, run_at) WHERE crash_count > 0;

-- As before, and the payload's version is kept.
CREATE OR REPLACE FUNCTION finish_jobs(
    ids uuid[], epochs bigint[], incs uuid[], outputs jsonb[],
    next_ids uuid[], next_parents uuid[], next_kinds text[], next_times timestamptz[], next_payloads jsonb[])
RETURNS TABLE (job_id uuid, epoch bigint)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH f AS (DELETE FROM claim USING unnest(ids, epochs, incs, outputs) AS x (job_id, epoch, inc, output)
               WHERE claim.job_id = x.job_id AND claim.epoch = x.epoch AND claim.worker_inc = x.inc
               RETURNING claim.job_id, claim.epoch, claim.started_at, x.output),
         d AS (DELETE FROM job USING f WHERE job.id = f.job_id
               RETURNING job.id, job.kind, job.ver, job.workspace_id, job.account_id, job.publication_id, job.epoch,
                         job.attempt, job.crash_count, job.payload, job.created_at, f.epoch AS claimed, f.started_at,
                         f.output),
         h AS (INSERT INTO job_history (id, kind, ver, workspace_id, account_id, publication_id, epoch, attempt,
                                        crash_count, payload, outcome, output, created_at, started_at)
               SELECT id, kind, ver, workspace_id, account_id, publication_id, epoch, attempt, crash_count, payload,
                      'done', output, created_at, started_at FROM d),
         t AS (INSERT INTO job (id, kind, workspace_id, account_id, run_at, payload)
               SELECT y.id, y.kind, d.workspace_id, d.account_id, coalesce(y.run_at, ledger_now()), y.payload
               FROM unnest(next_ids, next_parents, next_kinds, next_times, next_payloads)
                    AS y (id, parent, kind, run_at, payload) JOIN d ON d.id = y.parent)
    SELECT d.id, d.claimed FROM d;
END $$;
