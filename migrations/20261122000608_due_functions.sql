-- The search for due jobs, in functions because its plan is theirs: it walks the index of due jobs in its order and
-- stops where the page is full. Left to the planner, which guesses how many of a workspace's jobs are due, a page
-- read and sorted all of them, and compared each with every claim: 100 ms of 42,000 waiting jobs instead of 8.

-- The jobs that are due within `ahead`, that nobody holds, that are not paused and have ended fewer than
-- `suspect_from` workers: about `wanted` of them, shared by the workspaces that have work, and a few of each in any
-- case. The first row's `moment` and `most` (of one workspace) are there even if there is no job.
CREATE FUNCTION due_jobs(kinds text[], versions integer[], ahead interval, wanted bigint, suspect_from integer)
RETURNS TABLE (moment timestamptz, most bigint, id uuid, kind text, workspace_id uuid, run_at timestamptz)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := ledger_now();
BEGIN
    RETURN QUERY
    WITH RECURSIVE w (kind, workspace_id) AS (
        -- one step of the index a workspace, however many jobs it has
        (SELECT kind, workspace_id FROM job WHERE standing = 'active' AND kind = ANY (kinds)
         ORDER BY kind, workspace_id LIMIT 1)
        UNION ALL
        SELECT next.kind, next.workspace_id FROM w CROSS JOIN LATERAL (
            -- two searches: one with both bounds at once would begin at the kind's first job and pass over all before
            (SELECT kind, workspace_id FROM job
             WHERE standing = 'active' AND job.kind = w.kind AND job.workspace_id > w.workspace_id
             ORDER BY workspace_id LIMIT 1)
            UNION ALL
            (SELECT kind, workspace_id FROM job
             WHERE standing = 'active' AND job.kind = ANY (kinds) AND job.kind > w.kind
             ORDER BY kind, workspace_id LIMIT 1)
            LIMIT 1) next),
    page (most) AS (SELECT greatest(16, wanted / greatest(1, (SELECT count(*) FROM w))))
    SELECT moment, page.most, j.id, j.kind, j.workspace_id, j.run_at
    FROM page LEFT JOIN (
        -- what is paused altogether is not even looked at
        (SELECT w.kind, w.workspace_id FROM w WHERE NOT EXISTS (
             SELECT FROM pause p WHERE (p.ends_at IS NULL OR p.ends_at > moment)
               AND (p.scope = 'queue' AND p.subject = w.kind
                    OR p.scope = 'workspace' AND p.subject = w.workspace_id::text
                    OR p.scope = 'queue_of_workspace' AND p.subject = w.kind || '/' || w.workspace_id))) w
        CROSS JOIN LATERAL (
        SELECT id, kind, workspace_id, run_at FROM job
        WHERE standing = 'active' AND job.kind = w.kind AND job.workspace_id = w.workspace_id
          AND run_at <= moment + ahead AND ver <= versions[array_position(kinds, job.kind)]
          AND crash_count < suspect_from
          -- OFFSET 0: asked of each job by its key, and not joined
          AND NOT EXISTS (SELECT FROM claim WHERE claim.job_id = job.id OFFSET 0)
          AND (account_id IS NULL OR account_id NOT IN (
               SELECT a.id FROM account a JOIN pause p ON (p.ends_at IS NULL OR p.ends_at > moment)
                  AND (p.scope = 'account' AND p.subject = a.id::text OR p.scope = 'network' AND p.subject = a.platform
                       OR p.scope = 'queue_of_account' AND p.subject = w.kind || '/' || a.id)))
        ORDER BY run_at, id LIMIT (SELECT most FROM page)) j) ON true;
END $$;

-- The same from these marks on (a kind, a workspace, and the time and id of a job each), at most `each` of a mark.
CREATE FUNCTION due_jobs_after(
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
              AND NOT EXISTS (SELECT FROM claim WHERE claim.job_id = job.id OFFSET 0)
              AND NOT (pauses AND is_paused(kind, workspace_id, account_id))
            ORDER BY run_at, id LIMIT each) j) ON true;
END $$;
