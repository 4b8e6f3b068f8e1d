-- no-transaction
-- What has come to tell, share and count: apart like the rest, and one table at a time like it.
DO $$
DECLARE
    its_table text;
    part text[];
BEGIN
    FOREACH its_table IN ARRAY ARRAY['webhook', 'event', 'report', 'ad_object'] LOOP
        PERFORM keep_apart(its_table::regclass, 'coalesce(workspace_id = (SELECT bound_workspace()), true)');
        COMMIT;
    END LOOP;

    -- table, column, what it names and by which key. A delivery is added along with its event, which is not seen yet then: it
    -- belongs where its webhook does, which has been there before. Drafts are taken back by workers alone.
    FOREACH part SLICE 1 IN ARRAY ARRAY[
        ['delivery', 'webhook_id', 'webhook', 'id'],
        ['report_account', 'report_id', 'report', 'id'],
        ['ad_day', 'object', 'ad_object', 'number'],
        ['snapshot_spread', 'object', 'metric_plan', 'number'],
        ['ending_told', 'account_id', 'account', 'id'],
        ['deletion_draft', 'request_id', 'deletion_request', 'id']]
    LOOP
        PERFORM keep_apart(part[1]::regclass, format(
            'CASE WHEN (SELECT bound_workspace()) IS NULL THEN true
                  ELSE EXISTS (SELECT FROM %I whole WHERE whole.%I = %I.%I) END',
            part[3], part[4], part[1], part[2]));
        COMMIT;
    END LOOP;
END $$;
