-- no-transaction
-- What belongs to a workspace by what it hangs on: it is seen where that is seen, which is looked up by its primary key. One
-- table at a time, as what names its workspace.
DO $$
DECLARE
    part text[];
BEGIN
    -- table, column, what it names and by which key; calls of no account are about connecting one, and a worker's own
    FOREACH part SLICE 1 IN ARRAY ARRAY[
        ['publication_check', 'publication_id', 'publication', 'id'],
        ['verdict', 'publication_id', 'publication', 'id'],
        ['take_down', 'publication_id', 'publication', 'id'],
        ['remote_call', 'account_id', 'account', 'id'],
        ['media_fetch', 'call_id', 'remote_call', 'call_id'],
        ['orphan_handle', 'account_id', 'account', 'id'],
        ['account_fact', 'account_id', 'account', 'id'],
        ['metric_refusal', 'account_id', 'account', 'id'],
        ['snapshot', 'object', 'metric_plan', 'number'],
        ['snapshot_day', 'object', 'metric_plan', 'number'],
        ['denied_pass', 'api_key_id', 'api_key', 'id'],
        ['deletion_mark', 'request_id', 'deletion_request', 'id'],
        ['deletion_object', 'request_id', 'deletion_request', 'id'],
        ['deletion_step', 'request_id', 'deletion_request', 'id'],
        ['export_covered', 'export_id', 'export', 'id'],
        ['export_item', 'export_id', 'export', 'id'],
        ['export_part', 'export_id', 'export', 'id']]
    LOOP
        PERFORM keep_apart(part[1]::regclass, format(
            'CASE WHEN (SELECT bound_workspace()) IS NULL THEN true
                  ELSE EXISTS (SELECT FROM %I whole WHERE whole.%I = %I.%I) END',
            part[3], part[4], part[1], part[2]));
        COMMIT;
    END LOOP;

    -- attempts of jobs that publish nothing name nobody
    PERFORM keep_apart('attempt',
        'CASE WHEN (SELECT bound_workspace()) IS NULL OR attempt.publication_id IS NULL THEN true
              ELSE EXISTS (SELECT FROM publication whole WHERE whole.id = attempt.publication_id) END');
    COMMIT;

    -- table, column, what tells whether that is elsewhere: these are added along with what they hang on
    FOREACH part SLICE 1 IN ARRAY ARRAY[
        ['post_media', 'post_id', 'post_is_elsewhere'],
        ['approval', 'post_id', 'post_is_elsewhere'],
        ['publication_content', 'publication_id', 'publication_is_elsewhere'],
        ['analysis_media', 'analysis_id', 'analysis_is_elsewhere']]
    LOOP
        PERFORM keep_apart(part[1]::regclass, format(
            'CASE WHEN (SELECT bound_workspace()) IS NULL THEN true ELSE NOT %I(%I.%I) END',
            part[3], part[1], part[2]));
        COMMIT;
    END LOOP;
END $$;
