-- As before, with one search instead of two that were alike: a first page is what comes after marks that lie before everything.
-- Nothing is asked about pauses, job by job, while there are none.

-- The jobs that are due within `ahead`, that nobody holds, that are not paused and have ended fewer than
-- `suspect_from` workers: about `wanted` of them, shared by the workspaces that have work, and a few of each in any
-- case. The first row's `moment` and `most` (of one workspace) are there even if there is no job.
CREATE OR REPLACE FUNCTION due_jobs(kinds text[], versions integer[], ahead interval, wanted bigint, suspect_from integer)
RETURNS TABLE (moment timestamptz, most bigint, id uuid, kind text, workspace_id uuid, run_at timestamptz)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    of         text[];
    workspaces uuid[];
BEGIN
    WITH RECURSIVE w (kind, workspace_id) AS (
        -- one step of the index a workspace, however many jobs it has
        SELECT k, (SELECT workspace_id FROM job WHERE standing = 'active' AND job.kind = k
                   ORDER BY workspace_id LIMIT 1)
        FROM unnest(kinds) AS k
        UNION ALL
        SELECT w.kind, (SELECT workspace_id FROM job
                        WHERE standing = 'active' AND job.kind = w.kind AND job.workspace_id > w.workspace_id
                        ORDER BY workspace_id LIMIT 1)
        FROM w WHERE w.workspace_id IS NOT NULL)
    SELECT coalesce(array_agg(w.kind), '{}'), coalesce(array_agg(w.workspace_id), '{}') INTO of, workspaces
    FROM w WHERE w.workspace_id IS NOT NULL;

    RETURN QUERY
    SELECT d.moment, d.most, d.id, d.kind, d.workspace_id, d.run_at FROM due_jobs_after(
        kinds, versions, ahead, greatest(16, wanted / greatest(1, cardinality(of))), suspect_from, of, workspaces,
        array_fill('-infinity'::timestamptz, ARRAY[cardinality(of)]),
        array_fill('00000000-0000-0000-0000-000000000000'::uuid, ARRAY[cardinality(of)])) AS d;
END $$;

-- The same from these marks on (a kind, a workspace, and the time and id of a job each), at most `each` of a mark.
CREATE OR REPLACE FUNCTION due_jobs_after(
    kinds text[], versions integer[], ahead interval, each bigint, suspect_from integer,
    of text[], workspaces uuid[], times timestamptz[], ids uuid[])
RETURNS TABLE (moment timestamptz, most bigint, id uuid, kind text, workspace_id uuid, run_at timestamptz)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := ledger_now();
    pauses boolean := EXISTS (SELECT FROM pause p WHERE p.ends_at IS NULL OR p.ends_at > moment); -- seldom any
BEGIN
    RETURN QUERY
    SELECT moment, each, j.id, j.kind, j.workspace_id, j.run_at
    FROM (VALUES (1)) AS always LEFT JOIN (
        unnest(of, workspaces, times, ids) AS m (kind, workspace_id, run_at, id)
        CROSS JOIN LATERAL (
            SELECT id, kind, workspace_id, run_at FROM job
            WHERE standing = 'active' AND job.kind = m.kind AND job.workspace_id = m.workspace_id
              AND (job.run_at, job.id) > (m.run_at, m.id)
              AND run_at <= moment + ahead AND ver <= versions[array_position(kinds, job.kind)]
              AND crash_count < suspect_from
              -- OFFSET 0: asked of each job by its key, and not joined
              AND NOT EXISTS (SELECT FROM claim WHERE claim.job_id = job.id OFFSET 0)
              -- what is paused altogether is not even looked at
              AND NOT (pauses AND is_paused(m.kind, m.workspace_id, NULL))
              -- gathered once a search, and not asked of each job of a paused account
              AND NOT (pauses AND account_id IS NOT NULL AND (kind, account_id) IN (
                  SELECT k, a.id FROM unnest(kinds) AS k CROSS JOIN account a
                  JOIN pause p ON (p.ends_at IS NULL OR p.ends_at > moment)
                     AND (p.scope = 'account' AND p.subject = a.id::text OR p.scope = 'network' AND p.subject = a.platform
                          OR p.scope = 'queue_of_account' AND p.subject = k || '/' || a.id)))
            ORDER BY run_at, id LIMIT each) j) ON true;
END $$;
