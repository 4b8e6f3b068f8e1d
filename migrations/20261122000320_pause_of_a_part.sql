-- A queue may be stopped for one workspace or one account only: the subject is then `queue/id`.
ALTER TABLE pause DROP CONSTRAINT pause_scope_known;
ALTER TABLE pause ADD CONSTRAINT pause_scope_known CHECK (
    scope IN ('queue', 'workspace', 'account', 'network', 'queue_of_workspace', 'queue_of_account'));

CREATE OR REPLACE FUNCTION is_paused(kind text, workspace_id uuid, account_id uuid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN EXISTS (
    SELECT FROM pause p
    WHERE (p.ends_at IS NULL OR p.ends_at > ledger_now())
      AND CASE p.scope
          WHEN 'queue' THEN p.subject = is_paused.kind
          WHEN 'workspace' THEN p.subject = is_paused.workspace_id::text
          WHEN 'account' THEN p.subject = is_paused.account_id::text
          WHEN 'network' THEN p.subject = (SELECT a.platform FROM account a WHERE a.id = is_paused.account_id)
          WHEN 'queue_of_workspace' THEN p.subject = is_paused.kind || '/' || is_paused.workspace_id
          WHEN 'queue_of_account' THEN p.subject = is_paused.kind || '/' || is_paused.account_id
          END);
