-- no-transaction
-- Searches for drafts without a name, and findings that people were told of: apart like the rest.
DO $$
DECLARE
    part text[];
BEGIN
    FOREACH part SLICE 1 IN ARRAY ARRAY[
        ['finding_told', 'publication_id', 'publication', 'id'],
        ['draft_search', 'account_id', 'account', 'id']]
    LOOP
        PERFORM keep_apart(part[1]::regclass, format(
            'CASE WHEN (SELECT bound_workspace()) IS NULL THEN true
                  ELSE EXISTS (SELECT FROM %I whole WHERE whole.%I = %I.%I) END',
            part[3], part[4], part[1], part[2]));
        COMMIT;
    END LOOP;
END $$;
