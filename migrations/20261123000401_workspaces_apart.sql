-- no-transaction
-- What names its workspace. One table at a time, each in a transaction of its own, so that nothing that goes on meanwhile
-- waits for more than one of them.
DO $$
DECLARE
    its_table text;
BEGIN
    FOREACH its_table IN ARRAY ARRAY[
        'membership', 'account', 'media', 'upload', 'post', 'publication', 'job', 'job_history', 'idempotency_key',
        'invitation', 'connection', 'deletion_account', 'metric_plan', 'analysis_policy', 'analysis', 'analysis_call',
        'analysis_month', 'consent_withdrawal',
        -- what is written down of no workspace may be added from within any, and web reads none of it
        'audit']
    LOOP
        PERFORM keep_apart(its_table::regclass, 'coalesce(workspace_id = (SELECT bound_workspace()), true)');
        COMMIT;
    END LOOP;

    -- a key, a request or a copy of no workspace is an operator's or the asker's own, and nobody's who is bound
    FOREACH its_table IN ARRAY ARRAY['api_key', 'deletion_request', 'export'] LOOP
        PERFORM keep_apart(its_table::regclass,
            'CASE WHEN (SELECT bound_workspace()) IS NULL THEN true
                  ELSE coalesce(workspace_id = (SELECT bound_workspace()), false) END');
        COMMIT;
    END LOOP;

    PERFORM keep_apart('workspace', 'coalesce(id = (SELECT bound_workspace()), true)');
    COMMIT;
END $$;
