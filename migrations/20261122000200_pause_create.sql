-- What people have stopped: a queue, a workspace, an account or a network. Nothing of it is claimed until
-- it is resumed or the pause has ended by itself; what runs already runs on.
CREATE TABLE pause (
    scope      text NOT NULL CONSTRAINT pause_scope_known CHECK (scope IN ('queue', 'workspace', 'account', 'network')),
    subject    text NOT NULL,
    reason     text NOT NULL CONSTRAINT pause_reason_length CHECK (length(reason) BETWEEN 1 AND 500),
    paused_at  timestamptz NOT NULL DEFAULT ledger_now(),
    ends_at    timestamptz, -- null: until it is resumed
    PRIMARY KEY (scope, subject)
);

-- Whether a job may not be claimed now. The relay's look and the claim ask the same, so that what nobody may
-- claim does not fill the window.
CREATE FUNCTION is_paused(kind text, workspace_id uuid, account_id uuid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN EXISTS (
    SELECT FROM pause p
    WHERE (p.ends_at IS NULL OR p.ends_at > ledger_now())
      AND CASE p.scope
          WHEN 'queue' THEN p.subject = is_paused.kind
          WHEN 'workspace' THEN p.subject = is_paused.workspace_id::text
          WHEN 'account' THEN p.subject = is_paused.account_id::text
          WHEN 'network' THEN p.subject = (SELECT a.platform FROM account a WHERE a.id = is_paused.account_id)
          END);
